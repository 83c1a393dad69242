//! What hooks are told.

use std::sync::Arc;

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
}
