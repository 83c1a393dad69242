//! Drives one run: takes what has come in, lets deadlines pass, asks the pure parts what follows, and does it.

mod attempts;
mod caching;
mod endings;
mod failures;
mod queueing;
mod telling;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Abortable;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::hook_board::RunHooks;
use super::node::{Node, Phase};
use super::options::RunCanceller;
use super::shared::{Event, ExecShared, RunShared};
use super::timers::{Due, Timers};
use super::trace::RunTrace;
use crate::admission::{Decision, Offer, ResourceId};
use crate::cleanup::CleanupStack;
use crate::context::RunScope;
use crate::evidence::Outcome;
use crate::gate::GateDecision;
use crate::hooks::HookEvent;
use crate::plan::ExecutionPlan;
use crate::run_state::{RunState, Step};
use crate::stage::Stage;
use crate::status::CancelReason;
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
    pub(crate) trace: Option<Box<RunTrace>>,
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
    /// Kept for their memory between two turns.
    steps: Vec<Step>,
    decisions: Vec<(u32, Decision)>,
    joined: Verdict,
    /// Attempts in tasks of their own that have not been settled.
    in_tasks: usize,
    has_let_others_go: bool,
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
    pub(crate) trace: Option<Box<RunTrace>>,
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
            trace: start.trace,
            stages: [StageTimes::default(); Stage::COUNT],
            cancelled: None,
            is_short_circuited: false,
            canceller,
            inline: FuturesUnordered::new(),
            events: Vec::new(),
            offers: Vec::new(),
            steps: Vec::new(),
            decisions: Vec::new(),
            joined: Verdict::Allow,
            in_tasks: 0,
            has_let_others_go: false,
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
        let has_events = self.shared.wake_up();
        // Attempts that start together often end together. Whoever is next in line goes first, so that one turn takes
        // what all of them bring, and not a turn each. Only something that came in is a reason to wait for more:
        // two runs polled by one task would wake each other for ever otherwise.
        if has_events && self.in_tasks > 1 && !self.has_let_others_go {
            self.has_let_others_go = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.has_let_others_go = false;
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
            #[cfg(feature = "metrics")]
            self.count_as_dropped();
        }
        self.exec.with_core(|core, now_ns| core.end_run(&self.shared, self.is_admitted, now_ns));
        self.shared.end();
        self.exec.run_ended.notify_waiters();
        // What was granted and never started goes back.
        self.shared.take(&mut self.events);
        for event in std::mem::take(&mut self.events) {
            if let Event::Decided { decision, .. } = event {
                self.give_back(&decision);
            }
        }
        let callbacks = self.cleanups.take(self.cancelled.is_some());
        if !callbacks.is_empty() {
            self.exec.run_cleanups(callbacks, &self.shared.handle);
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
        let mut decisions = std::mem::take(&mut self.decisions);
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
                Event::Decided { critic, decision } => decisions.push((critic, decision)),
            }
        }
        self.events = events;
        self.follow(now_ns);
        while let Some(due) = self.timers.pop(now_ns) {
            self.due(&due, now_ns);
            self.follow(now_ns);
        }
        for (critic, decision) in decisions.drain(..) {
            // A deadline of this same moment may have ended the wait, with a fallback at work since.
            if matches!(self.nodes[critic as usize].phase, Phase::Queued { .. }) {
                self.decided(critic, decision, now_ns);
            } else {
                self.give_back(&decision);
            }
        }
        self.decisions = decisions;
    }

    /// Does what follows from critics that have ended.
    fn follow(&mut self, now_ns: u64) {
        if !self.is_admitted || self.is_over() && self.state.is_none() {
            return;
        }
        let mut steps = std::mem::take(&mut self.steps);
        loop {
            self.state().advance(&mut steps);
            if steps.is_empty() {
                self.steps = steps;
                return;
            }
            for step in steps.drain(..) {
                match step {
                    Step::StageOpened(stage) => self.stage_opened(stage, now_ns),
                    Step::StageClosed(stage) => {
                        self.stages[stage.index()].closed_ns = Some(now_ns);
                        if let Some(trace) = &mut self.trace {
                            trace.stage_closed(stage);
                        }
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
        if let Some(trace) = &mut self.trace {
            trace.stage(stage);
        }
        self.tell(|_| HookEvent::StageOpened(stage));
    }

    /// Sets the alarm for the next deadline. False if it is due already.
    fn arm(&mut self, cx: &mut Context<'_>) -> bool {
        // An alarm that is too early only wakes once too often; moving it costs more.
        let is_set = self.timers.peek_ns().is_none_or(|next_ns| next_ns >= self.armed_ns);
        if !is_set || self.sleep.is_elapsed() {
            let Some(next_ns) = self.next_deadline_ns() else { return true };
            self.armed_ns = next_ns;
            // The runtime's timers reach about two years; a run that takes longer is woken once a year.
            let in_a_year = Instant::now() + Duration::from_secs(365 * 86_400);
            self.sleep.as_mut().reset(self.exec.to_instant(next_ns).min(in_a_year));
        }
        self.sleep.as_mut().poll(cx).is_pending()
    }

    fn next_deadline_ns(&mut self) -> Option<u64> {
        let (nodes, state) = (&self.nodes, &self.state);
        let is_settled =
            |critic: u32| state.as_ref().is_none_or(|state| state.outcome(critic).is_some());
        self.timers.next_ns(|due| match due {
            Due::Run | Due::Stage(_) => false,
            Due::Critic(critic) => is_settled(*critic),
            Due::Attempt { critic, epoch }
            | Due::Queue { critic, epoch }
            | Due::Retry { critic, epoch } => nodes[*critic as usize].epoch != *epoch,
        })
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
