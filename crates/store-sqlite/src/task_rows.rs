use std::{error::Error, sync::Arc};

use api_types::TaskState;
use orchestrator::{Binding, BindingKey, EndRow, TaskFilter, TaskRow};
use orchestrator_core::TaskId;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter, types::Type};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IntoDeserializer, value},
};
use uuid::Uuid;

const SELECT: &str =
    "SELECT t.sequence, t.id, t.identity, t.state, s.spec, p.ids, t.progress, t.end,
        t.events_gone_at_ms, t.erased_at_ms
    FROM tasks t JOIN specs s USING (sequence) LEFT JOIN prompts p USING (sequence) WHERE";

pub(crate) fn task(
    connection: &Connection,
    id: TaskId,
) -> Result<Option<TaskRow>, rusqlite::Error> {
    connection
        .prepare_cached(&format!("{SELECT} t.id = ?1"))?
        .query_row([id.0.as_bytes()], decode)
        .optional()
}

pub(crate) fn live_tasks(connection: &Connection) -> Result<Vec<TaskRow>, rusqlite::Error> {
    connection
        .prepare_cached(&format!("{SELECT} t.ended_at_ms IS NULL ORDER BY t.sequence"))?
        .query_map([], decode)?
        .collect()
}

pub(crate) fn tasks(
    connection: &Connection,
    filter: &TaskFilter,
    before_sequence: Option<u64>,
    limit: usize,
) -> Result<Vec<TaskRow>, rusqlite::Error> {
    let TaskFilter { identity, state, model_ref, client_ref } = filter;
    let mut sql = format!("{SELECT} t.sequence < ?");
    // SQLite's integers have no larger value, so no sequence is above it.
    let before = before_sequence.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut values: Vec<&dyn ToSql> = vec![&before];
    for (column, value) in
        [("identity", identity), ("model_ref", model_ref), ("client_ref", client_ref)]
    {
        if let Some(value) = value {
            sql.push_str(&format!(" AND t.{column} = ?"));
            values.push(value);
        }
    }
    if let Some(name) = state {
        let Some(state) = state_of(name) else { return Ok(Vec::new()) };
        // Said aloud, as the indices hold only the one or the other.
        let ended = if state.is_terminal() { "IS NOT NULL" } else { "IS NULL" };
        sql.push_str(&format!(" AND t.ended_at_ms {ended} AND t.state = ?"));
        values.push(name);
    }
    sql.push_str(" ORDER BY t.sequence DESC LIMIT ?");
    values.push(&limit);
    connection.prepare_cached(&sql)?.query_map(params_from_iter(values), decode)?.collect()
}

pub(crate) fn binding(
    connection: &Connection,
    key: BindingKey,
) -> Result<Option<Binding>, rusqlite::Error> {
    let sql = "SELECT i.request_digest, t.id FROM idempotency i JOIN tasks t USING (sequence)
               WHERE i.identity = ?1 AND i.route = ?2 AND i.key = ?3";
    let found = connection
        .prepare_cached(sql)?
        .query_row(params![&*key.identity, key.route, &*key.key], |row| {
            Ok((row.get(0)?, id_of(row, 1)?))
        })
        .optional()?;
    Ok(found.map(|(request_digest, task)| Binding { key, request_digest, task }))
}

pub(crate) fn last_sequence(connection: &Connection) -> Result<u64, rusqlite::Error> {
    // SQLite keeps the largest that ever was, also where its row is gone.
    let found = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'tasks'")?
        .query_row([], |row| natural(row, 0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

pub(crate) fn note(connection: &Connection, name: &str) -> Result<Option<String>, rusqlite::Error> {
    connection
        .prepare_cached("SELECT value FROM notes WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

fn decode(row: &Row<'_>) -> Result<TaskRow, rusqlite::Error> {
    let state = row.get_ref(3)?.as_str()?;
    let ids = row.get_ref(5)?.as_blob_or_null()?;
    Ok(TaskRow {
        id: id_of(row, 1)?,
        sequence: natural(row, 0)?,
        identity: row.get_ref(2)?.as_str()?.into(),
        state: state_of(state)
            .ok_or_else(|| unreadable(3, Type::Text, format!("unknown state `{state}`").into()))?,
        spec: Arc::new(from_json(row, 4)?),
        prompt_ids: ids
            .map(|ids| ids.as_chunks().0.iter().copied().map(u32::from_le_bytes).collect()),
        progress: from_json(row, 6)?,
        end: match row.get_ref(7)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(EndRow {
                events_gone_at_ms: instant(row, 8)?,
                erased_at_ms: instant(row, 9)?,
                ..from_json(row, 7)?
            }),
        },
    })
}

fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, rusqlite::Error> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| unreadable(column, Type::Text, error.into()))
}

fn id_of(row: &Row<'_>, column: usize) -> Result<TaskId, rusqlite::Error> {
    Ok(TaskId(Uuid::from_bytes(row.get(column)?)))
}

fn natural(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    let value: i64 = row.get(column)?;
    u64::try_from(value)
        .map_err(|_negative| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

fn instant(row: &Row<'_>, column: usize) -> Result<Option<u64>, rusqlite::Error> {
    let value: Option<i64> = row.get(column)?;
    Ok(value.and_then(|ms| u64::try_from(ms).ok()))
}

fn state_of(name: &str) -> Option<TaskState> {
    let name: value::StrDeserializer<'_, value::Error> = name.into_deserializer();
    TaskState::deserialize(name).ok()
}

fn unreadable(column: usize, kind: Type, error: Box<dyn Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, error)
}
