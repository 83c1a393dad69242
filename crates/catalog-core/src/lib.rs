//! Model references, catalog entries, digests and aliases.
