use adapter_host::{AdapterError, Cause, EngineText};
use api_types::ErrorCode;
use serde_json::json;

use crate::{
    Outcome,
    ending::{Counted, Ending, task_error},
    live_task::{LiveTask, StopReason},
    replay::Replay,
};

/// What an attempt came to.
pub(crate) enum Verdict {
    /// The task ends.
    End {
        ending: Box<Ending>,
        /// Whether the engine's slot is free without asking.
        engine_is_done: bool,
    },
    /// The worker or the way to it failed; somebody else may do it.
    Retry { reason: RetryReason, cause: String },
    /// The daemon ends; the next one goes on.
    Leave,
}

/// Why a task is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryReason {
    /// The engine never saw the task.
    Unreachable,
    /// The engine had no room.
    Overloaded { retry_after_ms: Option<u64> },
    /// The attempt failed.
    Failed,
    /// The pool is taken away, and nobody is to blame.
    Planned,
}

impl Verdict {
    /// How the attempt ended; `None` where no engine took it up, and so it does not count as one.
    pub(crate) fn outcome_name(&self) -> Option<&'static str> {
        match self {
            Self::End { ending, .. } => ending.outcome.map(Outcome::name),
            Self::Retry { reason: RetryReason::Failed, .. } => Some(Outcome::Lost.name()),
            Self::Leave | Self::Retry { reason: RetryReason::Planned, .. } => {
                Some(Outcome::Interrupted.name())
            }
            Self::Retry { .. } => None,
        }
    }
}

pub(crate) fn end(ending: Ending, engine_is_done: bool) -> Verdict {
    Verdict::End { ending: Box::new(ending), engine_is_done }
}

pub(crate) fn fail(live: &LiveTask, code: ErrorCode, message: &str, outcome: Outcome) -> Verdict {
    let ending = Ending::failed(task_error(live, code, message), outcome, Counted::default());
    end(ending, false)
}

pub(crate) fn unreachable_pool(cause: &str) -> Verdict {
    Verdict::Retry { reason: RetryReason::Unreachable, cause: cause.to_owned() }
}

/// The verdict over an attempt that was told to stop.
pub(crate) fn stopped(live: &LiveTask, usage: Counted) -> Verdict {
    match (stopped_ending(live, usage), live.stop_reason()) {
        (Some(ending), _) => end(ending, false),
        (None, Some(_)) => Verdict::Leave,
        // Only the attempt was, not the task.
        (None, None) => Verdict::Retry {
            reason: RetryReason::Planned,
            cause: "the pool is taken away; the task goes on elsewhere".to_owned(),
        },
    }
}

/// The end of a task that was told to stop, if it was, and if that ends it.
pub(crate) fn stopped_ending(live: &LiveTask, usage: Counted) -> Option<Ending> {
    match live.stop_reason()? {
        StopReason::Cancel => Some(Ending::canceled(usage, false)),
        StopReason::Abandoned => Some(Ending::canceled(usage, true)),
        StopReason::Deadline => {
            let message = "the task's deadline passed while it ran";
            Some(Ending::expired(task_error(live, ErrorCode::DeadlineExceeded, message), usage))
        }
        StopReason::Retired => Some(Ending::retired(live, usage)),
        StopReason::Shutdown => None,
    }
}

pub(crate) fn adapter_verdict(live: &LiveTask, error: &AdapterError, replay: &Replay) -> Verdict {
    let cause = error.to_string();
    match (error.cause(), error) {
        (Cause::Task, AdapterError::ContextExceeded) => {
            let message = "the prompt and the answer do not fit the engine's context";
            fail(live, ErrorCode::ContextExceeded, message, Outcome::Refused)
        }
        (Cause::Task, AdapterError::SettingsUnavailable) => {
            let message = "no engine here computes as the one did that began the answer";
            fail(live, ErrorCode::ContinuationMismatch, message, Outcome::Mismatch)
        }
        (Cause::Task, refusal) => {
            // Continuing was refused, not the task itself.
            let (code, outcome) = if replay.is_empty() {
                (ErrorCode::EngineRefused, Outcome::Refused)
            } else {
                (ErrorCode::ContinuationMismatch, Outcome::Mismatch)
            };
            let mut error = task_error(live, code, "the engine refused the task");
            if let AdapterError::Refused { status, text } = refusal {
                let said = text.as_ref().map(EngineText::reveal);
                error.details = Some(json!({ "engine_status": status, "engine_said": said }));
            }
            end(Ending::failed(error, outcome, Counted::default()), false)
        }
        (Cause::Worker, AdapterError::Overloaded { retry_after_ms }) => {
            let reason = RetryReason::Overloaded { retry_after_ms: *retry_after_ms };
            Verdict::Retry { reason, cause }
        }
        (
            Cause::Worker,
            AdapterError::Unreachable { .. }
            | AdapterError::Unauthorized
            | AdapterError::ModelAbsent { .. },
        ) => Verdict::Retry { reason: RetryReason::Unreachable, cause },
        (Cause::Worker | Cause::Planned, _) => {
            Verdict::Retry { reason: RetryReason::Failed, cause }
        }
    }
}
