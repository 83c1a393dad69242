use orchestrator::{Binding, EndRow, Progress, Record, TaskRow};
use orchestrator_core::TaskId;
use rusqlite::{Connection, TransactionBehavior, params};
use serde::Serialize;

use crate::task_removal;

/// Why a record is not written. What was written of its commit has to be taken back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the idempotency key is bound")]
    BindingTaken,
    #[error("task {0} has ended")]
    AlreadyEnded(TaskId),
    #[error("{0}")]
    Invalid(String),
    #[error("the database refused")]
    Sqlite(#[from] rusqlite::Error),
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::Invalid(format!("a value has no JSON: {error}"))
    }
}

/// Writes a record within the connection's transaction.
pub(crate) fn write(connection: &Connection, record: &Record) -> Result<(), Refusal> {
    match record {
        Record::Admitted { task, binding } => {
            let sequence = integer("sequence", task.sequence)?;
            admit(connection, task, sequence)?;
            binding.as_ref().map_or(Ok(()), |binding| bind(connection, task, sequence, binding))
        }
        Record::Moved { task, state, progress } => {
            let sql = "UPDATE tasks SET state = ?2, progress = ?3
                       WHERE id = ?1 AND ended_at_ms IS NULL";
            let moved = connection.prepare_cached(sql)?.execute(params![
                task.0.as_bytes(),
                state.name(),
                json::<Progress>(progress)?
            ])?;
            changed_one(connection, *task, moved)
        }
        Record::Rendered { task, prompt_ids } => {
            let sequence = sequence_of(connection, *task)?;
            keep_prompt(connection, sequence, prompt_ids)
        }
        Record::Ended { task, state, progress, end, frees_binding } => {
            let sql = "UPDATE tasks SET state = ?2, progress = ?3, end = ?4, ended_at_ms = ?5,
                           first_segment = ?6, last_segment = ?7
                       WHERE id = ?1 AND ended_at_ms IS NULL";
            let (first_segment, last_segment) = segments(end)?;
            let ended = connection.prepare_cached(sql)?.execute(params![
                task.0.as_bytes(),
                state.name(),
                json::<Progress>(progress)?,
                json::<EndRow>(end)?,
                integer("ended_at_ms", end.ended_at_ms)?,
                first_segment,
                last_segment
            ])?;
            changed_one(connection, *task, ended)?;
            if *frees_binding {
                let sequence = sequence_of(connection, *task)?;
                let sql = "DELETE FROM idempotency WHERE sequence = ?1";
                connection.prepare_cached(sql)?.execute([sequence])?;
            }
            Ok(())
        }
        Record::EventsGone { task, at_ms } => task_removal::events_gone(connection, *task, *at_ms),
        Record::Erased { task, at_ms } => task_removal::erase(connection, *task, *at_ms),
        Record::EventsFreed { task } => task_removal::events_freed(connection, *task),
        Record::Removed { task } => task_removal::remove(connection, *task),
        Record::Note { name, value } => {
            let sql = "INSERT INTO notes (name, value) VALUES (?1, ?2)
                       ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            connection.prepare_cached(sql)?.execute(params![name, value])?;
            Ok(())
        }
    }
}

/// Writes a page, and takes its content back in the same transaction.
pub(crate) fn probe(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // A name that no record has, as theirs are not empty.
    transaction.execute("INSERT INTO notes (name, value) VALUES ('', '')", [])?;
    transaction.execute("DELETE FROM notes WHERE name = ''", [])?;
    transaction.commit()
}

fn admit(connection: &Connection, task: &TaskRow, sequence: i64) -> Result<(), Refusal> {
    let ended_at_ms =
        task.end.as_ref().map(|end| integer("ended_at_ms", end.ended_at_ms)).transpose()?;
    let sql = "INSERT INTO tasks (sequence, id, identity, state, model_ref, model_id, client_ref,
                                  progress, end, ended_at_ms, first_segment, last_segment)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let (first_segment, last_segment) =
        task.end.as_ref().map(segments).transpose()?.unwrap_or_default();
    connection.prepare_cached(sql)?.execute(params![
        sequence,
        task.id.0.as_bytes(),
        &*task.identity,
        task.state.name(),
        task.spec.model_ref,
        task.spec.model_id,
        task.spec.client_ref,
        json(&task.progress)?,
        task.end.as_ref().map(json).transpose()?,
        ended_at_ms,
        first_segment,
        last_segment
    ])?;
    let sql = "INSERT INTO specs (sequence, spec) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute(params![sequence, json(&*task.spec)?])?;
    task.prompt_ids.as_ref().map_or(Ok(()), |ids| keep_prompt(connection, sequence, ids))
}

/// The first and the last segment that hold events of the task.
fn segments(end: &EndRow) -> Result<(Option<i64>, Option<i64>), Refusal> {
    let numbers = || end.regions.iter().map(|region| region.segment);
    let column = |number: Option<u64>| number.map(|it| integer("segment", it)).transpose();
    Ok((column(numbers().min())?, column(numbers().max())?))
}

fn bind(
    connection: &Connection,
    task: &TaskRow,
    sequence: i64,
    binding: &Binding,
) -> Result<(), Refusal> {
    if binding.task != task.id {
        return Err(Refusal::Invalid(format!("the binding of task {} names another", task.id)));
    }
    let sql = "INSERT INTO idempotency (identity, route, key, request_digest, sequence)
               VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    let bound = connection.prepare_cached(sql)?.execute(params![
        &*binding.key.identity,
        binding.key.route,
        &*binding.key.key,
        binding.request_digest,
        sequence
    ])?;
    if bound == 0 { Err(Refusal::BindingTaken) } else { Ok(()) }
}

fn keep_prompt(connection: &Connection, sequence: i64, ids: &[u32]) -> Result<(), Refusal> {
    let ids: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    let sql = "INSERT INTO prompts (sequence, ids) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute(params![sequence, ids])?;
    Ok(())
}

fn sequence_of(connection: &Connection, task: TaskId) -> Result<i64, Refusal> {
    let mut statement = connection.prepare_cached("SELECT sequence FROM tasks WHERE id = ?1")?;
    let mut rows = statement.query([task.0.as_bytes()])?;
    match rows.next()? {
        Some(row) => Ok(row.get(0)?),
        None => Err(Refusal::Invalid(format!("there is no task {task}"))),
    }
}

/// Tells why a live task was not found.
fn changed_one(connection: &Connection, task: TaskId, changed: usize) -> Result<(), Refusal> {
    if changed == 1 {
        return Ok(());
    }
    sequence_of(connection, task)?;
    Err(Refusal::AlreadyEnded(task))
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string(value)
}

pub(crate) fn integer(name: &str, value: u64) -> Result<i64, Refusal> {
    i64::try_from(value)
        .map_err(|_too_large| Refusal::Invalid(format!("{name} {value} is too large")))
}
