CREATE TABLE operations (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    -- JSON.
    record TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Counts changes of the catalog, so that whoever decided on older records decides again.
CREATE TABLE catalog_revision (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO catalog_revision (only, revision) VALUES (1, 0);

-- Fields that entries have gained. What a header says that was not kept then is read again when the model
-- is next looked at.
UPDATE catalog_entries SET entry = json_set(
    entry,
    '$.is_pinned', json(iif(json_extract(entry, '$.verify_result') = 'pass', 'true', 'false'))
);
