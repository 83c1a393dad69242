//! What follows from failures and deadlines: another attempt, a fallback, or the end of a critic.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Driver, nanos};
use crate::admission::breaker::BreakerSignal;
use crate::error::ErrorKind;
use crate::evidence::Outcome;
use crate::executor::node::Phase;
use crate::executor::timers::Due;
use crate::hooks::HookEvent;
use crate::report::AttemptOutcome;
use crate::retry;
use crate::spec::ExecutionHint;
use crate::status::{CancelReason, Status, TimeoutScope};

impl Driver {
    /// `kind` is `None` for an attempt that ran out of its own time.
    pub(super) fn retry_or_fail(
        &mut self,
        critic: u32,
        status: Status,
        kind: Option<ErrorKind>,
        now_ns: u64,
    ) {
        match self.retry_delay_ns(critic, kind, now_ns) {
            Some(delay_ns) => {
                let node = &mut self.nodes[critic as usize];
                node.phase = Phase::Backoff;
                node.epoch += 1;
                let epoch = node.epoch;
                let attempt =
                    u32::try_from(node.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
                let delay = Duration::from_nanos(delay_ns);
                if let Some(last) = node.attempts.last_mut() {
                    last.delay = Some(delay);
                }
                self.timers.add(now_ns.saturating_add(delay_ns), Due::Retry { critic, epoch });
                self.tell(|plan| HookEvent::RetryScheduled {
                    critic: Arc::clone(&plan.inner.node(critic).spec.name),
                    attempt,
                    delay,
                });
            }
            None => self.fail(critic, status, now_ns),
        }
    }

    fn retry_delay_ns(&self, critic: u32, kind: Option<ErrorKind>, now_ns: u64) -> Option<u64> {
        let spec = &self.plan.inner.node(critic).spec;
        let policy = &spec.retry;
        let made = u32::try_from(self.nodes[critic as usize].attempts.len()).unwrap_or(u32::MAX);
        let is_covered = kind.map_or(policy.on_attempt_timeout, |kind| policy.covers(kind));
        if made >= policy.max_attempts || !is_covered {
            return None;
        }
        let mut delay_ns = retry::delay_ns(policy, self.seed, &spec.name, made);
        if let Some(ErrorKind::RateLimited { retry_after: Some(least) }) = kind {
            delay_ns = delay_ns.max(nanos(least));
        }
        let left_ns =
            self.deadline(critic, None).map_or(u64::MAX, |(at_ns, _)| at_ns.saturating_sub(now_ns));
        if delay_ns >= left_ns {
            return None;
        }
        let resource = self.resources[critic as usize];
        let is_paid =
            self.exec.with_core(|core, now_ns| core.admission.take_retry(resource, now_ns));
        if !is_paid {
            self.exec.counters.retry_budget_exhausted.fetch_add(1, Ordering::Relaxed);
            #[cfg(feature = "metrics")]
            if let Some(metrics) = &self.exec.metrics {
                let kind = kind.map_or("timed_out", ErrorKind::as_str);
                metrics.retry_refused(&spec.name, kind);
            }
        }
        is_paid.then_some(delay_ns)
    }

    /// The last failure of a critic: its fallback is asked, if it has one and there is time.
    pub(super) fn fail(&mut self, critic: u32, status: Status, now_ns: u64) {
        let has_fallback = self.plan.inner.node(critic).spec.fallback.is_some();
        let has_time =
            self.deadline(critic, None).is_none_or(|(deadline_ns, _)| deadline_ns > now_ns);
        if has_fallback && has_time {
            self.start(critic, None, Some(status), ExecutionHint::Spawn, now_ns);
        } else {
            self.settle(critic, Outcome::without_answer(status), now_ns);
        }
    }

    pub(super) fn due(&mut self, due: &Due, now_ns: u64) {
        match due {
            Due::Run => {
                if !self.is_over() {
                    let scope = TimeoutScope::Run;
                    self.cancelled.get_or_insert(CancelReason::Deadline(scope));
                    self.end_rest(&Status::TimedOut { scope });
                }
            }
            Due::Stage(stage) => {
                let range = self.plan.inner.stages[usize::from(*stage)].clone();
                for critic in range {
                    self.time_out(critic, TimeoutScope::Stage, now_ns);
                }
            }
            Due::Critic(critic) => self.time_out(*critic, TimeoutScope::Critic, now_ns),
            Due::Attempt { critic, epoch } => {
                if self.nodes[*critic as usize].epoch == *epoch {
                    self.time_out(*critic, TimeoutScope::Attempt, now_ns);
                }
            }
            Due::Queue { critic, epoch } => {
                let node = &self.nodes[*critic as usize];
                if node.epoch == *epoch && matches!(node.phase, Phase::Queued { .. } | Phase::Cache)
                {
                    self.time_out(*critic, TimeoutScope::Queue, now_ns);
                }
            }
            Due::Retry { critic, epoch } => {
                if self.nodes[*critic as usize].epoch == *epoch && !self.is_settled(*critic) {
                    self.offer(*critic, now_ns);
                }
            }
        }
    }

    fn time_out(&mut self, critic: u32, scope: TimeoutScope, now_ns: u64) {
        if self.is_settled(critic) {
            return;
        }
        let status = Status::TimedOut { scope };
        let node = &mut self.nodes[critic as usize];
        match &node.phase {
            Phase::Running(running) => {
                let instead_of = running.instead_of().cloned();
                let (outcome, signal) = match scope {
                    TimeoutScope::Attempt => (AttemptOutcome::TimedOut, BreakerSignal::Failure),
                    _ => (AttemptOutcome::Cancelled, BreakerSignal::Neutral),
                };
                let mut tasks = Vec::new();
                self.stop(critic, outcome, signal, &mut tasks);
                self.reap(tasks);
                match instead_of {
                    Some(status) => self.settle(critic, Outcome::without_answer(status), now_ns),
                    None if scope == TimeoutScope::Attempt => {
                        self.retry_or_fail(critic, status, None, now_ns)
                    }
                    None => self.fail(critic, status, now_ns),
                }
            }
            Phase::Queued { since_ns } => {
                node.queue_ns += now_ns.saturating_sub(*since_ns);
                self.offers.retain(|offer| offer.critic != critic);
                let offer = self.offer_of(critic);
                self.exec.with_core(|core, now_ns| core.admission.withdraw(&offer, now_ns));
                self.fail(critic, status, now_ns);
            }
            // Not yet ready, or between two attempts, whose timeouts are all wider than the critic's own.
            Phase::Idle | Phase::Cache | Phase::Backoff => {
                node.epoch += 1;
                self.fail(critic, status, now_ns);
            }
        }
    }
}
