//! What hooks, spans and metrics are told.

use std::sync::Arc;
use std::time::Duration;

use tracing::Span;

use super::Driver;
use crate::hooks::HookEvent;
use crate::plan::ExecutionPlan;

impl Driver {
    pub(super) fn tell(&self, event: impl FnOnce(&ExecutionPlan) -> HookEvent) {
        if let Some(hooks) = &self.hooks {
            hooks.tell(&self.exec.hooks, event(&self.plan));
        }
    }

    pub(super) fn tell_gate(&mut self, critic: u32) {
        if self.hooks.is_some()
            && let Some(decision) = self.state().gate(critic).cloned()
        {
            self.tell(|plan| HookEvent::GateDecided {
                critic: Arc::clone(&plan.inner.node(critic).spec.name),
                decision,
            });
        }
    }

    /// A critic without an attempt starts and finishes in one.
    pub(super) fn tell_finished(&mut self, critic: u32) {
        self.trace_finished(critic);
        if self.hooks.is_none() {
            return;
        }
        let Some(status) = self.state().outcome(critic).map(|outcome| outcome.status.clone())
        else {
            return;
        };
        let name = Arc::clone(&self.plan.inner.node(critic).spec.name);
        if self.nodes[critic as usize].attempts.is_empty() {
            self.tell(|_| HookEvent::CriticStarted { critic: Arc::clone(&name) });
        }
        self.tell(|_| HookEvent::CriticFinished { critic: name, status });
    }

    fn trace_finished(&mut self, critic: u32) {
        let (Some(trace), Some(state)) = (&mut self.trace, &self.state) else { return };
        let Some(outcome) = state.outcome(critic) else { return };
        let node = &self.nodes[critic as usize];
        let queue = Duration::from_nanos(node.queue_ns);
        let planned = self.plan.inner.node(critic);
        trace.finished(critic, planned, &outcome.status, node.attempts.len(), queue);
    }

    /// The span of an attempt that starts; none where nobody listens.
    pub(super) fn attempt_span(&mut self, critic: u32, attempt: u32, is_fallback: bool) -> Span {
        let planned = self.plan.inner.node(critic);
        let trace = self.trace.as_mut();
        trace.map_or_else(Span::none, |trace| trace.attempt(critic, planned, attempt, is_fallback))
    }

    /// Counts a run whose future was dropped, and each of its critics.
    #[cfg(feature = "metrics")]
    pub(super) fn count_as_dropped(&self) {
        let Some(metrics) = &self.exec.metrics else { return };
        let elapsed_ns = self.exec.now_ns().saturating_sub(self.started_ns);
        metrics.run_dropped(&self.plan, Duration::from_nanos(elapsed_ns), |critic| {
            self.state.as_ref()?.outcome(critic).map(|outcome| &outcome.status)
        });
    }
}
