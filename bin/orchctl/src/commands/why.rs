mod placing;

use api_types::{
    AheadView, ErrorCode, Priority, Reported, ReportedError, ReportedTask, StatusView, StepStatus,
    TaskState,
};
use client::{Client, ClientError, TaskQuery};
use serde::Serialize;

use crate::{
    failure::Failure,
    output::{Output, without_control},
    progress_note::preparing,
    task_name::task_id,
};

/// Tasks of a queue that are looked at.
const QUEUE_PAGE: u32 = 500;
/// Tasks ahead that are named.
const AHEAD_NAMED_MAX: usize = 5;

/// What a task's story is told from.
#[derive(Serialize)]
struct Facts {
    task: ReportedTask,
    /// Tasks of the same model that are ahead in its queue, the next one first.
    ahead: Vec<ReportedTask>,
    /// The daemon at a glance; none where the token may not see it.
    status: Option<StatusView>,
}

/// `orchctl why`: what is or was with a task, in sentences.
pub(crate) async fn why(client: &Client, task: &str, output: &mut Output) -> Result<(), Failure> {
    let task = client.task(&task_id(client, task).await?, false).await?;
    let is_live = !has_ended(&task);
    let ahead = match task.queue_position {
        Some(1..) if is_live => ahead(client, &task).await?,
        _ => Vec::new(),
    };
    let status = if is_live { status(client).await? } else { None };
    let facts = Facts { task, ahead, status };
    if output.as_json {
        return output.write_json(&facts).await;
    }
    output.write(&without_control(&story(&facts))).await
}

async fn ahead(client: &Client, task: &ReportedTask) -> Result<Vec<ReportedTask>, Failure> {
    let query = TaskQuery {
        status: Some(TaskState::Queued),
        limit: Some(QUEUE_PAGE),
        ..TaskQuery::default()
    };
    let mut ahead = client.tasks(&query).await?.items;
    ahead.retain(|other| {
        other.model_id == task.model_id
            && other.task_id != task.task_id
            && other.queue_position.is_some_and(|position| Some(position) < task.queue_position)
    });
    ahead.sort_by_key(|other| other.queue_position);
    Ok(ahead)
}

async fn status(client: &Client) -> Result<Option<StatusView>, ClientError> {
    match client.status().await {
        Ok(status) => Ok(Some(status)),
        // A client's token shows its tasks, not the daemon.
        Err(ClientError::Refused { status: 401 | 403, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn story(facts: &Facts) -> String {
    let task = &facts.task;
    let mut lines = vec![standing(task), admission(task)];
    if !has_ended(task) {
        lines.extend(place(facts));
        lines.extend(owners_ahead(task));
        lines.extend(estimate(task));
        lines.extend(preparation(task));
        if task.queue_position.is_some() {
            lines.extend(task.decision.iter().flat_map(placing::waiting));
        }
        lines.extend(facts.status.iter().flat_map(|status| surroundings(task, status)));
    }
    lines.extend(attempts(task));
    lines.extend(deadline(task));
    if let Some(error) = &task.error {
        lines.push(format!("The error: {} ({}).", error.message, error.code.name()));
        lines.push(format!("What to do: {}.", advice(error)));
    }
    lines.join("\n") + "\n"
}

/// Whether nothing more happens to it. A state that this program does not know has ended with the task's time.
fn has_ended(task: &ReportedTask) -> bool {
    task.status.known().map_or(task.ended_at.is_some(), TaskState::is_terminal)
}

fn standing(task: &ReportedTask) -> String {
    let ended = task.ended_at.as_deref().unwrap_or("an unknown time");
    let Reported::Known(state) = &task.status else {
        return format!(
            "Task {} is in a state that this program does not know: {}.",
            task.task_id, task.status
        );
    };
    let state = match state {
        TaskState::Queued => format!("waits in the queue since {}", task.admitted_at),
        TaskState::Preparing => {
            format!("waits, since {}, until its model is ready", task.admitted_at)
        }
        TaskState::Running => {
            let since = task.started_at.iter().map(|started| format!(" since {started}"));
            let end_ms = task.predicted_end_ms.into_iter();
            let end = end_ms.map(|end_ms| format!(" and should end in {}", seconds(end_ms)));
            ["runs".to_owned()].into_iter().chain(since).chain(end).collect()
        }
        TaskState::Succeeded => format!("succeeded at {ended}"),
        TaskState::Failed => format!("failed at {ended}"),
        TaskState::Canceled => format!("was canceled at {ended}"),
        TaskState::Expired => format!("expired at {ended}"),
        TaskState::Evicted => format!("was dropped from the queue at {ended}"),
    };
    match task.usage.tokens_out {
        Some(tokens @ 1..) => {
            format!("Task {} {state}; it has {}.", task.task_id, count(tokens, "token"))
        }
        _ => format!("Task {} {state}.", task.task_id),
    }
}

fn admission(task: &ReportedTask) -> String {
    let class = match &task.priority {
        Reported::Known(Priority::Interactive) => "an interactive",
        Reported::Known(Priority::Batch) => "a batch",
        Reported::Other(class) => &format!("a {class}"),
    };
    format!(
        "It was admitted at {} as {class} task for model {} ({}).",
        task.admitted_at, task.model_ref, task.model_id
    )
}

/// The place in the queue.
fn place(facts: &Facts) -> Option<String> {
    let position = facts.task.queue_position?;
    if position == 0 {
        return Some("It is next in its queue.".to_owned());
    }
    let named = facts.ahead.iter().take(AHEAD_NAMED_MAX).map(|task| task.task_id.as_str());
    let named: Vec<&str> = named.collect();
    let head = format!("Ahead of it in its queue: {}", count(position, "task"));
    Some(match named.as_slice() {
        [] => format!("{head}."),
        _ => format!("{head}, the next ones {}.", named.join(", ")),
    })
}

/// Whose the tasks ahead are.
fn owners_ahead(task: &ReportedTask) -> Option<String> {
    let ahead = &task.waiting.as_ref().filter(|waiting| !waiting.ahead.is_empty())?.ahead;
    let of = |ahead: &AheadView<Reported<Priority>>| {
        let owner = ahead.identity.as_deref().unwrap_or("others, or begun before");
        format!("{} {} of {owner}", ahead.tasks, ahead.priority)
    };
    let owners: Vec<String> = ahead.iter().map(of).collect();
    Some(format!("These are: {}.", owners.join("; ")))
}

/// When it should start and end, and what that rests on.
fn estimate(task: &ReportedTask) -> Option<String> {
    let estimate = task.waiting.as_ref()?.estimate.as_ref()?;
    Some(format!(
        "It should start in {}, and four times of five between {} and {}; it waits for {}, with {} \
         before it. It should have its first token {} later and end {} after that, by the last {} \
         of its model.",
        seconds(task.predicted_start_ms?),
        seconds(estimate.start_earliest_ms),
        seconds(estimate.start_latest_ms),
        count(u64::from(estimate.slots), "slot"),
        count(estimate.starts_ahead, "start"),
        seconds(estimate.prefill_ms),
        seconds(estimate.decode_ms),
        count(u64::from(estimate.samples), "attempt"),
    ))
}

/// Milliseconds as seconds with one digit behind the point.
fn seconds(ms: u64) -> String {
    let tenths = ms.saturating_add(50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

fn preparation(task: &ReportedTask) -> Option<String> {
    let steps = task.preparation.steps.iter().filter(|step| step.status != StepStatus::Completed);
    let steps: Vec<String> = steps
        .map(|step| {
            let state = match &step.status {
                Reported::Known(StepStatus::Pending) => "has not begun",
                Reported::Known(StepStatus::Running) => "goes on",
                Reported::Known(StepStatus::Completed) => "is done",
                Reported::Known(StepStatus::Failed) => "failed",
                Reported::Other(status) => status,
            };
            format!("{} ({state})", preparing(step).trim_end_matches('…'))
        })
        .collect();
    (!steps.is_empty()).then(|| format!("It waits for this: {}.", steps.join("; ")))
}

/// What the daemon says about the model's pools and queue.
fn surroundings(task: &ReportedTask, status: &StatusView) -> Vec<String> {
    let mut lines = Vec::new();
    if !status.ready {
        lines.push(format!("The daemon is not ready: {}.", status.failing.join(", ")));
    }
    if let Some(queue) = status.queue.iter().find(|queue| queue.model_id == task.model_id) {
        lines.push(format!(
            "Of its model's tasks, {} run, and {} interactive and {} batch ones wait.",
            queue.running, queue.interactive, queue.batch
        ));
    }
    let model = status.models.iter().find(|model| model.id == task.model_id);
    let serves = |pool: &str| model.is_some_and(|model| model.pools.iter().any(|id| id == pool));
    for pool in status.pools.iter().filter(|pool| serves(&pool.pool_id)) {
        let slots = format!("{} of {} slots free", pool.slots_free, pool.slots_total);
        let problem = pool.last_error.as_ref().map(|error| format!("; its problem: {error}"));
        lines.push(format!(
            "Pool {}, which may serve it, is {}, {slots}{}.",
            pool.pool_id,
            pool.state,
            problem.unwrap_or_default()
        ));
    }
    lines
}

fn attempts(task: &ReportedTask) -> impl Iterator<Item = String> {
    task.attempts.iter().zip(1..).flat_map(|(attempt, number)| {
        let became = match attempt.outcome.as_deref() {
            None => "goes on",
            Some("completed") => "was completed",
            Some("canceled") => "was canceled",
            Some("expired") => "ran out of time",
            Some("refused") => "ended because the engine refused the task",
            Some("lost") => "ended because the worker, or the way to it, was lost",
            Some("mismatch") => {
                "ended because what was generated again differed from what was shown"
            }
            Some("interrupted") => "was cut off by an end of the daemon",
            Some(other) => other,
        };
        let until = attempt.ended_at.as_ref().map(|ended| format!(" until {ended}"));
        let mut lines = vec![format!(
            "Attempt {number}, on replica {} of pool {} ({} {}) from {}{}, {became} after {}.",
            attempt.replica_id,
            attempt.pool_id,
            attempt.engine,
            attempt.engine_version,
            attempt.started_at,
            until.unwrap_or_default(),
            count(attempt.tokens, "token"),
        )];
        lines.extend(placing::attempt(attempt, number));
        lines
    })
}

fn deadline(task: &ReportedTask) -> Option<String> {
    let deadline = task.deadline_at.as_ref()?;
    Some(match has_ended(task) {
        true => format!("Its deadline was {deadline}."),
        false => format!("It expires if it has not ended by {deadline}."),
    })
}

/// What helps against an error that ended a task.
fn advice(error: &ReportedError) -> &'static str {
    match error.code.known() {
        Some(ErrorCode::DeadlineExceeded) => {
            "hand it in with a longer deadline, or when less is waiting"
        }
        Some(ErrorCode::QueueTimeout) => {
            "hand it in when less is waiting, add slots, or raise queue.queue_max_ms"
        }
        Some(ErrorCode::QueueFullDropLru) => "hand it in again when less is waiting",
        Some(ErrorCode::ContextExceeded) => {
            "shorten the prompt, or ask a model with a longer context"
        }
        Some(ErrorCode::StorageFull) => {
            "make room on the data directory's disk, and hand it in again"
        }
        Some(ErrorCode::WorkerReset | ErrorCode::ReplicaExhausted | ErrorCode::DecodeTimeout) => {
            "see with `orchctl status` what is wrong with the pool, and hand it in again"
        }
        Some(ErrorCode::EngineRefused) => "change the request as the message says",
        _ if error.retriable => "hand it in again; it may succeed later",
        _ => "change the request; as it is, it will not succeed later either",
    }
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
