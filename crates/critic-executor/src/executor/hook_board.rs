//! Calls hooks where they cannot do harm.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use crate::admission::BreakerChange;
use crate::catch::catch_unwind;
use crate::hooks::{HookDelivery, HookError, HookEvent, Hooks, RunInfo};
use crate::report::RunReport;

/// Counts of hooks that went wrong.
#[derive(Debug, Default)]
pub(crate) struct HookCounters {
    pub(crate) errors: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

impl HookCounters {
    /// Waits for a call, but not for ever, and keeps whatever goes wrong to itself.
    async fn call(&self, limit: Duration, call: impl Future<Output = Result<(), HookError>>) {
        let ended = timeout(limit, catch_unwind(call)).await;
        if !matches!(ended, Ok(Ok(Ok(())))) {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

enum Notice {
    Before(RunInfo),
    Event(RunInfo, HookEvent),
    After(RunInfo, Arc<RunReport>),
}

/// A detached hook may take long, but not for ever.
const DETACHED_LIMIT: Duration = Duration::from_secs(30);

struct Detached {
    hooks: Arc<dyn Hooks>,
    sender: mpsc::Sender<Notice>,
    /// Taken by the task that calls the hook, which starts with the first run.
    receiver: Mutex<Option<mpsc::Receiver<Notice>>>,
}

/// All hooks of an executor.
#[derive(Default)]
pub(crate) struct HookBoard {
    awaited: Vec<(Arc<dyn Hooks>, Duration)>,
    detached: Vec<Detached>,
    pub(crate) counters: Arc<HookCounters>,
    /// The tasks of detached hooks.
    pumps: TaskTracker,
    /// Breaker changes that no run has told of yet; the newest are kept.
    breaker_changes: Mutex<VecDeque<HookEvent>>,
}

/// Breaker changes kept for the next run that tells its hooks something.
const MAX_BREAKER_CHANGES: usize = 1000;

impl HookBoard {
    pub(crate) fn add(&mut self, hooks: Arc<dyn Hooks>, delivery: HookDelivery) {
        match delivery {
            HookDelivery::Awaited { limit } => self.awaited.push((hooks, limit)),
            HookDelivery::Detached { capacity } => {
                let (sender, receiver) = mpsc::channel(capacity.max(1));
                self.detached.push(Detached {
                    hooks,
                    sender,
                    receiver: Mutex::new(Some(receiver)),
                });
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.awaited.is_empty() && self.detached.is_empty()
    }

    /// Keeps a breaker's change for the hooks.
    pub(crate) fn breaker_changed(&self, change: &BreakerChange) {
        if self.is_empty() {
            return;
        }
        let event = HookEvent::BreakerChanged {
            critic: Arc::clone(&change.critic),
            from: change.from,
            to: change.to,
        };
        let mut changes = self.breaker_changes.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.len() >= MAX_BREAKER_CHANGES {
            changes.pop_front();
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
        changes.push_back(event);
    }

    fn take_breaker_changes(&self) -> VecDeque<HookEvent> {
        std::mem::take(&mut *self.breaker_changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Starts the calls for one run. `events` bounds how many events wait for a slow hook.
    pub(crate) fn start(
        &self,
        run: &RunInfo,
        events: usize,
        tracker: &TaskTracker,
        handle: &Handle,
    ) -> RunHooks {
        for detached in &self.detached {
            let receiver = detached.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(receiver) = receiver {
                let (hooks, counters) = (Arc::clone(&detached.hooks), Arc::clone(&self.counters));
                // It ends with the executor, which holds the only sender.
                self.pumps.spawn_on(deliver(hooks, receiver, counters), handle);
            }
        }
        let awaited = self.awaited.iter().map(|(hooks, limit)| {
            let (sender, receiver) = mpsc::channel(events.max(1));
            let (drained, done) = oneshot::channel();
            let work = deliver_awaited(
                Arc::clone(hooks),
                run.clone(),
                *limit,
                receiver,
                Arc::clone(&self.counters),
            );
            tracker.spawn_on(
                async move {
                    work.await;
                    // Nobody waits any more if the run was dropped.
                    let _ = drained.send(());
                },
                handle,
            );
            AwaitedHook { hooks: Arc::clone(hooks), limit: *limit, sender: Some(sender), done }
        });
        let run_hooks = RunHooks { run: run.clone(), awaited: awaited.collect() };
        self.detach(|| Notice::Before(run.clone()));
        run_hooks
    }

    fn detach(&self, notice: impl Fn() -> Notice) {
        for detached in &self.detached {
            if detached.sender.try_send(notice()).is_err() {
                self.counters.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Calls a detached hook until the executor is gone.
async fn deliver(
    hooks: Arc<dyn Hooks>,
    mut notices: mpsc::Receiver<Notice>,
    counters: Arc<HookCounters>,
) {
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Before(run) => counters.call(DETACHED_LIMIT, hooks.before_run(&run)).await,
            Notice::Event(run, event) => {
                counters.call(DETACHED_LIMIT, hooks.on_event(&run, &event)).await
            }
            Notice::After(run, report) => {
                counters.call(DETACHED_LIMIT, hooks.after_run(&run, &report)).await
            }
        }
    }
}

/// Calls an awaited hook with the events of one run.
async fn deliver_awaited(
    hooks: Arc<dyn Hooks>,
    run: RunInfo,
    limit: Duration,
    mut events: mpsc::Receiver<HookEvent>,
    counters: Arc<HookCounters>,
) {
    while let Some(event) = events.recv().await {
        counters.call(limit, hooks.on_event(&run, &event)).await;
    }
}

struct AwaitedHook {
    hooks: Arc<dyn Hooks>,
    limit: Duration,
    /// Dropped after the last event.
    sender: Option<mpsc::Sender<HookEvent>>,
    done: oneshot::Receiver<()>,
}

/// The hooks of one run.
pub(crate) struct RunHooks {
    run: RunInfo,
    awaited: Vec<AwaitedHook>,
}

impl RunHooks {
    /// Calls `before_run`, but not past the run's deadline.
    pub(crate) async fn before(&self, board: &HookBoard, deadline: Option<Instant>) {
        for hook in &self.awaited {
            let limit = limit_before(hook.limit, deadline);
            board.counters.call(limit, hook.hooks.before_run(&self.run)).await;
        }
    }

    /// Tells of an event, without waiting.
    pub(crate) fn tell(&self, board: &HookBoard, event: HookEvent) {
        let changes = board.take_breaker_changes();
        for event in changes.into_iter().chain([event]) {
            for sender in self.awaited.iter().filter_map(|hook| hook.sender.as_ref()) {
                if sender.try_send(event.clone()).is_err() {
                    board.counters.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            board.detach(|| Notice::Event(self.run.clone(), event.clone()));
        }
    }

    /// Waits for the events to be delivered and calls `after_run`, but not past the run's deadline.
    pub(crate) async fn after(
        mut self,
        board: &HookBoard,
        report: &Arc<RunReport>,
        deadline: Option<Instant>,
    ) {
        board.detach(|| Notice::After(self.run.clone(), Arc::clone(report)));
        for hook in &mut self.awaited {
            hook.sender = None;
            let end = Instant::now() + limit_before(hook.limit, deadline);
            if timeout_at(end, &mut hook.done).await.is_err() {
                board.counters.dropped.fetch_add(1, Ordering::Relaxed);
            }
            let limit = limit_before(hook.limit, deadline);
            board.counters.call(limit, hook.hooks.after_run(&self.run, report)).await;
        }
    }
}

fn limit_before(limit: Duration, deadline: Option<Instant>) -> Duration {
    deadline.map_or(limit, |deadline| limit.min(deadline.saturating_duration_since(Instant::now())))
}
