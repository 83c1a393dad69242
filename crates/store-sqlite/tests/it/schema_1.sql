-- A store as the first version of the schema left it, with an ended task and one that waits.
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

INSERT INTO tasks (sequence, id, identity, state, model_ref, model_id, progress, end, ended_at_ms) VALUES
    (1, x'01900000000070008000000000000001', 'localhost', 'succeeded', 'default', 'sha256:0011',
     '{"attempts":[],"ids_reserved":4097,"first_segment":3,"started_at_ms":1700000000100,"queue_time_ms":100,"poison":{"daemon_ends":0,"worker_deaths":0,"failures":0}}',
     '{"ended_at_ms":1700000001000,"event_id":19,"event":"end","data":"{\"finish_reason\":\"stop\"}","tokens_in":5,"tokens_out":17,"error":null,"regions":[{"segment":4,"offset":24,"len_bytes":99,"first_event":1,"event_count":10},{"segment":7,"offset":24,"len_bytes":99,"first_event":11,"event_count":8}]}',
     1700000001000),
    (2, x'01900000000070008000000000000002', 'localhost', 'queued', 'default', 'sha256:0011',
     '{"attempts":[],"ids_reserved":0,"first_segment":null,"started_at_ms":null,"queue_time_ms":null,"poison":{"daemon_ends":0,"worker_deaths":0,"failures":0}}',
     NULL, NULL);
INSERT INTO specs (sequence, spec)
SELECT sequence, '{"model_ref":"default","model_id":"sha256:0011","priority":"interactive","prompt":"Tell me a story.","max_tokens":64,"sampling":{"temperature":0.7,"top_p":1.0,"top_k":0,"min_p":0.0,"repeat_penalty":1.0,"presence_penalty":0.0,"frequency_penalty":0.0,"seed":7},"stop":[],"determinism":"best_effort","failover":"auto","cancel_when_alone_ms":null,"client_ref":null,"metadata":{},"correlation_id":"c-1","traceparent":null,"request_digest":"sha256:aa","prompt_tokens":5,"admitted_at_ms":1700000000000,"admitted_boot_ms":12345,"boot_id":"boot","deadline_ms":null,"queue_max_ms":86400000,"admitted_position":1}'
FROM tasks;
INSERT INTO prompts (sequence, ids) VALUES (1, x'0100000002000000');
INSERT INTO idempotency (identity, route, key, request_digest, sequence)
VALUES ('localhost', '/v2/tasks', 'k', 'sha256:aa', 1);
INSERT INTO notes (name, value) VALUES ('kept', 'yes');
PRAGMA application_id = 1330791240;
PRAGMA user_version = 1;
