use std::sync::Arc;

use api_types::{EndEvent, ErrorBody, ErrorCode, TaskState};
use bytes::Bytes;
use orchestrator_core::{EndedBy, TaskId};

use crate::{
    EndRow, Outcome, Progress, Record,
    live_task::{LiveTask, StopReason},
    relay::prompt_tokens,
    replay::Replay,
    shared::Shared,
};

/// Longest result that is part of the terminal event (ORCH-077).
const RESULT_SHOWN_BYTES_MAX: usize = 256 << 10;

/// How a task is to end.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) state: TaskState,
    pub(crate) event: TerminalEvent,
    /// How its last attempt ended, where one was running.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) usage: Counted,
    /// Whether the task's idempotency key admits a new one.
    pub(crate) frees_binding: bool,
}

/// The terminal event's kind.
#[derive(Debug, Clone)]
pub(crate) enum TerminalEvent {
    /// The reason of each answer, at least one.
    End {
        finish_reasons: Vec<&'static str>,
        /// What the work gave where that is no text, as JSON.
        result: Option<Bytes>,
    },
    Error(Box<ErrorBody>),
}

/// Tokens in and out, where they are known, and the time spent decoding.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) tokens_in: Option<u64>,
    pub(crate) tokens_out: Option<u64>,
    pub(crate) decode_time_ms: u64,
}

impl Ending {
    /// The answer is whole.
    pub(crate) fn succeeded(finish_reasons: Vec<&'static str>, usage: Counted) -> Self {
        Self {
            state: TaskState::Succeeded,
            event: TerminalEvent::End { finish_reasons, result: None },
            outcome: Some(Outcome::Completed),
            usage,
            frees_binding: false,
        }
    }

    /// With what the work gave where that is no text.
    pub(crate) fn with_result(mut self, json: Option<Bytes>) -> Self {
        if let TerminalEvent::End { result, .. } = &mut self.event {
            *result = json;
        }
        self
    }

    /// Somebody wished the task to end.
    pub(crate) fn canceled(usage: Counted, is_abandoned: bool) -> Self {
        Self {
            state: TaskState::Canceled,
            event: TerminalEvent::End { finish_reasons: vec!["canceled"], result: None },
            outcome: Some(Outcome::Canceled),
            usage,
            frees_binding: is_abandoned,
        }
    }

    /// The task failed.
    pub(crate) fn failed(error: ErrorBody, outcome: Outcome, usage: Counted) -> Self {
        Self {
            state: TaskState::Failed,
            frees_binding: error.retriable,
            event: TerminalEvent::Error(Box::new(error)),
            outcome: Some(outcome),
            usage,
        }
    }

    /// The task's time ran out.
    pub(crate) fn expired(error: ErrorBody, usage: Counted) -> Self {
        Self { state: TaskState::Expired, ..Self::failed(error, Outcome::Expired, usage) }
    }

    /// The task's model was retired, and the time that its tasks were left is over.
    pub(crate) fn retired(live: &LiveTask, usage: Counted) -> Self {
        let message = "the task's model was retired, and its tasks had until now";
        Self::expired(task_error(live, ErrorCode::ModelDeprecated, message), usage)
    }

    /// The task made room for a newcomer.
    pub(crate) fn evicted(live: &LiveTask, retry_after_ms: u64) -> Self {
        let message = "the queue was full, and the task made room for a newer one";
        let mut error = task_error(live, ErrorCode::QueueFullDropLru, message);
        error.retry_after_ms = Some(retry_after_ms);
        Self {
            state: TaskState::Evicted,
            event: TerminalEvent::Error(Box::new(error)),
            outcome: None,
            usage: Counted {
                tokens_in: prompt_tokens(live, None),
                tokens_out: Some(0),
                decode_time_ms: 0,
            },
            frees_binding: true,
        }
    }

    /// What the scheduler says of a task that has no attempt.
    pub(crate) fn by_scheduler(live: &LiveTask, by: EndedBy) -> Self {
        let error = |code, message: &str| task_error(live, code, message);
        let usage = Counted::default();
        let ending = match by {
            EndedBy::Cancel if live.stop_reason() == Some(StopReason::Retired) => {
                Self::retired(live, usage)
            }
            EndedBy::Cancel => {
                let is_abandoned = live.stop_reason() == Some(StopReason::Abandoned);
                Self::canceled(usage, is_abandoned)
            }
            EndedBy::Deadline => Self::expired(
                error(ErrorCode::DeadlineExceeded, "the task's deadline passed while it waited"),
                usage,
            ),
            EndedBy::QueueTimeout => Self::expired(
                error(ErrorCode::QueueTimeout, "the task waited in the queue for too long"),
                usage,
            ),
            EndedBy::Unservable => Self::failed(
                error(
                    ErrorCode::ModelNotAvailable,
                    "no configured pool can serve the model any more",
                ),
                Outcome::Lost,
                usage,
            ),
        };
        Self { outcome: None, ..ending }
    }
}

/// An error about a task.
pub(crate) fn task_error(
    live: &LiveTask,
    code: ErrorCode,
    message: impl Into<String>,
) -> ErrorBody {
    let mut error = ErrorBody::new(code, message, live.spec.correlation_id.clone());
    error.task_id = Some(live.id.to_string());
    error
}

/// Ends a task: its events are synced, the end is committed, and only then shown.
pub(crate) async fn finish(shared: &Arc<Shared>, live: &Arc<LiveTask>, ending: Ending) {
    shared.sync_events().await;
    let usage = usage(shared, live, &ending).await;
    let drawn_up = DrawnUp::new(shared, live, Ending { usage, ..ending });
    let mut records = vec![drawn_up.record()];
    records.extend(shared.experience_now_and_then());
    shared.commit_until_room(records).await;
    drawn_up.show(shared, live);
}

/// A task's end as it is committed, and shown once that is durable.
pub(crate) struct DrawnUp {
    state: TaskState,
    end: EndRow,
    progress: Progress,
    frees_binding: bool,
    task: TaskId,
    decode_time_ms: Option<u64>,
}

impl DrawnUp {
    /// `ending.usage` is what the task used, all told.
    pub(crate) fn new(shared: &Shared, live: &LiveTask, ending: Ending) -> Self {
        let usage = ending.usage;
        let now_ms = shared.clock.wall_ms();
        let (progress, attempts, first_token_ms) = {
            let mut changing = live.changing();
            if let (Some(outcome), Some(attempt)) =
                (ending.outcome, changing.progress.attempts.last_mut())
                && attempt.outcome.is_none()
            {
                attempt.outcome = Some(outcome);
                attempt.ended_at_ms = Some(now_ms);
            }
            let attempts = u32::try_from(changing.progress.attempts.len()).unwrap_or(u32::MAX);
            (changing.progress.clone(), attempts, changing.first_token_ms)
        };
        let waited_ms = live.waited_ms(&*shared.clock);
        let (event, data, error) = match ending.event {
            TerminalEvent::End { mut finish_reasons, result } => {
                // Whoever ends the task from outside ends each of its answers.
                if let [reason] = finish_reasons[..] {
                    finish_reasons = vec![reason; usize::from(live.spec.output.choices()).max(1)];
                }
                let (result, result_url) = shown_result(live, result);
                let all = || finish_reasons.iter().map(|&reason| reason.to_owned()).collect();
                let end = EndEvent {
                    finish_reason: finish_reasons.first().copied().unwrap_or_default().to_owned(),
                    finish_reasons: (finish_reasons.len() > 1).then(all),
                    tokens_in: usage.tokens_in,
                    tokens_out: usage.tokens_out,
                    queue_time_ms: progress.queue_time_ms.unwrap_or(waited_ms),
                    first_token_ms,
                    decode_time_ms: usage.decode_time_ms,
                    attempts,
                    kv_migrated: false,
                    result,
                    result_url,
                };
                ("end", serde_json::to_string(&end), None)
            }
            TerminalEvent::Error(error) => ("error", serde_json::to_string(&error), Some(*error)),
        };
        let next_event = live.log.last_event() + 1;
        // An answer that is whole was generated again to its end; of others clients may have seen more.
        let lost_until = live.lost_until().filter(|_| ending.state != TaskState::Succeeded);
        let end = EndRow {
            ended_at_ms: now_ms,
            event_id: lost_until.map_or(next_event, |shown| shown + 1),
            event: event.to_owned(),
            data: data.expect("wire types are JSON"),
            tokens_in: usage.tokens_in,
            tokens_out: usage.tokens_out,
            error,
            regions: live.log.regions(),
            events_gone_at_ms: None,
            erased_at_ms: None,
        };
        Self {
            state: ending.state,
            end,
            progress,
            frees_binding: ending.frees_binding,
            task: live.id,
            decode_time_ms: (usage.tokens_out.unwrap_or_default() > 0)
                .then_some(usage.decode_time_ms),
        }
    }

    pub(crate) fn record(&self) -> Record {
        Record::Ended {
            task: self.task,
            state: self.state,
            progress: Box::new(self.progress.clone()),
            end: Box::new(self.end.clone()),
            frees_binding: self.frees_binding,
        }
    }

    /// The record is durable: the task is over, and its subscribers may know.
    pub(crate) fn show(self, shared: &Shared, live: &LiveTask) {
        live.changing().state = self.state;
        shared.forget(live.id);
        live.log.publish_terminal(&self.end);
        shared.count_end(live, &self.end, self.state, self.decode_time_ms);
    }
}

/// A result as the terminal event shows it: itself, or where it is to be had (ORCH-077).
fn shown_result(
    live: &LiveTask,
    result: Option<Bytes>,
) -> (Option<serde_json::Value>, Option<String>) {
    match result {
        None => (None, None),
        Some(json) if json.len() <= RESULT_SHOWN_BYTES_MAX => {
            (Some(serde_json::from_slice(&json).expect("adapters give JSON")), None)
        }
        Some(_) => (None, Some(format!("/v2/tasks/{}/result", live.id))),
    }
}

/// What the task used. An end that does not come from a running attempt counts what was shown before it.
async fn usage(shared: &Shared, live: &LiveTask, ending: &Ending) -> Counted {
    let told = ending.usage;
    if ending.state == TaskState::Succeeded || told.tokens_out.is_some() {
        return told;
    }
    let tokens_out = if live.log.last_event() == 0 {
        Some(0)
    } else {
        let replay = Replay::read(shared, &live.log, &live.spec).await;
        replay.ok().and_then(|replay| replay.answers.tokens_shown())
    };
    Counted { tokens_in: prompt_tokens(live, None), tokens_out, ..told }
}
