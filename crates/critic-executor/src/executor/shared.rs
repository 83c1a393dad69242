//! What all runs of an executor share, and what a run shares with its attempts.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::CriticState;
use super::attempt::{AttemptResult, Callbacks};
use super::hook_board::HookBoard;
use super::settings::ExecutorSettings;
use crate::admission::{Admission, Decision, ResourceId, RunSlot};
use crate::cache::AnswerCache;
use crate::cleanup;
use crate::finding::CriticOutput;
use crate::money::MicroDollars;
use crate::plan::{ExecutionPlan, PlanInner};
use crate::status::CancelReason;

/// What comes in for a run.
#[derive(Debug)]
pub(crate) enum Event {
    /// It has a place among the concurrent runs.
    Admitted,
    Decided {
        critic: u32,
        decision: Decision,
    },
    Completed {
        critic: u32,
        epoch: u32,
        result: AttemptResult,
        cost: MicroDollars,
        at_ns: u64,
    },
    CacheAnswered {
        critic: u32,
        epoch: u32,
        output: Option<Box<CriticOutput>>,
    },
    Cancel(CancelReason),
}

/// What a run shares with its attempts and with the executor. Attempts hold this one alone, because each count of
/// references is a word that threads take from each other.
pub(crate) struct RunShared {
    pub(crate) slot: RunSlot,
    pub(crate) run_id: Arc<str>,
    pub(crate) handle: Handle,
    pub(crate) exec: Arc<ExecShared>,
    pub(crate) plan: ExecutionPlan,
    mailbox: Mutex<Mailbox>,
}

#[derive(Default)]
struct Mailbox {
    events: Vec<Event>,
    /// Set only while the run sleeps.
    waker: Option<Waker>,
    is_ended: bool,
}

impl RunShared {
    pub(crate) fn new(
        slot: RunSlot,
        run_id: Arc<str>,
        handle: Handle,
        exec: Arc<ExecShared>,
        plan: ExecutionPlan,
    ) -> Self {
        Self { slot, run_id, handle, exec, plan, mailbox: Mutex::default() }
    }

    /// Puts an event in and wakes the run if it sleeps.
    pub(crate) fn push(&self, event: Event) {
        let waker = self.push_quietly(event);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Puts an event in; the caller is to wake the run.
    fn push_quietly(&self, event: Event) -> Option<Waker> {
        let mut mailbox = self.mailbox();
        mailbox.events.push(event);
        mailbox.waker.take()
    }

    /// Takes all events into an empty vector.
    pub(crate) fn take(&self, events: &mut Vec<Event>) {
        std::mem::swap(&mut self.mailbox().events, events);
    }

    /// Goes to sleep if nothing has come in; false if something has.
    pub(crate) fn sleep(&self, waker: &Waker) -> bool {
        let mut mailbox = self.mailbox();
        let may_sleep = mailbox.events.is_empty();
        if may_sleep {
            mailbox.waker = Some(waker.clone());
        }
        may_sleep
    }

    /// Notes that the run has ended; what it left running may still hold something.
    pub(crate) fn end(&self) {
        self.mailbox().is_ended = true;
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.mailbox().is_ended
    }

    /// Notes that the run is awake, so that nobody needs to wake it. Returns whether something has come in.
    pub(crate) fn wake_up(&self) -> bool {
        let mut mailbox = self.mailbox();
        mailbox.waker = None;
        !mailbox.events.is_empty()
    }

    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts of an executor since its start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) late_results: AtomicU64,
    pub(crate) cleanup_errors: AtomicU64,
    pub(crate) cache_errors: AtomicU64,
    pub(crate) retry_budget_exhausted: AtomicU64,
}

/// What all runs of an executor share.
pub(crate) struct ExecShared {
    pub(crate) settings: ExecutorSettings,
    epoch: Instant,
    core: Mutex<Core>,
    /// Everything that belongs to runs: attempts, cleanups, reapers, the token timer.
    pub(crate) tracker: TaskTracker,
    pub(crate) hooks: HookBoard,
    pub(crate) cache: Option<Arc<dyn AnswerCache>>,
    pub(crate) counters: Arc<Counters>,
    #[cfg(feature = "metrics")]
    pub(crate) metrics: Option<crate::metrics::ExecutorMetrics>,
    timer_changed: Notify,
    /// Told whenever a run has ended.
    pub(crate) run_ended: Notify,
    pub(crate) next_run: AtomicU64,
}

/// What is behind the executor's one lock. Foreign code is never called while it is held.
pub(crate) struct Core {
    pub(crate) admission: Admission,
    pub(crate) runs: Vec<Option<Arc<RunShared>>>,
    free_slots: Vec<RunSlot>,
    plans: HashMap<u64, Binding>,
    pub(crate) active_runs: usize,
    pub(crate) max_runs: Option<usize>,
    pub(crate) run_queue: VecDeque<Arc<RunShared>>,
    pub(crate) is_shut_down: bool,
    timer_runs: bool,
    /// The instant the timer task sleeps for.
    timer_ns: Option<u64>,
}

struct Binding {
    plan: Weak<PlanInner>,
    resources: Arc<[ResourceId]>,
}

impl ExecShared {
    pub(crate) fn new(
        settings: ExecutorSettings,
        hooks: HookBoard,
        cache: Option<Arc<dyn AnswerCache>>,
    ) -> Self {
        let core = Core {
            admission: Admission::new(settings.admission_limits()),
            runs: Vec::new(),
            free_slots: Vec::new(),
            plans: HashMap::new(),
            active_runs: 0,
            max_runs: settings.max_concurrent_runs,
            run_queue: VecDeque::new(),
            is_shut_down: false,
            timer_runs: false,
            timer_ns: None,
        };
        Self {
            settings,
            epoch: Instant::now(),
            core: Mutex::new(core),
            tracker: TaskTracker::new(),
            hooks,
            cache,
            counters: Arc::default(),
            #[cfg(feature = "metrics")]
            metrics: None,
            timer_changed: Notify::new(),
            run_ended: Notify::new(),
            next_run: AtomicU64::new(1),
        }
    }

    /// Nanoseconds on the executor's clock, which is tokio's.
    pub(crate) fn now_ns(&self) -> u64 {
        self.to_ns(Instant::now())
    }

    pub(crate) fn to_ns(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn to_instant(&self, ns: u64) -> Instant {
        let far = Duration::from_secs(86_400 * 365 * 30);
        self.epoch + Duration::from_nanos(ns).min(far)
    }

    /// Works on the core, then hands out what was decided.
    pub(crate) fn with_core<T>(&self, work: impl FnOnce(&mut Core, u64) -> T) -> T {
        self.work_on_core(None, work)
    }

    /// The same, and a run is told of something along with what was decided for it, so that it is woken once.
    pub(crate) fn with_core_and_event(
        &self,
        run: &RunShared,
        event: Event,
        work: impl FnOnce(&mut Core, u64),
    ) {
        self.work_on_core(Some((run, event)), work);
    }

    fn work_on_core<T>(
        &self,
        told: Option<(&RunShared, Event)>,
        work: impl FnOnce(&mut Core, u64) -> T,
    ) -> T {
        let now_ns = self.now_ns();
        let mut guard = self.lock();
        let core = &mut *guard;
        let result = work(core, now_ns);
        // Most often there is one run to wake, or none.
        let mut waker = told.and_then(|(run, event)| run.push_quietly(event));
        let mut more_wakers: Vec<Waker> = Vec::new();
        for decided in core.admission.decided.drain(..) {
            if let Some(Some(run)) = core.runs.get(decided.run as usize) {
                let (critic, decision) = (decided.critic, decided.decision);
                match run.push_quietly(Event::Decided { critic, decision }) {
                    Some(woken) if waker.is_none() => waker = Some(woken),
                    woken => more_wakers.extend(woken),
                }
            }
        }
        let changes = std::mem::take(&mut core.admission.breaker_changes);
        let next_ns = core.admission.next_timer_ns();
        if next_ns != core.timer_ns {
            core.timer_ns = next_ns;
            self.timer_changed.notify_one();
        }
        drop(guard);
        waker.into_iter().chain(more_wakers).for_each(Waker::wake);
        for change in changes {
            self.hooks.breaker_changed(&change);
            #[cfg(feature = "metrics")]
            if let Some(metrics) = &self.metrics {
                metrics.breaker_changed(&change);
            }
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs cleanups that nobody waits for.
    pub(crate) fn run_cleanups(self: &Arc<Self>, callbacks: Callbacks, handle: &Handle) {
        let exec = Arc::clone(self);
        let limit = self.settings.cleanup_limit;
        self.tracker.spawn_on(
            async move {
                let failed = cleanup::run_all(callbacks, limit).await;
                exec.counters.cleanup_errors.fetch_add(failed as u64, Ordering::Relaxed);
            },
            handle,
        );
    }

    /// Makes sure that somebody wakes up when the next token arrives.
    pub(crate) fn keep_time(self: &Arc<Self>, handle: &Handle) {
        let mut core = self.lock();
        if core.timer_runs || core.timer_ns.is_none() {
            return;
        }
        core.timer_runs = true;
        drop(core);
        let timer = TokenTimer { exec: Arc::clone(self), has_ended: false };
        self.tracker.spawn_on(timer.run(), handle);
    }
}

impl Core {
    /// What critics of each name share, by name.
    pub(crate) fn critic_states(&self, now_ns: u64) -> Vec<CriticState> {
        let states = self.admission.resources().map(|resource| CriticState {
            name: Arc::clone(&resource.name),
            in_use: resource.in_use,
            limit: resource.effective_limit(),
            next_token: resource
                .bucket
                .as_ref()
                .map(|bucket| Duration::from_nanos(bucket.ready_at(now_ns).saturating_sub(now_ns))),
            breaker: resource.breaker.as_ref().map(|breaker| breaker.state(now_ns)),
            probes: resource.breaker.as_ref().map_or(0, |breaker| breaker.outstanding_probes()),
            retry_budget_exhausted: resource.retries.exhausted(),
        });
        states.collect()
    }

    /// A place for a run.
    pub(crate) fn take_slot(&mut self, run: impl FnOnce(RunSlot) -> RunShared) -> Arc<RunShared> {
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.runs.push(None);
            RunSlot::try_from(self.runs.len() - 1)
                .expect("there are fewer runs than bytes of memory")
        });
        let run = Arc::new(run(slot));
        self.runs[slot as usize] = Some(Arc::clone(&run));
        run
    }

    pub(crate) fn free_slot(&mut self, slot: RunSlot) {
        self.runs[slot as usize] = None;
        self.free_slots.push(slot);
    }

    /// Ends a run's interest in everything, and lets the next one in.
    pub(crate) fn end_run(&mut self, run: &Arc<RunShared>, was_admitted: bool, now_ns: u64) {
        let waiting = self.run_queue.len();
        if !was_admitted {
            self.run_queue.retain(|other| !Arc::ptr_eq(other, run));
        }
        // Who no longer waits has a place, even if the run was dropped before it was told so.
        if self.run_queue.len() == waiting {
            self.active_runs -= 1;
        }
        if self.admission.close_run(run.slot, now_ns) {
            self.free_slot(run.slot);
        }
        self.admit_runs();
    }

    pub(crate) fn may_run(&self) -> bool {
        self.max_runs.is_none_or(|most| self.active_runs < most)
    }

    /// Lets runs in for which there is a place.
    pub(crate) fn admit_runs(&mut self) {
        while self.may_run() {
            let Some(run) = self.run_queue.pop_front() else { return };
            self.active_runs += 1;
            run.push(Event::Admitted);
        }
    }

    /// The shared state of a plan's critics, in plan order.
    pub(crate) fn bind(&mut self, plan: &ExecutionPlan, now_ns: u64) -> Arc<[ResourceId]> {
        if let Some(binding) = self.plans.get(&plan.inner.id) {
            return Arc::clone(&binding.resources);
        }
        // Plans that are gone are forgotten whenever a new one comes, which is rare.
        let admission = &mut self.admission;
        self.plans.retain(|_, binding| {
            let is_alive = binding.plan.strong_count() > 0;
            if !is_alive {
                binding.resources.iter().for_each(|resource| admission.unbind(*resource));
            }
            is_alive
        });
        let resources: Arc<[ResourceId]> =
            plan.specs().map(|spec| admission.bind(spec, now_ns)).collect();
        let binding =
            Binding { plan: Arc::downgrade(&plan.inner), resources: Arc::clone(&resources) };
        self.plans.insert(plan.inner.id, binding);
        resources
    }
}

/// Sleeps until tokens arrive, for as long as somebody waits for one.
struct TokenTimer {
    exec: Arc<ExecShared>,
    has_ended: bool,
}

impl TokenTimer {
    async fn run(mut self) {
        while let Some(due_ns) = self.next() {
            // The runtime's timers reach about two years.
            let in_a_year = Instant::now() + Duration::from_secs(365 * 86_400);
            tokio::select! {
                () = tokio::time::sleep_until(self.exec.to_instant(due_ns).min(in_a_year)) => {
                    self.exec.with_core(|core, now_ns| core.admission.advance(now_ns));
                }
                () = self.exec.timer_changed.notified() => {}
            }
        }
    }

    fn next(&mut self) -> Option<u64> {
        let mut core = self.exec.lock();
        let due_ns = core.timer_ns;
        if due_ns.is_none() {
            // Under the same lock, so that whoever needs a timer next starts one.
            core.timer_runs = false;
            self.has_ended = true;
        }
        due_ns
    }
}

impl Drop for TokenTimer {
    fn drop(&mut self) {
        if !self.has_ended {
            self.exec.lock().timer_runs = false;
        }
    }
}
