-- What is kept of ended tasks. `first_segment` and `last_segment` say where in the event log their events
-- lie, as long as they may lie there.
ALTER TABLE tasks ADD COLUMN first_segment INTEGER;
ALTER TABLE tasks ADD COLUMN last_segment INTEGER;
ALTER TABLE tasks ADD COLUMN events_gone_at_ms INTEGER;
ALTER TABLE tasks ADD COLUMN erased_at_ms INTEGER;
-- There from the erasure on until the events are overwritten.
ALTER TABLE tasks ADD COLUMN is_half_erased INTEGER;
UPDATE tasks SET
    first_segment = (SELECT min(value ->> 'segment') FROM json_each(tasks.end, '$.regions')),
    last_segment = (SELECT max(value ->> 'segment') FROM json_each(tasks.end, '$.regions'))
    WHERE end IS NOT NULL;
CREATE INDEX tasks_by_end ON tasks (ended_at_ms) WHERE ended_at_ms IS NOT NULL;
CREATE INDEX tasks_with_events ON tasks (ended_at_ms)
    WHERE ended_at_ms IS NOT NULL AND events_gone_at_ms IS NULL;
CREATE INDEX tasks_by_segment ON tasks (first_segment, last_segment)
    WHERE first_segment IS NOT NULL AND events_gone_at_ms IS NULL;
CREATE INDEX tasks_gone_by_segment ON tasks (last_segment)
    WHERE last_segment IS NOT NULL AND events_gone_at_ms IS NOT NULL AND is_half_erased IS NULL;
CREATE INDEX tasks_half_erased ON tasks (ended_at_ms) WHERE is_half_erased IS NOT NULL;
