use std::time::Duration;

use api_types::{ErrorCode, Priority, TaskState};
use placement::Explanation;

/// Told of decisions as they are taken, so that somebody can count them. The calls come from the middle of
/// the work: they return at once. None is made for a single token.
pub trait Observer: Send + Sync + 'static {
    /// A task is durable.
    fn admitted(&self, _task: TaskLabels<'_>, _took: Duration) {}

    /// A submission was refused; `policy` is the rule of the queue that did it, where one did.
    fn rejected(&self, _code: ErrorCode, _policy: Option<&str>) {}

    /// It was decided where a task goes: for each attempt, and once for a task that has to wait for its first
    /// one. `took` includes the step of the scheduler around it, in equal parts where that decided more.
    fn placed(&self, _decision: &Explanation, _took: Duration) {}

    /// A task has its first attempt.
    fn started(&self, _task: TaskLabels<'_>, _pool_id: &str, _waited: Duration) {}

    /// A task has its first token.
    fn first_token(&self, _task: TaskLabels<'_>, _since_admission: Duration) {}

    /// What an attempt has streamed since the last call; some calls a minute, and one at its end.
    fn streamed(&self, _task: TaskLabels<'_>, _pool_id: &str, _streamed: &Streamed) {}

    /// A further attempt of a task is over.
    fn failed_over(&self, _method: &str, _outcome: &str) {}

    /// A task has ended, for good.
    fn finished(&self, _task: TaskLabels<'_>, _end: &Finished<'_>) {}

    /// A subscription ended before its task's last event.
    fn subscription_lost(&self, _cause: &str) {}

    /// Events without id that a subscriber did not get, as newer ones took their place.
    fn notices_dropped(&self, _count: u64) {}

    /// A commit of the journal is durable.
    fn committed(&self, _took: Duration) {}
}

/// Observes nothing.
impl Observer for () {}

/// What a task is counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskLabels<'a> {
    /// The model as the request named it.
    pub model: &'a str,
    pub priority: Priority,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished<'a> {
    pub state: TaskState,
    /// The error of a task that did not succeed.
    pub code: Option<ErrorCode>,
    /// The pool of its last attempt, if it had one.
    pub pool_id: Option<&'a str>,
    /// Tokens of the prompt, where they are known.
    pub tokens_in: Option<u64>,
    /// From the first to the last token of the last attempt; `None` without a token.
    pub decode_time: Option<Duration>,
}

/// What an attempt streamed in a while.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Streamed {
    /// Tokens shown, as the events count them.
    pub tokens: u64,
    /// Pauses between two outputs of the engine, by the bounds of [`Streamed::PAUSES_MS`]; those above the
    /// last bound come last.
    pub pauses: [u32; Self::PAUSES_MS.len() + 1],
    /// Sum of the pauses, in milliseconds.
    pub pauses_sum_ms: u64,
}

impl Streamed {
    /// Upper bounds of the pauses that are counted together, in milliseconds. Clocks are read to the
    /// millisecond, and once for all outputs that came together.
    pub const PAUSES_MS: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];

    /// Counts `outputs` that came together, `pause_ms` after the one before them, if there was one.
    pub(crate) fn count_outputs(&mut self, pause_ms: Option<u64>, outputs: u32) {
        let Some(together) = outputs.checked_sub(1) else { return };
        self.pauses[0] += together;
        if let Some(pause_ms) = pause_ms {
            // From below: nearly all pauses fall into the first buckets.
            let bucket = Self::PAUSES_MS.iter().position(|bound| pause_ms <= *bound);
            self.pauses[bucket.unwrap_or(Self::PAUSES_MS.len())] += 1;
            self.pauses_sum_ms += pause_ms;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
