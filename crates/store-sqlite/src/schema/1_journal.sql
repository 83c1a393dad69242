-- What changes while a task lives is apart from what does not, as an update writes the whole row again.
CREATE TABLE tasks (
    -- Never given again, even when its row is gone.
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    identity TEXT NOT NULL,
    state TEXT NOT NULL,
    model_ref TEXT NOT NULL,
    model_id TEXT NOT NULL,
    client_ref TEXT,
    -- JSON.
    progress TEXT NOT NULL,
    -- JSON; there from the end on.
    end TEXT,
    ended_at_ms INTEGER,
    CHECK ((end IS NULL) = (ended_at_ms IS NULL))
) STRICT;
CREATE INDEX tasks_alive ON tasks (ended_at_ms) WHERE ended_at_ms IS NULL;
CREATE INDEX tasks_ended_by_state ON tasks (state) WHERE ended_at_ms IS NOT NULL;
CREATE INDEX tasks_by_identity ON tasks (identity);
CREATE INDEX tasks_by_model_ref ON tasks (model_ref);
CREATE INDEX tasks_by_client_ref ON tasks (client_ref) WHERE client_ref IS NOT NULL;

CREATE TABLE specs (
    sequence INTEGER PRIMARY KEY REFERENCES tasks ON DELETE CASCADE,
    -- JSON.
    spec TEXT NOT NULL
) STRICT;

CREATE TABLE prompts (
    sequence INTEGER PRIMARY KEY REFERENCES tasks ON DELETE CASCADE,
    -- Token ids, 4 bytes each, little-endian.
    ids BLOB NOT NULL CHECK (length(ids) % 4 = 0)
) STRICT;

CREATE TABLE idempotency (
    identity TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    request_digest TEXT NOT NULL,
    sequence INTEGER NOT NULL REFERENCES tasks ON DELETE CASCADE,
    PRIMARY KEY (identity, route, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_task ON idempotency (sequence);

CREATE TABLE notes (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
