CREATE TABLE catalog_entries (
    id TEXT PRIMARY KEY,
    -- JSON.
    entry TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE catalog_aliases (
    alias TEXT PRIMARY KEY,
    entry_id TEXT NOT NULL REFERENCES catalog_entries
) STRICT, WITHOUT ROWID;
CREATE INDEX catalog_aliases_by_entry ON catalog_aliases (entry_id);
