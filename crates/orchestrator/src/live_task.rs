use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use api_types::{Priority, TaskState};
use orchestrator_core::{Class, Identity, ModelId, Offer, TaskId, Work};
use placement::{ReplicaKey, Request};
use tokio_util::sync::CancellationToken;

use crate::{
    Clock, EndRow, Options, Outcome, Progress, TaskLabels, TaskRow, TaskSpec, task_log::TaskLog,
    wants,
};

/// A task that has not ended, as this process holds it.
pub(crate) struct LiveTask {
    pub(crate) id: TaskId,
    pub(crate) sequence: u64,
    pub(crate) identity: Arc<str>,
    pub(crate) spec: Arc<TaskSpec>,
    pub(crate) log: Arc<TaskLog>,
    /// Clients may have seen events up to this id that were lost with the power; 0 where none were.
    shown_until: u64,
    changing: Mutex<Changing>,
    /// Where an attempt is at work, and what stops that attempt alone.
    at_work: Mutex<Option<(ReplicaKey, CancellationToken)>>,
    stop: CancellationToken,
    stop_reason: OnceLock<StopReason>,
}

/// What of a live task changes.
#[derive(Debug, Clone)]
pub(crate) struct Changing {
    pub(crate) state: TaskState,
    pub(crate) prompt_ids: Option<Arc<[u32]>>,
    pub(crate) progress: Progress,
    /// Wall clock when it last joined the queue.
    pub(crate) queued_at_ms: u64,
    /// From admission to the first token; lost with the process.
    pub(crate) first_token_ms: Option<u64>,
}

/// Why a running attempt is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    Cancel,
    /// As `Cancel`, because nobody listens any more.
    Abandoned,
    Deadline,
    /// Its model was retired, and the time that its tasks were left is over.
    Retired,
    /// The daemon ends; the task goes on with the next one.
    Shutdown,
}

impl LiveTask {
    pub(crate) fn new(row: TaskRow, log: Arc<TaskLog>, shown_until: u64) -> Self {
        let last_ended = row.progress.attempts.last().and_then(|attempt| attempt.ended_at_ms);
        let queued_at_ms = last_ended.unwrap_or(row.spec.admitted_at_ms);
        Self {
            id: row.id,
            sequence: row.sequence,
            identity: row.identity,
            spec: row.spec,
            log,
            shown_until,
            changing: Mutex::new(Changing {
                state: row.state,
                prompt_ids: row.prompt_ids,
                progress: row.progress,
                queued_at_ms,
                first_token_ms: None,
            }),
            at_work: Mutex::default(),
            stop: CancellationToken::new(),
            stop_reason: OnceLock::new(),
        }
    }

    /// The last id that clients may have seen, where power was lost and the log does not have all of it
    /// yet.
    pub(crate) fn lost_until(&self) -> Option<u64> {
        (self.log.last_event() < self.shown_until).then_some(self.shown_until)
    }

    /// What the task is counted under.
    pub(crate) fn labels(&self) -> TaskLabels<'_> {
        self.spec.labels()
    }

    /// Gives its ids to whatever is logged within; of the highest level, so that no line goes without.
    pub(crate) fn span(&self) -> tracing::Span {
        tracing::error_span!(
            "task",
            task_id = %self.id,
            correlation_id = self.spec.correlation_id,
            trace_id = self.spec.trace_id(),
            model = self.spec.model_ref,
        )
    }

    /// Time since admission, in milliseconds.
    pub(crate) fn waited_ms(&self, clock: &dyn Clock) -> u64 {
        if self.spec.boot_id == clock.boot_id() {
            clock.boot_ms().saturating_sub(self.spec.admitted_boot_ms)
        } else {
            clock.wall_ms().saturating_sub(self.spec.admitted_at_ms)
        }
    }

    /// What changes; never held across a wait.
    pub(crate) fn changing(&self) -> MutexGuard<'_, Changing> {
        let mut changing = self.changing.lock().expect("no holder panics");
        if let Some(attempt) = changing.progress.attempts.last_mut()
            && attempt.outcome.is_none()
        {
            // Counted where the run writes at each token anyway.
            attempt.tokens = self.log.attempt_tokens();
        }
        changing
    }

    /// Notes how far the last attempt came where the process ended in its middle, and the count with it.
    pub(crate) fn note_cut_off(&self, tokens: u64) {
        if let Some(attempt) = self.changing().progress.attempts.last_mut()
            && attempt.outcome == Some(Outcome::Interrupted)
        {
            attempt.tokens = attempt.tokens.max(tokens);
        }
    }

    /// Asks the running attempt to stop; the first reason counts.
    pub(crate) fn stop(&self, reason: StopReason) {
        self.stop_reason.get_or_init(|| reason);
        self.stop.cancel();
    }

    /// Notes where an attempt begins; what is returned fires when it is to stop.
    pub(crate) fn begin_attempt(&self, replica: &ReplicaKey) -> CancellationToken {
        let stop = self.stop.child_token();
        *self.at_work() = Some((replica.clone(), stop.clone()));
        stop
    }

    pub(crate) fn end_attempt(&self) {
        *self.at_work() = None;
    }

    /// Whether an attempt is at work there.
    pub(crate) fn is_at_work_on(&self, replica: &ReplicaKey) -> bool {
        self.at_work().as_ref().is_some_and(|(at, _)| at == replica)
    }

    /// Stops the attempt that is at work there, so that the task goes on elsewhere.
    pub(crate) fn move_from(&self, replica: &ReplicaKey) {
        if let Some((_, stop)) = self.at_work().as_ref().filter(|(at, _)| at == replica) {
            stop.cancel();
        }
    }

    fn at_work(&self) -> MutexGuard<'_, Option<(ReplicaKey, CancellationToken)>> {
        self.at_work.lock().expect("no holder panics")
    }

    pub(crate) fn stop_reason(&self) -> Option<StopReason> {
        self.stop_reason.get().copied()
    }

    /// Remembers why the task will be stopped, for when nothing of it runs.
    pub(crate) fn mark(&self, reason: StopReason) {
        self.stop_reason.get_or_init(|| reason);
    }

    /// The task as the journal would give it now.
    pub(crate) fn row(&self, end: Option<EndRow>) -> TaskRow {
        let changing = self.changing().clone();
        TaskRow {
            id: self.id,
            sequence: self.sequence,
            identity: Arc::clone(&self.identity),
            state: changing.state,
            spec: Arc::clone(&self.spec),
            prompt_ids: changing.prompt_ids,
            progress: changing.progress,
            end,
        }
    }

    fn work(&self) -> Work {
        Work {
            prompt_tokens: self.spec.prompt_tokens.map(u64::from),
            expected_tokens: self.spec.expected_tokens.map(u64::from),
            answer_tokens_max: Some(self.spec.max_tokens.into()),
        }
    }

    /// Whether no engine ever took it up.
    fn never_ran(&self) -> bool {
        let has_attempts = !self.changing().progress.attempts.is_empty();
        !has_attempts && self.log.last_event() == 0 && self.shown_until == 0
    }

    /// What it asks of the replica that runs it next.
    pub(crate) fn request(&self, options: &Options) -> Arc<Request> {
        // The first event says that the task started.
        let is_begun = self.log.last_event() > 1;
        wants::request(&self.spec, &self.changing().progress, is_begun, options.verified_only)
    }

    /// The task as the scheduler sees it.
    pub(crate) fn offer(&self, clock: &dyn Clock, options: &Options) -> Offer {
        Offer {
            task: self.id,
            model: ModelId(self.spec.model_id.as_str().into()),
            request: self.request(options),
            class: class(self.spec.priority),
            identity: Identity(Arc::clone(&self.identity)),
            sequence: self.sequence,
            prompt_bytes: self.spec.prompt_bytes(),
            work: self.work(),
            is_evictable: self.never_ran(),
            waiting_since_ms: since(&self.spec, clock),
            deadline_ms: self.spec.deadline_ms.map(|ms| until(&self.spec, ms, clock)),
            queue_until_ms: until(&self.spec, self.spec.queue_max_ms, clock),
        }
    }
}

/// The class that tasks of a priority queue in.
pub(crate) fn class(priority: Priority) -> Class {
    match priority {
        Priority::Interactive => Class::Interactive,
        Priority::Batch => Class::Batch,
    }
}

/// The boot-time instant of a task's admission. One before the machine's start counts as that start.
fn since(spec: &TaskSpec, clock: &dyn Clock) -> u64 {
    if spec.boot_id == clock.boot_id() {
        return spec.admitted_boot_ms;
    }
    let waited_ms = clock.wall_ms().saturating_sub(spec.admitted_at_ms);
    clock.boot_ms().saturating_sub(waited_ms)
}

/// The boot-time instant `after_ms` after a task's admission. After a reboot, what is left of it by the
/// wall clock counts from now, kept within 0 and `after_ms`.
fn until(spec: &TaskSpec, after_ms: u64, clock: &dyn Clock) -> u64 {
    if spec.boot_id == clock.boot_id() {
        return spec.admitted_boot_ms.saturating_add(after_ms);
    }
    let at_wall_ms = spec.admitted_at_ms.saturating_add(after_ms);
    let left_ms = at_wall_ms.saturating_sub(clock.wall_ms()).min(after_ms);
    clock.boot_ms().saturating_add(left_ms)
}
