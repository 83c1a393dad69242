//! The attempts of a run: their start, their end, and being stopped.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable};

use super::{Driver, nanos};
use crate::admission::breaker::BreakerSignal;
use crate::cleanup::CleanupStack;
use crate::context::{AttemptShared, Claim};
use crate::error::ErrorKind;
use crate::evidence::Outcome;
use crate::executor::attempt;
use crate::executor::attempt::{AttemptGuard, AttemptResult};
use crate::executor::node::{Answer, Phase, Running, RunningTask};
use crate::executor::timers::Due;
use crate::finding::CriticOutput;
use crate::hooks::HookEvent;
use crate::money::MicroDollars;
use crate::report::{AttemptOutcome, AttemptReport};
use crate::spec::ExecutionHint;
use crate::status::{AnswerSource, Status, TimeoutScope};

impl Driver {
    /// Starts an attempt, or a fallback, which holds no permit.
    pub(super) fn start(
        &mut self,
        critic: u32,
        permit: Option<crate::admission::Permit>,
        instead_of: Option<Status>,
        hint: ExecutionHint,
        now_ns: u64,
    ) {
        let spec = &self.plan.inner.node(critic).spec;
        let attempt_ns = spec.attempt_timeout.map(|timeout| now_ns.saturating_add(nanos(timeout)));
        let (deadline_ns, scope) =
            self.deadline(critic, attempt_ns).unwrap_or((u64::MAX, TimeoutScope::Run));
        let dependencies = self.dependencies(critic);
        let made = self.nodes[critic as usize].attempts.len();
        let attempt = u32::try_from(made).unwrap_or(u32::MAX).saturating_add(1);
        let span = self.attempt_span(critic, attempt, instead_of.is_some());
        let spec = &self.plan.inner.node(critic).spec;
        let estimate = if permit.is_some() { spec.cost } else { MicroDollars::ZERO };
        let node = &mut self.nodes[critic as usize];
        node.epoch += 1;
        let epoch = node.epoch;
        let is_first = permit.is_some() && node.attempts.is_empty();
        let shared = Arc::new(AttemptShared {
            run: Arc::clone(&self.scope),
            dependencies,
            critic: Arc::clone(&spec.name),
            attempt,
            deadline: self.exec.to_instant(deadline_ns),
            failure: instead_of,
            claim: Claim::default(),
            cancelled: AtomicBool::new(false),
            token: OnceLock::new(),
            cleanups: CleanupStack::default(),
        });
        let guard = AttemptGuard {
            run: Arc::clone(&self.shared),
            critic,
            epoch,
            permit,
            deadline_ns,
            estimate,
            shared: Arc::clone(&shared),
        };
        if let Some(due) = Due::of_attempt(scope, critic, epoch) {
            self.timers.add(deadline_ns, due);
        }
        node.phase =
            Phase::Running(Running { shared, permit, started_ns: now_ns, deadline_ns, task: None });
        if is_first {
            self.tell(|plan| HookEvent::CriticStarted {
                critic: Arc::clone(&plan.inner.node(critic).spec.name),
            });
        }
        let tracker = &self.exec.tracker;
        let handle = &self.shared.handle;
        let task = match hint {
            ExecutionHint::Inline => {
                let mut attempt: Pin<Box<dyn Future<Output = ()> + Send>> =
                    Box::pin(attempt::attempt(guard, span));
                // Most end at once, and need neither a place among those that wait nor a way to be stopped. Whoever
                // does not is polled again from that place, with a waker.
                if attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    return;
                }
                let (abort, registration) = AbortHandle::new_pair();
                self.inline.push(Abortable::new(attempt, registration));
                RunningTask::Inline(abort)
            }
            ExecutionHint::Spawn => {
                RunningTask::Spawned(tracker.spawn_on(attempt::attempt(guard, span), handle))
            }
            ExecutionHint::Blocking => RunningTask::Spawned(
                tracker.spawn_on(attempt::blocking_attempt(guard, span), handle),
            ),
        };
        self.in_tasks += usize::from(matches!(task, RunningTask::Spawned(_)));
        if let Phase::Running(running) = &mut self.nodes[critic as usize].phase {
            running.task = Some(task);
        }
    }

    /// The outputs of declared dependencies that answered.
    pub(super) fn dependencies(&self, critic: u32) -> Box<[(Arc<str>, Arc<CriticOutput>)]> {
        let plan = &self.plan.inner;
        let outcome = |index: u32| self.state.as_ref().and_then(|state| state.outcome(index));
        let answered = plan.node(critic).depends_on.iter().filter_map(|(index, _)| {
            let output = outcome(*index)?.output.as_ref()?;
            Some((Arc::clone(&plan.node(*index).spec.name), Arc::clone(output)))
        });
        answered.collect()
    }

    pub(super) fn completed(
        &mut self,
        critic: u32,
        epoch: u32,
        result: AttemptResult,
        cost: MicroDollars,
        at_ns: u64,
    ) {
        let node = &mut self.nodes[critic as usize];
        if node.epoch != epoch
            || self.state.as_ref().is_none_or(|state| state.outcome(critic).is_some())
        {
            return;
        }
        let Phase::Running(running) = std::mem::take(&mut node.phase) else { return };
        node.epoch += 1;
        self.in_tasks -= usize::from(matches!(running.task, Some(RunningTask::Spawned(_))));
        let outcome = match &result {
            AttemptResult::Answer { .. } => AttemptOutcome::Answered,
            AttemptResult::Failed { kind, .. } => AttemptOutcome::Failed(kind.as_str()),
            AttemptResult::Invalid { .. } => AttemptOutcome::Invalid,
        };
        self.note_attempt(critic, &running, outcome, cost, at_ns);
        let source = if running.instead_of().is_some() {
            AnswerSource::Fallback
        } else {
            AnswerSource::Critic
        };
        let (status, kind) = match result {
            AttemptResult::Answer { output, warnings } => {
                self.answered(critic, Answer { output, warnings }, source, at_ns);
                return;
            }
            AttemptResult::Failed { kind, message } => (Status::Failed { kind, message }, kind),
            AttemptResult::Invalid { errors } => (Status::Invalid { errors }, ErrorKind::Invalid),
        };
        match running.instead_of().cloned() {
            Some(status) => self.settle(critic, Outcome::without_answer(status), at_ns),
            None => self.retry_or_fail(critic, status, Some(kind), at_ns),
        }
    }

    fn note_attempt(
        &mut self,
        critic: u32,
        running: &Running,
        outcome: AttemptOutcome,
        cost: MicroDollars,
        now_ns: u64,
    ) {
        let node = &mut self.nodes[critic as usize];
        node.cost += cost;
        if outcome != AttemptOutcome::Answered {
            node.wasted += cost;
        }
        if running.permit.is_some() {
            let duration = Duration::from_nanos(now_ns.saturating_sub(running.started_ns));
            // Most critics make one, and a vector that grows by itself makes room for four.
            node.attempts.reserve_exact(1);
            node.attempts.push(AttemptReport { outcome, duration, delay: None, cost });
        }
    }

    pub(super) fn answered(
        &mut self,
        critic: u32,
        answer: Answer,
        source: AnswerSource,
        now_ns: u64,
    ) {
        let Answer { output, warnings } = answer;
        self.nodes[critic as usize].warnings = warnings;
        if source == AnswerSource::Critic {
            self.store_answer(critic, &output);
        }
        let contribution = self.plan.inner.contribution(critic, &output.finding);
        let outcome =
            Outcome { status: Status::Succeeded { source }, output: Some(output), contribution };
        self.settle(critic, outcome, now_ns);
    }

    /// Settles the running attempt of a critic from outside.
    pub(super) fn stop(
        &mut self,
        critic: u32,
        outcome: AttemptOutcome,
        signal: BreakerSignal,
        tasks: &mut Vec<tokio::task::JoinHandle<()>>,
    ) {
        let node = &mut self.nodes[critic as usize];
        if !matches!(node.phase, Phase::Running(_)) {
            return;
        }
        let Phase::Running(mut running) = std::mem::take(&mut node.phase) else { return };
        node.epoch += 1;
        let spec = &self.plan.inner.node(critic).spec;
        let estimate = if running.permit.is_some() { spec.cost } else { MicroDollars::ZERO };
        let is_blocking = spec.hint == ExecutionHint::Blocking;
        let mut now = 0;
        if running.shared.claim.take()
            && let Some(permit) = &running.permit
        {
            // Under the same lock as the guard's release, which is to know of it.
            self.exec.with_core(|core, now_ns| {
                now = now_ns;
                core.admission.settle(permit, estimate, signal, now_ns);
                if is_blocking {
                    core.admission.detach(permit);
                    running.shared.claim.detach();
                }
            });
        } else {
            now = self.exec.now_ns();
        }
        self.note_attempt(critic, &running, outcome, estimate, now.min(running.deadline_ns));
        running.shared.cancel();
        match running.task.take() {
            Some(RunningTask::Spawned(task)) => {
                self.in_tasks -= 1;
                tasks.push(task);
            }
            Some(RunningTask::Inline(abort)) => abort.abort(),
            None => {}
        }
    }

    /// Gives stopped attempts the grace, which the caller does not wait for.
    pub(super) fn reap(&self, tasks: Vec<tokio::task::JoinHandle<()>>) {
        if !tasks.is_empty() {
            let reaper = attempt::reap(tasks, self.exec.settings.grace);
            self.exec.tracker.spawn_on(reaper, &self.shared.handle);
        }
    }
}
