//! The ends of critics, and of a run before its critics have ended.

use std::sync::Arc;

use super::Driver;
use crate::admission::Offer;
use crate::admission::breaker::BreakerSignal;
use crate::evidence::Outcome;
use crate::executor::node::Phase;
use crate::report::AttemptOutcome;
use crate::spec::FailureMode;
use crate::status::{CancelReason, Status};

impl Driver {
    pub(super) fn settle(&mut self, critic: u32, outcome: Outcome, now_ns: u64) {
        let node = &mut self.nodes[critic as usize];
        node.epoch += 1;
        node.phase = Phase::Idle;
        self.state().settle(critic, outcome);
        self.tell_finished(critic);
        self.after_settling(critic, now_ns);
    }

    /// Ends the run early where the plan wants that.
    pub(super) fn after_settling(&mut self, critic: u32, now_ns: u64) {
        let plan = self.plan.clone();
        let settings = &plan.inner.settings;
        if settings.early_stop.is_none() && !settings.is_fail_fast {
            return;
        }
        let Some(outcome) = self.state().outcome(critic) else { return };
        let contribution = plan.inner.total_contribution(critic, outcome);
        let spec = &plan.inner.node(critic).spec;
        let fails = outcome.status.is_missing() && spec.failure_mode != FailureMode::Ignore;
        self.joined = self.joined.join(contribution);
        if settings.early_stop.is_some_and(|level| self.joined >= level) && !self.is_over() {
            self.is_short_circuited = true;
            self.cancel(CancelReason::VerdictReached, now_ns);
        } else if settings.is_fail_fast && fails && !self.is_over() {
            self.cancel(CancelReason::FailFast { critic: Arc::clone(&spec.name) }, now_ns);
        }
    }

    /// Cancels everything that has not ended. The first reason wins.
    pub(super) fn cancel(&mut self, reason: CancelReason, _now_ns: u64) {
        if self.cancelled.is_some() || self.is_over() {
            return;
        }
        self.cancelled = Some(reason.clone());
        self.end_rest(&Status::Cancelled { reason });
    }

    pub(super) fn end_rest(&mut self, status: &Status) {
        self.stop_all();
        self.offers.clear();
        let waiting: Vec<Offer> = (0..self.plan.inner.len())
            .filter(|critic| matches!(self.nodes[*critic as usize].phase, Phase::Queued { .. }))
            .map(|critic| self.offer_of(critic))
            .collect();
        if !waiting.is_empty() {
            self.exec.with_core(|core, now_ns| {
                for offer in waiting {
                    core.admission.withdraw(&offer, now_ns);
                }
            });
        }
        for critic in self.state().settle_rest(status) {
            let node = &mut self.nodes[critic as usize];
            node.phase = Phase::Idle;
            node.epoch += 1;
            self.tell_finished(critic);
        }
    }

    pub(super) fn stop_all(&mut self) {
        self.scope.token.cancel();
        let mut tasks = Vec::new();
        for critic in 0..self.plan.inner.len() {
            self.stop(critic, AttemptOutcome::Cancelled, BreakerSignal::Neutral, &mut tasks);
        }
        self.reap(tasks);
    }
}
