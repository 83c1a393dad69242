//! How a critic of a run comes to be admitted, and what becomes of the answer.

use std::sync::Arc;

use super::{Driver, nanos};
use crate::admission::{Decision, Offer};
use crate::evidence::Outcome;
use crate::executor::node::Phase;
use crate::executor::timers::Due;
use crate::hooks::HookEvent;
use crate::plan::OnExhausted;
use crate::spec::ExecutionHint;
use crate::status::{CancelReason, RejectReason, Status, TimeoutScope};

impl Driver {
    pub(super) fn ready(&mut self, critic: u32, now_ns: u64) {
        if self.is_settled(critic) {
            return;
        }
        self.nodes[critic as usize].ready_ns = now_ns;
        let total = self.plan.inner.node(critic).spec.total_timeout;
        if let Some(timeout) = total {
            self.timers.add(now_ns.saturating_add(nanos(timeout)), Due::Critic(critic));
        }
        if let Some(timeout) = self.plan.inner.node(critic).spec.queue_timeout {
            let epoch = self.nodes[critic as usize].epoch;
            self.timers.add(now_ns.saturating_add(nanos(timeout)), Due::Queue { critic, epoch });
        }
        self.tell(|plan| HookEvent::CriticReady {
            critic: Arc::clone(&plan.inner.node(critic).spec.name),
        });
        if self.exec.cache.is_some() {
            self.ask_cache(critic);
        } else {
            self.offer(critic, now_ns);
        }
    }

    /// Offers are made together, because each takes the executor's lock.
    pub(super) fn offer(&mut self, critic: u32, now_ns: u64) {
        self.nodes[critic as usize].phase = Phase::Queued { since_ns: now_ns };
        let offer = self.offer_of(critic);
        self.offers.push(offer);
    }

    /// What a critic is offered with. It says the same of its place in the queue at any time of a wait.
    pub(super) fn offer_of(&self, critic: u32) -> Offer {
        let node = &self.nodes[critic as usize];
        let ready_ns = node.ready_ns;
        let is_first_attempt = node.attempts.is_empty();
        let spec = &self.plan.inner.node(critic).spec;
        let deadline_ns =
            self.deadline(critic, None).map_or(u64::MAX, |(deadline_ns, _)| deadline_ns);
        let queue_ns = spec.queue_timeout.filter(|_| is_first_attempt);
        let queue_ns = queue_ns.map_or(u64::MAX, |timeout| ready_ns.saturating_add(nanos(timeout)));
        Offer {
            run: self.shared.slot,
            critic,
            resource: self.resources[critic as usize],
            stage: spec.stage,
            priority: spec.priority,
            arrival_ns: ready_ns,
            deadline_ns: deadline_ns.min(queue_ns),
            estimate: spec.cost,
            is_blocking: spec.hint == ExecutionHint::Blocking,
            is_first_attempt,
        }
    }

    pub(super) fn make_offers(&mut self) {
        let mut offers = std::mem::take(&mut self.offers);
        // Each is granted what is free when it comes, so the most urgent comes first.
        offers.sort_unstable_by_key(|offer| (offer.priority, offer.arrival_ns, offer.critic));
        self.exec.with_core(|core, now_ns| {
            for offer in offers.drain(..) {
                core.admission.offer(offer, now_ns);
            }
        });
        self.offers = offers;
        self.exec.keep_time(&self.shared.handle);
    }

    /// The nearest deadline of a critic, of several at one instant the widest.
    pub(super) fn deadline(
        &self,
        critic: u32,
        attempt_ns: Option<u64>,
    ) -> Option<(u64, TimeoutScope)> {
        let spec = &self.plan.inner.node(critic).spec;
        let ready_ns = self.nodes[critic as usize].ready_ns;
        let total_ns = spec.total_timeout.map(|timeout| ready_ns.saturating_add(nanos(timeout)));
        let mut nearest = self.deadline_ns.map(|deadline_ns| (deadline_ns, TimeoutScope::Run));
        // From wide to narrow, so that the widest of equal ones stays.
        let mut narrow = |deadline_ns: Option<u64>, scope| {
            if let Some(deadline_ns) = deadline_ns
                && nearest.is_none_or(|(known_ns, _)| deadline_ns < known_ns)
            {
                nearest = Some((deadline_ns, scope));
            }
        };
        narrow(self.stages[spec.stage.index()].deadline_ns, TimeoutScope::Stage);
        narrow(total_ns, TimeoutScope::Critic);
        narrow(attempt_ns, TimeoutScope::Attempt);
        nearest
    }

    pub(super) fn decided(&mut self, critic: u32, decision: Decision, now_ns: u64) {
        let node = &mut self.nodes[critic as usize];
        if let Phase::Queued { since_ns } = node.phase {
            node.queue_ns += now_ns.saturating_sub(since_ns);
        }
        match decision {
            Decision::Granted(permit) => {
                node.token_wait_ns += permit.token_wait_ns;
                let hint = self.plan.inner.node(critic).spec.hint;
                self.start(critic, Some(permit), None, hint, now_ns);
            }
            Decision::Rejected(reason) => {
                self.settle(critic, Outcome::without_answer(Status::Rejected { reason }), now_ns);
                let budget = self.plan.inner.settings.budget;
                if reason == RejectReason::Budget
                    && budget.is_some_and(|budget| budget.on_exhausted == OnExhausted::StopRun)
                {
                    self.cancel(CancelReason::BudgetExhausted, now_ns);
                }
            }
            Decision::CircuitOpen { retry_at_ns } => {
                let retry_at = self.exec.to_instant(retry_at_ns);
                self.fail(critic, Status::CircuitOpen { retry_at }, now_ns);
            }
            Decision::TokenTooLate => {
                let node = &self.nodes[critic as usize];
                let spec = &self.plan.inner.node(critic).spec;
                let queue_ns = spec.queue_timeout.filter(|_| node.attempts.is_empty());
                let queue_ns = queue_ns.map(|timeout| node.ready_ns.saturating_add(nanos(timeout)));
                let scope = match (self.deadline(critic, None), queue_ns) {
                    (Some((deadline_ns, scope)), Some(queue_ns)) if deadline_ns <= queue_ns => {
                        scope
                    }
                    (Some((_, scope)), None) => scope,
                    _ => TimeoutScope::Queue,
                };
                self.fail(critic, Status::TimedOut { scope }, now_ns);
            }
        }
    }

    /// Takes a permit back that nobody uses.
    pub(super) fn give_back(&self, decision: &Decision) {
        if let Decision::Granted(permit) = decision {
            self.exec.with_core(|core, now_ns| {
                if core.admission.take_back(permit, now_ns) {
                    core.free_slot(permit.run);
                }
            });
        }
    }
}
