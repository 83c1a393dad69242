use std::time::Duration;

use adapter_host::AttemptId;
use narration::TraceContext;
use orchestrator_core::TaskId;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    Clock,
    live_task::LiveTask,
    shared::Shared,
    verdict::{RetryReason, Verdict},
};

/// Told of each stretch of a task's way that is over, so that somebody can put them together to a trace. The
/// calls come from the middle of the work: they return at once. There are a few for each attempt of a task,
/// and none for a single token.
pub trait SpanSink: Send + Sync + 'static {
    /// A stretch is over.
    fn ended(&self, span: &Span<'_>);
}

/// Keeps nothing.
impl SpanSink for () {
    fn ended(&self, _span: &Span<'_>) {}
}

/// A stretch of a task's way. All of one task are in one trace, over restarts as well; the way begins with
/// [`Stage::Admission`], under the place of the client where it told one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span<'a> {
    pub stage: Stage,
    /// The trace, and the span's own place in it.
    pub place: TraceContext,
    /// The place under which it stands; `None` where the trace begins with it.
    pub parent_span: Option<u64>,
    /// When it began, since 1970.
    pub began: Duration,
    pub took: Duration,
    /// The task; `None` where the submission was refused.
    pub task: Option<TaskId>,
    /// The model as the request named it, or the default; `None` where a refused one named none.
    pub model: Option<&'a str>,
    /// Where the attempt runs, once that is decided.
    pub pool_id: Option<&'a str>,
    /// The number of the attempt, from 1, once there is one.
    pub attempt: Option<u64>,
    /// Tokens that the attempt gave, of a stream whose engine counts them.
    pub tokens: Option<u64>,
    /// What ended it, where that was no success: an error code, or how the attempt ended.
    pub failure: Option<&'a str>,
}

/// Which stretch of a task's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// From the request to the durable task, or the refusal.
    Admission,
    /// From there, or from the end of an attempt, until it is the task's turn.
    Queue,
    /// Until the pool is chosen.
    Placement,
    /// Until the engine has taken the attempt up.
    Dispatch,
    /// Until the engine's answer is over.
    Stream,
}

impl Stage {
    /// The name of spans of this stage.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Queue => "queue",
            Self::Placement => "placement",
            Self::Dispatch => "dispatch",
            Self::Stream => "stream",
        }
    }
}

/// The beginning of a stretch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning {
    at: Duration,
    instant: Instant,
}

impl Beginning {
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self { at: Duration::from_millis(clock.wall_ms()), instant: Instant::now() }
    }

    pub(crate) fn at(&self) -> Duration {
        self.at
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.instant.elapsed()
    }

    /// The beginning of what follows without a gap, whatever the wall clock did meanwhile.
    fn next(&self) -> Self {
        let instant = Instant::now();
        Self { at: self.at + instant.duration_since(self.instant), instant }
    }
}

/// Tells that a task's wait in the queue is over.
pub(crate) fn waited(shared: &Shared, live: &LiveTask, failure: Option<&str>) {
    let Some(root) = live.spec.trace() else { return };
    let began = Duration::from_millis(live.changing().queued_at_ms);
    let now = Duration::from_millis(shared.clock.wall_ms());
    shared.spans.ended(&Span {
        stage: Stage::Queue,
        place: root.child(fresh_span()),
        parent_span: Some(root.span_number()),
        began,
        took: now.saturating_sub(began),
        task: Some(live.id),
        model: Some(&live.spec.model_ref),
        pool_id: None,
        attempt: None,
        tokens: None,
        failure,
    });
}

/// The stretches of one run, told one after the other; what is open when this is dropped is not told, as the
/// process ends then.
pub(crate) struct RunSpans<'a> {
    shared: &'a Shared,
    live: &'a LiveTask,
    /// The place that admission has in the trace.
    root: Option<TraceContext>,
    stage: Stage,
    span: u64,
    parent_span: u64,
    beginning: Beginning,
    pool_id: Option<String>,
}

impl<'a> RunSpans<'a> {
    /// The task's turn has come: its wait is over and it is placed.
    pub(crate) fn begin(shared: &'a Shared, live: &'a LiveTask) -> Self {
        waited(shared, live, None);
        let root = live.spec.trace();
        Self {
            shared,
            live,
            root,
            stage: Stage::Placement,
            span: fresh_span(),
            parent_span: root.map_or(0, TraceContext::span_number),
            beginning: Beginning::now(&*shared.clock),
            pool_id: None,
        }
    }

    /// A pool was chosen, and the attempt is on its way to it.
    pub(crate) fn placed(&mut self, pool_id: &str, attempt: AttemptId) {
        self.pool_id = Some(pool_id.to_owned());
        // The second half of a UUIDv7 is random, so whoever knows the attempt finds its span.
        let span = attempt.0.as_u64_pair().1.max(1);
        self.follow(Stage::Dispatch, span, self.parent_span);
    }

    /// What the engine is told: the place of this dispatch.
    pub(crate) fn next_hop(&self) -> Option<String> {
        Some(self.root?.child(self.span).to_string())
    }

    /// The engine took the attempt up.
    pub(crate) fn streaming(&mut self) {
        self.follow(Stage::Stream, fresh_span(), self.span);
    }

    /// The run is over, with this verdict.
    pub(crate) fn judged(&self, verdict: &Verdict) {
        self.over(failure(verdict));
    }

    /// The run is over.
    pub(crate) fn over(&self, failure: Option<&str>) {
        let Some(root) = self.root else { return };
        let (attempts, tokens) = {
            let changing = self.live.changing();
            let attempts = &changing.progress.attempts;
            (attempts.len() as u64, attempts.last().map(|attempt| attempt.tokens))
        };
        self.shared.spans.ended(&Span {
            stage: self.stage,
            place: root.child(self.span),
            parent_span: Some(self.parent_span),
            began: self.beginning.at(),
            took: self.beginning.elapsed(),
            task: Some(self.live.id),
            model: Some(&self.live.spec.model_ref),
            pool_id: self.pool_id.as_deref(),
            attempt: Some(attempts).filter(|_| self.stage == Stage::Stream),
            tokens: tokens.filter(|tokens| self.stage == Stage::Stream && *tokens > 0),
            failure,
        });
    }

    fn follow(&mut self, stage: Stage, span: u64, parent_span: u64) {
        self.over(None);
        let beginning = self.beginning.next();
        (self.stage, self.span, self.parent_span) = (stage, span, parent_span);
        self.beginning = beginning;
    }
}

/// What a verdict says against the attempt.
fn failure(verdict: &Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Retry { reason: RetryReason::Unreachable, .. } => Some("unreachable"),
        Verdict::Retry { reason: RetryReason::Overloaded { .. }, .. } => Some("overloaded"),
        Verdict::Retry { reason: RetryReason::Planned, .. } => Some("drained"),
        other => other.outcome_name().filter(|name| *name != crate::Outcome::Completed.name()),
    }
}

/// A number for a span: the second half of a UUIDv7 is random.
pub(crate) fn fresh_span() -> u64 {
    Uuid::now_v7().as_u64_pair().1
}
