use orchestrator::{EndRow, Ended, TaskSpec};
use orchestrator_core::TaskId;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::task_records::{Refusal, integer, json};

/// Notes that the events of a task are no longer to be had.
pub(crate) fn events_gone(
    connection: &Connection,
    task: TaskId,
    at_ms: u64,
) -> Result<(), Refusal> {
    let sql = "UPDATE tasks SET events_gone_at_ms = ?2
               WHERE id = ?1 AND ended_at_ms IS NOT NULL AND events_gone_at_ms IS NULL";
    let at_ms = integer("at_ms", at_ms)?;
    connection.prepare_cached(sql)?.execute(params![task.0.as_bytes(), at_ms])?;
    Ok(())
}

/// Takes all text of an ended task away. What is gone, or was erased before, stays as it is.
pub(crate) fn erase(connection: &Connection, task: TaskId, at_ms: u64) -> Result<(), Refusal> {
    let at_ms = integer("at_ms", at_ms)?;
    let sql = "SELECT t.sequence, s.spec, t.end FROM tasks t JOIN specs s USING (sequence)
               WHERE t.id = ?1 AND t.ended_at_ms IS NOT NULL AND t.erased_at_ms IS NULL";
    let found = connection
        .prepare_cached(sql)?
        .query_row([task.0.as_bytes()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        })
        .optional()?;
    let Some((sequence, spec, end)) = found else { return Ok(()) };
    let spec: TaskSpec = serde_json::from_str(&spec)?;
    let end: EndRow = serde_json::from_str(&end)?;
    let sql = "UPDATE specs SET spec = ?2 WHERE sequence = ?1";
    connection.prepare_cached(sql)?.execute(params![sequence, json(&spec.without_text())?])?;
    connection.prepare_cached("DELETE FROM prompts WHERE sequence = ?1")?.execute([sequence])?;
    let sql = "UPDATE tasks SET end = ?2, erased_at_ms = ?3, client_ref = NULL, is_half_erased = 1,
                   events_gone_at_ms = coalesce(events_gone_at_ms, ?3)
               WHERE sequence = ?1";
    let end = json(&end.without_text())?;
    connection.prepare_cached(sql)?.execute(params![sequence, end, at_ms])?;
    Ok(())
}

/// Forgets where the events of a task were.
pub(crate) fn events_freed(connection: &Connection, task: TaskId) -> Result<(), Refusal> {
    let sql = "UPDATE tasks SET is_half_erased = NULL, first_segment = NULL, last_segment = NULL,
                   end = json_set(end, '$.regions', json('[]'))
               WHERE id = ?1 AND events_gone_at_ms IS NOT NULL";
    connection.prepare_cached(sql)?.execute([task.0.as_bytes()])?;
    Ok(())
}

/// Forgets an ended task, and what belongs to it.
pub(crate) fn remove(connection: &Connection, task: TaskId) -> Result<(), Refusal> {
    let sql = "DELETE FROM tasks WHERE id = ?1 AND ended_at_ms IS NOT NULL";
    connection.prepare_cached(sql)?.execute([task.0.as_bytes()])?;
    Ok(())
}

pub(crate) fn ended_tasks(
    connection: &Connection,
    which: Ended,
    limit: usize,
) -> Result<Vec<TaskId>, rusqlite::Error> {
    let (condition, until) = match which {
        Ended::WithEventsUntil(ms) => {
            ("ended_at_ms IS NOT NULL AND events_gone_at_ms IS NULL AND ended_at_ms <= ?1", ms)
        }
        Ended::Until(ms) => ("ended_at_ms IS NOT NULL AND ended_at_ms <= ?1", ms),
        Ended::GoneBefore(segment) => (
            "last_segment IS NOT NULL AND events_gone_at_ms IS NOT NULL AND is_half_erased IS NULL
             AND last_segment < ?1",
            segment,
        ),
        Ended::HalfErased => ("is_half_erased IS NOT NULL AND ended_at_ms <= ?1", u64::MAX),
    };
    // SQLite's integers have no larger values.
    let until = i64::try_from(until).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let order = match which {
        Ended::GoneBefore(_) => "last_segment",
        Ended::WithEventsUntil(_) | Ended::Until(_) | Ended::HalfErased => "ended_at_ms",
    };
    let sql = format!("SELECT id FROM tasks WHERE {condition} ORDER BY {order} LIMIT ?2");
    let id = |row: &rusqlite::Row<'_>| Ok(TaskId(Uuid::from_bytes(row.get(0)?)));
    connection.prepare_cached(&sql)?.query_map([until, limit], id)?.collect()
}

/// First segments, and the highest last one of each. One step in the index for each of them, however many
/// tasks there are.
pub(crate) fn segments_in_use(connection: &Connection) -> Result<Vec<(u64, u64)>, rusqlite::Error> {
    let sql = "WITH RECURSIVE firsts(first) AS (
                   SELECT min(first_segment) FROM tasks
                   WHERE first_segment IS NOT NULL AND events_gone_at_ms IS NULL
                   UNION ALL
                   SELECT (SELECT min(first_segment) FROM tasks
                           WHERE first_segment > first AND events_gone_at_ms IS NULL)
                   FROM firsts WHERE first IS NOT NULL
               )
               SELECT first, (SELECT max(last_segment) FROM tasks
                              WHERE first_segment = first AND events_gone_at_ms IS NULL)
               FROM firsts WHERE first IS NOT NULL";
    let pair = |row: &rusqlite::Row<'_>| Ok((natural(row, 0)?, natural(row, 1)?));
    connection.prepare_cached(sql)?.query_map([], pair)?.collect()
}

pub(crate) fn newest_end_ms(connection: &Connection) -> Result<Option<u64>, rusqlite::Error> {
    let sql = "SELECT max(ended_at_ms) FROM tasks WHERE ended_at_ms IS NOT NULL";
    let found: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(found.and_then(|ms| u64::try_from(ms).ok()))
}

fn natural(row: &rusqlite::Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    let value: i64 = row.get(column)?;
    u64::try_from(value)
        .map_err(|_negative| rusqlite::Error::IntegralValueOutOfRange(column, value))
}
