use std::sync::Arc;
use std::time::Duration;

use tracing::{Span, debug_span, field::Empty, info_span};

use crate::plan::PlanNode;
use crate::report::RunReport;
use crate::stage::Stage;
use crate::status::Status;

/// The spans of a run: run, stages, critics, attempts. There is none where nobody listens. No text of an input or
/// output is in them.
pub(crate) struct RunTrace {
    run: Span,
    stages: [Option<Span>; Stage::COUNT],
    critics: Vec<Option<Span>>,
}

impl RunTrace {
    /// Opens the span of a run below the current one, if somebody listens to it.
    pub(crate) fn start(run_id: &Arc<str>, critics: usize) -> Option<Box<Self>> {
        let run = info_span!(
            target: "critic_executor",
            "run",
            run_id = &**run_id,
            critics,
            verdict = Empty,
            coverage = Empty,
            cancelled = Empty,
        );
        (!run.is_disabled()).then(|| {
            let stages = std::array::from_fn(|_| None);
            Box::new(Self { run, stages, critics: vec![None; critics] })
        })
    }

    /// The span of a stage, which begins with the stage or with its first critic.
    pub(crate) fn stage(&mut self, stage: Stage) -> &Span {
        let run = &self.run;
        self.stages[stage.index()].get_or_insert_with(
            || debug_span!(target: "critic_executor", parent: run, "stage", stage = stage.as_str()),
        )
    }

    pub(crate) fn stage_closed(&mut self, stage: Stage) {
        self.stages[stage.index()] = None;
    }

    /// The span of a critic, which begins when it is ready or has ended without being so.
    pub(crate) fn critic(&mut self, index: u32, node: &PlanNode) -> Span {
        if let Some(Some(span)) = self.critics.get(index as usize) {
            return span.clone();
        }
        let stage = self.stage(node.spec.stage).clone();
        let span = debug_span!(
            target: "critic_executor",
            parent: &stage,
            "critic",
            critic = &*node.spec.name,
            status = Empty,
            attempts = Empty,
            queue_ms = Empty,
        );
        if let Some(place) = self.critics.get_mut(index as usize) {
            *place = Some(span.clone());
        }
        span
    }

    /// The span of one attempt, or of a fallback.
    pub(crate) fn attempt(
        &mut self,
        index: u32,
        node: &PlanNode,
        attempt: u32,
        is_fallback: bool,
    ) -> Span {
        let critic = self.critic(index, node);
        debug_span!(target: "critic_executor", parent: &critic, "attempt", attempt, is_fallback)
    }

    /// Closes the span of a critic.
    pub(crate) fn finished(
        &mut self,
        index: u32,
        node: &PlanNode,
        status: &Status,
        attempts: usize,
        queue: Duration,
    ) {
        let span = self.critic(index, node);
        span.record("status", status.as_str());
        span.record("attempts", attempts);
        span.record("queue_ms", u64::try_from(queue.as_millis()).unwrap_or(u64::MAX));
        if let Some(place) = self.critics.get_mut(index as usize) {
            *place = None;
        }
    }

    /// Closes the span of the run.
    pub(crate) fn end(self, report: &RunReport) {
        self.run.record("verdict", report.decision().verdict.as_str());
        self.run.record("coverage", report.decision().coverage.ratio());
        if let Some(reason) = report.cancelled() {
            self.run.record("cancelled", reason.as_str());
        }
    }
}
