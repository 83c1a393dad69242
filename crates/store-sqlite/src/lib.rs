//! Records in SQLite: tasks, idempotency, catalog index.
