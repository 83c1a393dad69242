//! Drives one run: takes what has come in, lets deadlines pass, asks the pure parts what follows, and does it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::attempt::{self, AttemptGuard, AttemptResult, Claim};
use super::hook_board::RunHooks;
use super::node::{Answer, Node, Phase, Running, RunningTask};
use super::options::RunCanceller;
use super::shared::{Event, ExecShared, RunShared};
use super::timers::{Due, Timers};
use crate::admission::breaker::BreakerSignal;
use crate::admission::{Decision, Offer, ResourceId};
use crate::cache::CacheKey;
use crate::catch::catch_unwind;
use crate::cleanup::CleanupStack;
use crate::context::{AttemptShared, RunScope};
use crate::critic::Critic;
use crate::error::ErrorKind;
use crate::evidence::Outcome;
use crate::finding::CriticOutput;
use crate::gate::GateDecision;
use crate::hooks::HookEvent;
use crate::money::MicroDollars;
use crate::plan::{ExecutionPlan, OnExhausted};
use crate::report::{AttemptOutcome, AttemptReport};
use crate::retry;
use crate::run_state::{RunState, Step};
use crate::spec::{ExecutionHint, FailureMode};
use crate::stage::Stage;
use crate::status::{AnswerSource, CancelReason, RejectReason, Status, TimeoutScope};
use crate::verdict::Verdict;

/// After so many turns without sleep the run lets other tasks go first.
const TURNS_PER_POLL: usize = 64;

type InlineAttempt = Abortable<Pin<Box<dyn Future<Output = ()> + Send>>>;

pub(crate) struct Driver {
    pub(crate) exec: Arc<ExecShared>,
    pub(crate) plan: ExecutionPlan,
    pub(crate) scope: Arc<RunScope>,
    pub(crate) shared: Arc<RunShared>,
    pub(crate) cleanups: CleanupStack,
    pub(crate) hooks: Option<RunHooks>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) started_ns: u64,
    pub(crate) deadline_ns: Option<u64>,
    pub(crate) stages: [StageTimes; Stage::COUNT],
    pub(crate) cancelled: Option<CancelReason>,
    pub(crate) is_short_circuited: bool,
    pub(crate) seed: u64,
    pub(crate) is_gating: bool,
    state: Option<RunState>,
    resources: Arc<[ResourceId]>,
    canceller: Option<(RunCanceller, Pin<Box<WaitForCancellationFutureOwned>>)>,
    timers: Timers,
    sleep: Pin<Box<Sleep>>,
    armed_ns: u64,
    inline: FuturesUnordered<InlineAttempt>,
    events: Vec<Event>,
    offers: Vec<Offer>,
    joined: Verdict,
    is_admitted: bool,
    is_ended: bool,
}

/// When a stage worked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StageTimes {
    pub(crate) opened_ns: Option<u64>,
    pub(crate) closed_ns: Option<u64>,
    pub(crate) deadline_ns: Option<u64>,
}

/// What a driver starts with.
pub(crate) struct DriverStart {
    pub(crate) exec: Arc<ExecShared>,
    pub(crate) plan: ExecutionPlan,
    pub(crate) scope: Arc<RunScope>,
    pub(crate) shared: Arc<RunShared>,
    pub(crate) cleanups: CleanupStack,
    pub(crate) resources: Arc<[ResourceId]>,
    pub(crate) canceller: Option<RunCanceller>,
    pub(crate) seed: u64,
    pub(crate) is_gating: bool,
    pub(crate) is_admitted: bool,
    pub(crate) started_ns: u64,
    pub(crate) timeout: Option<Duration>,
}

impl Driver {
    pub(crate) fn new(start: DriverStart) -> Self {
        let DriverStart { exec, plan, scope, shared, cleanups, resources, started_ns, .. } = start;
        let deadline_ns = start.timeout.map(|timeout| started_ns.saturating_add(nanos(timeout)));
        let mut timers = Timers::default();
        if let Some(deadline_ns) = deadline_ns {
            timers.add(deadline_ns, Due::Run);
        }
        let canceller = start.canceller.map(|canceller| {
            let cancelled = Box::pin(canceller.token().cancelled_owned());
            (canceller, cancelled)
        });
        let state = RunState::new(plan.clone(), Arc::clone(&scope.input), start.is_gating);
        Self {
            sleep: Box::pin(tokio::time::sleep_until(exec.to_instant(u64::MAX))),
            armed_ns: u64::MAX,
            nodes: plan.inner.nodes.iter().map(|_| Node::default()).collect(),
            state: Some(state),
            is_admitted: start.is_admitted,
            is_gating: start.is_gating,
            seed: start.seed,
            hooks: None,
            stages: [StageTimes::default(); Stage::COUNT],
            cancelled: None,
            is_short_circuited: false,
            canceller,
            inline: FuturesUnordered::new(),
            events: Vec::new(),
            offers: Vec::new(),
            joined: Verdict::Allow,
            is_ended: false,
            exec,
            plan,
            scope,
            shared,
            cleanups,
            resources,
            started_ns,
            deadline_ns,
            timers,
        }
    }

    /// All outcomes and gates, in plan order, after the end.
    pub(crate) fn take_outcomes(&mut self) -> (Vec<Option<Outcome>>, Vec<Option<GateDecision>>) {
        self.state.take().map_or((Vec::new(), Vec::new()), RunState::finish)
    }

    /// Ready when every critic has ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.wake_up();
        for _ in 0..TURNS_PER_POLL {
            let now_ns = self.exec.now_ns();
            self.take_cancellation(cx, now_ns);
            self.take_events(now_ns);
            while self.inline.poll_next_unpin(cx).is_ready_and_some() {}
            self.follow(now_ns);
            if self.is_over() && (self.is_admitted || self.cancelled.is_some()) {
                return Poll::Ready(());
            }
            if !self.offers.is_empty() {
                self.make_offers();
                continue;
            }
            if self.arm(cx) && self.shared.sleep(cx.waker()) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Gives everything back. Called at the end, and when the run is dropped.
    pub(crate) fn end(&mut self) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        let is_dropped = self.state.as_ref().is_some_and(|state| !state.is_over());
        if is_dropped {
            self.cancelled.get_or_insert(CancelReason::CallerDropped);
            self.stop_all();
        }
        self.exec.with_core(|core, now_ns| core.end_run(&self.shared, self.is_admitted, now_ns));
        self.shared.end();
        self.exec.run_ended.notify_waiters();
        // What was granted and never started goes back.
        self.shared.take(&mut self.events);
        for event in std::mem::take(&mut self.events) {
            self.give_back(&event);
        }
        let callbacks = self.cleanups.take(self.cancelled.is_some());
        if !callbacks.is_empty() {
            self.exec.run_cleanups(callbacks, &self.shared.handle);
        }
    }

    fn give_back(&self, event: &Event) {
        if let Event::Decided { decision: Decision::Granted(permit), .. } = event {
            let release = crate::admission::Release { permit: *permit, was_detached: false };
            self.exec.with_core(|core, now_ns| {
                core.admission.settle(permit, MicroDollars::ZERO, BreakerSignal::Neutral, now_ns);
                if core.admission.release(&release, now_ns) {
                    core.free_slot(permit.run);
                }
            });
        }
    }

    fn state(&mut self) -> &mut RunState {
        self.state.as_mut().expect("the state is taken only after the end")
    }

    fn is_over(&self) -> bool {
        self.state.as_ref().is_none_or(RunState::is_over)
    }

    fn is_settled(&self, critic: u32) -> bool {
        self.state.as_ref().is_none_or(|state| state.outcome(critic).is_some())
    }

    fn take_cancellation(&mut self, cx: &mut Context<'_>, now_ns: u64) {
        if let Some((canceller, cancelled)) = &mut self.canceller
            && cancelled.as_mut().poll(cx).is_ready()
        {
            let reason =
                canceller.reason().cloned().unwrap_or(CancelReason::User("cancelled".into()));
            self.canceller = None;
            self.cancel(reason, now_ns);
        }
    }

    /// Results first, because they came before the deadlines that may have passed since; decisions last, because
    /// nothing starts at its deadline.
    fn take_events(&mut self, now_ns: u64) {
        let mut events = std::mem::take(&mut self.events);
        self.shared.take(&mut events);
        let mut decisions = Vec::new();
        for event in events.drain(..) {
            match event {
                Event::Completed { critic, epoch, result, cost, at_ns } => {
                    self.completed(critic, epoch, result, cost, at_ns);
                }
                Event::CacheAnswered { critic, epoch, output } => {
                    self.cache_answered(critic, epoch, output, now_ns)
                }
                Event::Admitted => self.is_admitted = true,
                Event::Cancel(reason) => self.cancel(reason, now_ns),
                Event::Decided { .. } => decisions.push(event),
            }
        }
        self.events = events;
        self.follow(now_ns);
        while let Some(due) = self.timers.pop(now_ns) {
            self.due(&due, now_ns);
            self.follow(now_ns);
        }
        for event in decisions {
            if let Event::Decided { critic, decision } = event {
                if self.is_settled(critic) {
                    self.give_back(&Event::Decided { critic, decision });
                } else {
                    self.decided(critic, decision, now_ns);
                }
            }
        }
    }

    /// Does what follows from critics that have ended.
    fn follow(&mut self, now_ns: u64) {
        if !self.is_admitted || self.is_over() && self.state.is_none() {
            return;
        }
        loop {
            let steps = self.state().advance();
            if steps.is_empty() {
                return;
            }
            for step in steps {
                match step {
                    Step::StageOpened(stage) => self.stage_opened(stage, now_ns),
                    Step::StageClosed(stage) => {
                        self.stages[stage.index()].closed_ns = Some(now_ns);
                        self.tell(|_| HookEvent::StageClosed(stage));
                    }
                    Step::GateDecided(critic) => self.tell_gate(critic),
                    Step::Ready(critic) => self.ready(critic, now_ns),
                    Step::Settled(critic) => {
                        self.tell_finished(critic);
                        self.after_settling(critic, now_ns);
                    }
                }
            }
        }
    }

    fn stage_opened(&mut self, stage: Stage, now_ns: u64) {
        let times = &mut self.stages[stage.index()];
        times.opened_ns = Some(now_ns);
        if let Some(timeout) = self.plan.inner.settings.stage_timeouts[stage.index()] {
            let deadline_ns = now_ns.saturating_add(nanos(timeout));
            times.deadline_ns = Some(deadline_ns);
            let stage = u8::try_from(stage.index()).expect("there are six stages");
            self.timers.add(deadline_ns, Due::Stage(stage));
        }
        self.tell(|_| HookEvent::StageOpened(stage));
    }

    fn ready(&mut self, critic: u32, now_ns: u64) {
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
    fn offer(&mut self, critic: u32, now_ns: u64) {
        let node = &mut self.nodes[critic as usize];
        node.phase = Phase::Queued { since_ns: now_ns };
        let ready_ns = node.ready_ns;
        let is_first_attempt = node.attempts.is_empty();
        let spec = &self.plan.inner.node(critic).spec;
        let deadline_ns =
            self.deadline(critic, None).map_or(u64::MAX, |(deadline_ns, _)| deadline_ns);
        let queue_ns = spec.queue_timeout.filter(|_| is_first_attempt);
        let queue_ns = queue_ns.map_or(u64::MAX, |timeout| ready_ns.saturating_add(nanos(timeout)));
        self.offers.push(Offer {
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
        });
    }

    fn make_offers(&mut self) {
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
    fn deadline(&self, critic: u32, attempt_ns: Option<u64>) -> Option<(u64, TimeoutScope)> {
        let spec = &self.plan.inner.node(critic).spec;
        let ready_ns = self.nodes[critic as usize].ready_ns;
        let total_ns = spec.total_timeout.map(|timeout| ready_ns.saturating_add(nanos(timeout)));
        let all = [
            (self.deadline_ns, TimeoutScope::Run),
            (self.stages[spec.stage.index()].deadline_ns, TimeoutScope::Stage),
            (total_ns, TimeoutScope::Critic),
            (attempt_ns, TimeoutScope::Attempt),
        ];
        let known = all.into_iter().filter_map(|(deadline_ns, scope)| Some((deadline_ns?, scope)));
        // The first of equal ones wins, and the widest comes first.
        known.min_by_key(|(deadline_ns, _)| *deadline_ns)
    }

    fn decided(&mut self, critic: u32, decision: Decision, now_ns: u64) {
        let node = &mut self.nodes[critic as usize];
        if let Phase::Queued { since_ns } = node.phase {
            node.queue_ns += now_ns.saturating_sub(since_ns);
        }
        match decision {
            Decision::Granted(permit) => {
                let spec = &self.plan.inner.node(critic).spec;
                let (hint, called) = (spec.hint, Arc::clone(&spec.critic));
                self.start(critic, Some(permit), None, hint, called, now_ns);
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

    /// Starts an attempt, or a fallback, which holds no permit.
    fn start(
        &mut self,
        critic: u32,
        permit: Option<crate::admission::Permit>,
        instead_of: Option<Status>,
        hint: ExecutionHint,
        called: Arc<dyn Critic>,
        now_ns: u64,
    ) {
        let spec = &self.plan.inner.node(critic).spec;
        let attempt_ns = spec.attempt_timeout.map(|timeout| now_ns.saturating_add(nanos(timeout)));
        let (deadline_ns, scope) =
            self.deadline(critic, attempt_ns).unwrap_or((u64::MAX, TimeoutScope::Run));
        let dependencies = self.dependencies(critic);
        let name = Arc::clone(&spec.name);
        let estimate = if permit.is_some() { spec.cost } else { MicroDollars::ZERO };
        let node = &mut self.nodes[critic as usize];
        node.epoch += 1;
        let epoch = node.epoch;
        let is_first = permit.is_some() && node.attempts.is_empty();
        let shared = Arc::new(AttemptShared {
            run: Arc::clone(&self.scope),
            dependencies,
            critic: Arc::clone(&name),
            attempt: u32::try_from(node.attempts.len()).unwrap_or(u32::MAX).saturating_add(1),
            deadline: self.exec.to_instant(deadline_ns),
            failure: instead_of.clone(),
            cancelled: AtomicBool::new(false),
            token: OnceLock::new(),
            cleanups: CleanupStack::default(),
        });
        let claim = Arc::new(Claim::default());
        let guard = AttemptGuard {
            exec: Arc::clone(&self.exec),
            run: Arc::clone(&self.shared),
            plan: self.plan.clone(),
            critic,
            epoch,
            permit,
            deadline_ns,
            estimate,
            claim: Arc::clone(&claim),
            shared: Arc::clone(&shared),
        };
        if let Some(due) = Due::of_attempt(scope, critic, epoch) {
            self.timers.add(deadline_ns, due);
        }
        node.phase = Phase::Running(Box::new(Running {
            claim,
            shared,
            permit,
            started_ns: now_ns,
            deadline_ns,
            task: None,
            instead_of,
        }));
        if is_first {
            self.tell(|_| HookEvent::CriticStarted { critic: name });
        }
        let tracker = &self.exec.tracker;
        let handle = &self.shared.handle;
        let task = match hint {
            ExecutionHint::Inline => {
                let (abort, registration) = AbortHandle::new_pair();
                let attempt: Pin<Box<dyn Future<Output = ()> + Send>> =
                    Box::pin(attempt::attempt(guard, called));
                self.inline.push(Abortable::new(attempt, registration));
                RunningTask::Inline(abort)
            }
            ExecutionHint::Spawn => {
                RunningTask::Spawned(tracker.spawn_on(attempt::attempt(guard, called), handle))
            }
            ExecutionHint::Blocking => RunningTask::Spawned(
                tracker.spawn_on(attempt::blocking_attempt(guard, called), handle),
            ),
        };
        if let Phase::Running(running) = &mut self.nodes[critic as usize].phase {
            running.task = Some(task);
        }
    }

    /// The outputs of declared dependencies that answered.
    fn dependencies(&self, critic: u32) -> Box<[(Arc<str>, Arc<CriticOutput>)]> {
        let plan = &self.plan.inner;
        let outcome = |index: u32| self.state.as_ref().and_then(|state| state.outcome(index));
        let answered = plan.node(critic).depends_on.iter().filter_map(|(index, _)| {
            let output = outcome(*index)?.output.as_ref()?;
            Some((Arc::clone(&plan.node(*index).spec.name), Arc::clone(output)))
        });
        answered.collect()
    }

    fn completed(
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
        let outcome = match &result {
            AttemptResult::Answer { .. } => AttemptOutcome::Answered,
            AttemptResult::Failed { kind, .. } => AttemptOutcome::Failed(kind.as_str()),
            AttemptResult::Invalid { .. } => AttemptOutcome::Invalid,
        };
        self.note_attempt(critic, &running, outcome, cost, at_ns);
        let source = if running.instead_of.is_some() {
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
        match running.instead_of {
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
            node.attempts.push(AttemptReport { outcome, duration, delay: None, cost });
        }
    }

    fn answered(&mut self, critic: u32, answer: Answer, source: AnswerSource, now_ns: u64) {
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

    /// `kind` is `None` for an attempt that ran out of its own time.
    fn retry_or_fail(&mut self, critic: u32, status: Status, kind: Option<ErrorKind>, now_ns: u64) {
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
        }
        is_paid.then_some(delay_ns)
    }

    /// The last failure of a critic: its fallback is asked, if it has one and there is time.
    fn fail(&mut self, critic: u32, status: Status, now_ns: u64) {
        let fallback = self.plan.inner.node(critic).spec.fallback.clone();
        let has_time =
            self.deadline(critic, None).is_none_or(|(deadline_ns, _)| deadline_ns > now_ns);
        match fallback {
            Some(fallback) if has_time => {
                self.start(critic, None, Some(status), ExecutionHint::Spawn, fallback, now_ns);
            }
            _ => self.settle(critic, Outcome::without_answer(status), now_ns),
        }
    }

    fn settle(&mut self, critic: u32, outcome: Outcome, now_ns: u64) {
        let node = &mut self.nodes[critic as usize];
        node.epoch += 1;
        node.phase = Phase::Idle;
        self.state().settle(critic, outcome);
        self.tell_finished(critic);
        self.after_settling(critic, now_ns);
    }

    /// Ends the run early where the plan wants that.
    fn after_settling(&mut self, critic: u32, now_ns: u64) {
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
    pub(crate) fn cancel(&mut self, reason: CancelReason, _now_ns: u64) {
        if self.cancelled.is_some() || self.is_over() {
            return;
        }
        self.cancelled = Some(reason.clone());
        self.end_rest(&Status::Cancelled { reason });
    }

    fn end_rest(&mut self, status: &Status) {
        self.stop_all();
        self.offers.clear();
        let slot = self.shared.slot;
        let waiting: Vec<u32> = (0..self.plan.inner.len())
            .filter(|critic| matches!(self.nodes[*critic as usize].phase, Phase::Queued { .. }))
            .collect();
        if !waiting.is_empty() {
            self.exec.with_core(|core, now_ns| {
                for critic in waiting {
                    core.admission.withdraw(slot, critic, now_ns);
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

    fn stop_all(&mut self) {
        self.scope.token.cancel();
        let mut tasks = Vec::new();
        for critic in 0..self.plan.inner.len() {
            self.stop(critic, AttemptOutcome::Cancelled, BreakerSignal::Neutral, &mut tasks);
        }
        self.reap(tasks);
    }

    /// Settles the running attempt of a critic from outside.
    fn stop(
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
        if running.claim.take()
            && let Some(permit) = &running.permit
        {
            // Under the same lock as the guard's release, which is to know of it.
            self.exec.with_core(|core, now_ns| {
                now = now_ns;
                core.admission.settle(permit, estimate, signal, now_ns);
                if is_blocking {
                    core.admission.detach(permit);
                    running.claim.detach();
                }
            });
        } else {
            now = self.exec.now_ns();
        }
        self.note_attempt(critic, &running, outcome, estimate, now.min(running.deadline_ns));
        running.shared.cancel();
        match running.task.take() {
            Some(RunningTask::Spawned(task)) => tasks.push(task),
            Some(RunningTask::Inline(abort)) => abort.abort(),
            None => {}
        }
    }

    /// Gives stopped attempts the grace, which the caller does not wait for.
    fn reap(&self, tasks: Vec<tokio::task::JoinHandle<()>>) {
        if !tasks.is_empty() {
            let reaper = attempt::reap(tasks, self.exec.settings.grace);
            self.exec.tracker.spawn_on(reaper, &self.shared.handle);
        }
    }

    fn due(&mut self, due: &Due, now_ns: u64) {
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
                let instead_of = running.instead_of.clone();
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
                let slot = self.shared.slot;
                self.exec.with_core(|core, now_ns| core.admission.withdraw(slot, critic, now_ns));
                self.fail(critic, status, now_ns);
            }
            // Not yet ready, or between two attempts, whose timeouts are all wider than the critic's own.
            Phase::Idle | Phase::Cache | Phase::Backoff => {
                node.epoch += 1;
                self.fail(critic, status, now_ns);
            }
        }
    }

    fn ask_cache(&mut self, critic: u32) {
        let Some(cache) = self.exec.cache.clone() else { return };
        let node = &mut self.nodes[critic as usize];
        node.phase = Phase::Cache;
        let epoch = node.epoch;
        let key = self.cache_key(critic);
        let (run, exec) = (Arc::clone(&self.shared), Arc::clone(&self.exec));
        let stop = self.scope.token.clone();
        let ask = async move {
            let answer = stop.run_until_cancelled(catch_unwind(cache.get(&key))).await;
            let output = match answer {
                Some(Ok(Ok(output))) => output,
                Some(_) => {
                    exec.counters.cache_errors.fetch_add(1, Ordering::Relaxed);
                    None
                }
                None => return,
            };
            run.push(Event::CacheAnswered { critic, epoch, output: output.map(Box::new) });
        };
        self.exec.tracker.spawn_on(ask, &self.shared.handle);
    }

    fn cache_key(&self, critic: u32) -> CacheKey {
        CacheKey::of(self.plan.inner.node(critic), &self.scope.input, &self.dependencies(critic))
    }

    fn cache_answered(
        &mut self,
        critic: u32,
        epoch: u32,
        output: Option<Box<CriticOutput>>,
        now_ns: u64,
    ) {
        let node = &self.nodes[critic as usize];
        if node.epoch != epoch || !matches!(node.phase, Phase::Cache) {
            return;
        }
        let plan = self.plan.clone();
        let limits = &plan.inner.settings.output_limits;
        let judged = output.and_then(|output| {
            let judged = crate::catch::catch(|| {
                plan.inner.node(critic).judge_output(&output, &self.scope.input, limits)
            });
            // What would not be an answer from the critic is none from the cache.
            let warnings = judged.ok()?.ok()?;
            Some(Answer { output: Arc::new(*output), warnings })
        });
        match judged {
            Some(answer) => self.answered(critic, answer, AnswerSource::Cache, now_ns),
            None => self.offer(critic, now_ns),
        }
    }

    fn store_answer(&self, critic: u32, output: &Arc<CriticOutput>) {
        let Some(cache) = self.exec.cache.clone() else { return };
        let key = self.cache_key(critic);
        let (exec, output) = (Arc::clone(&self.exec), Arc::clone(output));
        let limit = self.exec.settings.cleanup_limit;
        let store = async move {
            let stored = tokio::time::timeout(limit, catch_unwind(cache.put(&key, &output))).await;
            if !matches!(stored, Ok(Ok(Ok(())))) {
                exec.counters.cache_errors.fetch_add(1, Ordering::Relaxed);
            }
        };
        self.exec.tracker.spawn_on(store, &self.shared.handle);
    }

    fn tell(&self, event: impl FnOnce(&ExecutionPlan) -> HookEvent) {
        if let Some(hooks) = &self.hooks {
            hooks.tell(&self.exec.hooks, event(&self.plan));
        }
    }

    fn tell_gate(&mut self, critic: u32) {
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
    fn tell_finished(&mut self, critic: u32) {
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

    /// Sets the alarm for the next deadline. False if it is due already.
    fn arm(&mut self, cx: &mut Context<'_>) -> bool {
        let (nodes, state) = (&self.nodes, &self.state);
        let is_settled =
            |critic: u32| state.as_ref().is_none_or(|state| state.outcome(critic).is_some());
        let next_ns = self.timers.next_ns(|due| match due {
            Due::Run | Due::Stage(_) => false,
            Due::Critic(critic) => is_settled(*critic),
            Due::Attempt { critic, epoch }
            | Due::Queue { critic, epoch }
            | Due::Retry { critic, epoch } => nodes[*critic as usize].epoch != *epoch,
        });
        let Some(next_ns) = next_ns else { return true };
        // An alarm that is too early only wakes once too often; moving it costs more.
        if next_ns < self.armed_ns || self.sleep.is_elapsed() {
            self.armed_ns = next_ns;
            // The runtime's timers reach about two years; a run that takes longer is woken once a year.
            let in_a_year = Instant::now() + Duration::from_secs(365 * 86_400);
            self.sleep.as_mut().reset(self.exec.to_instant(next_ns).min(in_a_year));
        }
        self.sleep.as_mut().poll(cx).is_pending()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether a stream that is never closed gave something.
trait IsReadyAndSome {
    fn is_ready_and_some(&self) -> bool;
}

impl<T> IsReadyAndSome for Poll<Option<T>> {
    fn is_ready_and_some(&self) -> bool {
        matches!(self, Self::Ready(Some(_)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
