use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use adapter_host::{AdapterHost, ReplicaKey, StopSignal};
use api_types::{ErrorCode, TaskState};
use futures_util::FutureExt as _;
use narration::{Fact, human};
use orchestrator_core::{
    Action, EndedBy, Event, Forecast, Lease, ModelId, ModelLimits, Next, QueueLimit, Restored,
    Scheduler, TaskId,
};
use pin_project_lite::pin_project;
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use crate::{
    Clock, EndRow, EventStore, EventStoreError, Finished, Journal, JournalError, Observer, Options,
    Outcome, Record, SpanSink,
    admission::Admissions,
    ending::{Counted, Ending, finish, task_error},
    experience::KeptExperience,
    live_task::{LiveTask, StopReason},
    model::{ModelDirectory, ModelFacts, PromptMeter},
    pool_table::PoolTable,
    rate::Rates,
    retention::RetentionState,
    run::{self, Dispatch},
    span,
    task_log::TaskLog,
    verdict::Verdict,
    wants,
};

/// How long to wait before a full device is tried again.
const FULL_RETRY: Duration = Duration::from_millis(250);

/// Longest sleep of the clock that drives deadlines: tokio's timers stand still while the machine
/// sleeps, the boot-time clock does not.
const TICK_MAX_MS: u64 = 1000;

/// What the parts of an orchestrator share.
pub(crate) struct Shared {
    options: RwLock<Arc<Options>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) events: Arc<dyn EventStore>,
    pub(crate) models: Arc<dyn ModelDirectory>,
    pub(crate) meter: Arc<dyn PromptMeter>,
    pub(crate) host: AdapterHost,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) spans: Arc<dyn SpanSink>,
    pub(crate) pools: PoolTable,
    /// What ends the watch over each attached pool.
    pub(crate) watches: Mutex<HashMap<ReplicaKey, CancellationToken>>,
    pub(crate) admissions: Admissions,
    pub(crate) rates: Rates,
    pub(crate) next_sequence: AtomicU64,
    pub(crate) subscribers: AtomicUsize,
    /// Logs that somebody reads, by their tasks; no more than there may be subscribers.
    pub(crate) listened: Mutex<HashMap<TaskId, Vec<Weak<TaskLog>>>>,
    pub(crate) retention_state: Mutex<RetentionState>,
    /// Everything that this orchestrator spawned.
    pub(crate) tracker: TaskTracker,
    /// Fires when the owner is gone: whatever still runs is dropped.
    pub(crate) life: CancellationToken,
    /// Fires when no more work is taken.
    pub(crate) closing: CancellationToken,
    /// Fires when the store can no longer be relied on.
    pub(crate) failed: CancellationToken,
    failure: OnceLock<String>,
    store_is_full: AtomicBool,
    scheduler: Mutex<Scheduler>,
    pub(crate) kept_experience: Mutex<KeptExperience>,
    /// Tasks that have not ended; as many as the scheduler's limits let in.
    live: Mutex<HashMap<TaskId, Arc<LiveTask>>>,
    /// Tasks found at start that wait for their client to come back.
    parked: Mutex<HashMap<TaskId, Restored>>,
    wake_changed: Notify,
}

/// A place in the queue until the task is durable.
pub(crate) struct Reservation {
    pub(crate) position: u64,
    /// When the task should start and end, where that is known.
    pub(crate) forecast: Option<Forecast>,
    /// Tasks that the commit ends, as they made room.
    pub(crate) victims: Vec<TaskId>,
}

/// There is no place in the queue.
pub(crate) struct NoPlace {
    pub(crate) limit: QueueLimit,
    /// When there should be one, where that was measured.
    pub(crate) retry_after_ms: Option<u64>,
}

/// The parts that an orchestrator is made of.
pub struct Parts {
    /// Limits and times.
    pub options: Options,
    pub clock: Arc<dyn Clock>,
    pub journal: Arc<dyn Journal>,
    pub events: Arc<dyn EventStore>,
    pub models: Arc<dyn ModelDirectory>,
    pub meter: Arc<dyn PromptMeter>,
    /// Where engines are bound; shared with whoever binds them.
    pub host: AdapterHost,
    /// Who counts; `()` where nobody does.
    pub observer: Arc<dyn Observer>,
    /// Who puts traces together; `()` where nobody does.
    pub spans: Arc<dyn SpanSink>,
}

pin_project! {
    /// A future that ends early where a signal comes.
    struct UntilOver<F> {
        // In place, as it is polled for each token.
        #[pin]
        future: F,
        over: StopSignal,
    }
}

impl<F: Future<Output = ()>> Future for UntilOver<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => this.over.poll(cx),
        }
    }
}

impl Shared {
    pub(crate) fn new(parts: Parts, last_sequence: u64) -> Self {
        let mut scheduler = Scheduler::new(parts.options.queue.clone());
        scheduler.strategies_mut().default = parts.options.strategy;
        Self {
            scheduler: Mutex::new(scheduler),
            kept_experience: Mutex::default(),
            rates: Rates::new(parts.options.rate_limits, Arc::clone(&parts.clock)),
            options: RwLock::new(Arc::new(parts.options)),
            clock: parts.clock,
            journal: parts.journal,
            events: parts.events,
            models: parts.models,
            meter: parts.meter,
            host: parts.host,
            observer: parts.observer,
            spans: parts.spans,
            pools: PoolTable::default(),
            watches: Mutex::default(),
            admissions: Admissions::default(),
            next_sequence: AtomicU64::new(last_sequence + 1),
            subscribers: AtomicUsize::new(0),
            listened: Mutex::default(),
            retention_state: Mutex::default(),
            tracker: TaskTracker::new(),
            life: CancellationToken::new(),
            closing: CancellationToken::new(),
            failed: CancellationToken::new(),
            failure: OnceLock::new(),
            store_is_full: AtomicBool::new(false),
            live: Mutex::default(),
            parked: Mutex::default(),
            wake_changed: Notify::new(),
        }
    }

    /// Limits and times that hold now.
    pub(crate) fn options(&self) -> Arc<Options> {
        Arc::clone(&self.options.read().expect("no holder panics"))
    }

    /// Lets others hold. What was admitted stays admitted, and attempts at work keep those they began with.
    pub(crate) fn set_options(&self, options: Options) {
        {
            let mut scheduler = self.scheduler();
            scheduler.set_limits(options.queue.clone());
            scheduler.strategies_mut().default = options.strategy;
        }
        let former = {
            let mut held = self.options.write().expect("no holder panics");
            std::mem::replace(&mut *held, Arc::new(options))
        };
        let rate_limits = self.options().rate_limits;
        if former.rate_limits != rate_limits {
            self.rates.set(rate_limits);
        }
    }

    /// Spawns something that ends with the orchestrator.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let over = StopSignal::new(self.life.clone());
        self.tracker.spawn(UntilOver { future, over });
    }

    /// Tells the scheduler something and carries out what it wants. The answer to an offer is returned.
    pub(crate) fn step(self: &Arc<Self>, event: Event) -> Option<Result<Reservation, NoPlace>> {
        self.step_in(&mut self.scheduler(), event)
    }

    /// Tells the scheduler that an attempt is over. False where it had ended the task before, and whoever
    /// ran the attempt has to see to that end.
    pub(crate) fn attempt_ended(self: &Arc<Self>, task: TaskId, lease: Lease, next: Next) -> bool {
        let mut scheduler = self.scheduler();
        // Only the caller's attempt can be the one that runs.
        let is_running = scheduler.state(task) == Some(orchestrator_core::TaskState::Running);
        self.step_in(&mut scheduler, Event::AttemptEnded { task, lease, next });
        is_running
    }

    fn step_in(
        self: &Arc<Self>,
        scheduler: &mut Scheduler,
        event: Event,
    ) -> Option<Result<Reservation, NoPlace>> {
        let mut answer = None;
        let began = Instant::now();
        let actions = scheduler.step(event, self.clock.boot_ms());
        let took = began.elapsed();
        let starts = actions.iter().filter(|action| matches!(action, Action::Dispatch { .. }));
        let starts = u32::try_from(starts.count()).unwrap_or(u32::MAX);
        for action in actions {
            match action {
                Action::Reserved { position, forecast, victims, .. } => {
                    answer = Some(Ok(Reservation { position, forecast, victims }));
                }
                Action::Rejected { limit, retry_after_ms, .. } => {
                    answer = Some(Err(NoPlace { limit, retry_after_ms }));
                }
                Action::Dispatch { task, replica, lease, position, decision } => {
                    self.observer.placed(&decision, took / starts);
                    let decision = Arc::new(wants::decision_view(&decision));
                    self.dispatch(task, Dispatch { replica, lease, position, decision });
                }
                Action::Ended { task, by, lease } => {
                    self.ended_by_scheduler(task, by, lease.is_some());
                }
            }
        }
        self.wake_changed.notify_one();
        answer
    }

    /// Lets the observer know what keeps a task waiting that was just admitted, if something does.
    pub(crate) fn tell_wait(&self, task: TaskId) {
        let began = Instant::now();
        let decision = self.scheduler().explain(task);
        if let Some(decision) = decision {
            self.observer.placed(&decision, began.elapsed());
        }
    }

    pub(crate) fn scheduler(&self) -> std::sync::MutexGuard<'_, Scheduler> {
        self.scheduler.lock().expect("no holder panics")
    }

    /// Lets what a model's facts say of its queue and its replicas hold from now on.
    pub(crate) fn note_model(&self, facts: &ModelFacts) {
        let model = ModelId(Arc::clone(&facts.id));
        let batch_share_percent = self.options().queue.batch_share_percent;
        let limits =
            facts.queue_capacity.map(|capacity| ModelLimits { capacity, batch_share_percent });
        let mut scheduler = self.scheduler();
        scheduler.set_model_limits(model.clone(), limits);
        let models = &mut scheduler.strategies_mut().models;
        match facts.strategy {
            Some(strategy) => models.insert(model, strategy),
            None => models.remove(&model),
        };
    }

    fn dispatch(self: &Arc<Self>, task: TaskId, dispatch: Dispatch) {
        let Some(live) = self.live(task) else {
            // The scheduler knows only tasks that are live here; a lease must never be lost silently.
            tracing::error!(task_id = %task, "a task was dispatched that does not live here");
            debug_assert!(false, "the scheduler and the table of live tasks agree");
            return;
        };
        let shared = Arc::clone(self);
        let span = live.span();
        self.spawn(async move { run::run(&shared, &live, dispatch).await }.instrument(span));
    }

    fn ended_by_scheduler(self: &Arc<Self>, task: TaskId, by: EndedBy, is_running: bool) {
        let Some(live) = self.live(task) else { return };
        if is_running {
            live.stop(match by {
                EndedBy::Deadline => StopReason::Deadline,
                EndedBy::Cancel | EndedBy::QueueTimeout | EndedBy::Unservable => StopReason::Cancel,
            });
        } else {
            let shared = Arc::clone(self);
            let ending = Ending::by_scheduler(&live, by);
            span::waited(self, &live, Some(by_name(by)));
            let span = live.span();
            self.spawn(async move { finish(&shared, &live, ending).await }.instrument(span));
        }
    }

    /// Lets deadlines pass, until the orchestrator ends.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        loop {
            let now_ms = self.clock.boot_ms();
            let wake_ms = self.scheduler().next_wake_ms();
            let sleep_ms = wake_ms.map(|at| at.saturating_sub(now_ms).min(TICK_MAX_MS));
            let due = async {
                match sleep_ms {
                    Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {
                    if wake_ms.is_some_and(|at| at <= self.clock.boot_ms()) {
                        self.step(Event::Tick);
                    }
                }
                () = self.wake_changed.notified() => {}
            }
        }
    }

    pub(crate) fn live(&self, task: TaskId) -> Option<Arc<LiveTask>> {
        self.live.lock().expect("no holder panics").get(&task).cloned()
    }

    pub(crate) fn all_live(&self) -> Vec<Arc<LiveTask>> {
        self.live.lock().expect("no holder panics").values().cloned().collect()
    }

    pub(crate) fn remember(&self, live: Arc<LiveTask>) {
        self.live.lock().expect("no holder panics").insert(live.id, live);
    }

    pub(crate) fn forget(&self, task: TaskId) {
        self.live.lock().expect("no holder panics").remove(&task);
    }

    /// Holds a task of a former process back until its client returns.
    pub(crate) fn park(&self, restored: Restored) {
        let task = restored.offer.task;
        self.parked.lock().expect("no holder panics").insert(task, restored);
    }

    /// The client of a parked task is back: it joins the queue.
    pub(crate) fn unpark(self: &Arc<Self>, task: TaskId) {
        let restored = self.parked.lock().expect("no holder panics").remove(&task);
        if let Some(restored) = restored {
            self.step(Event::Restored(restored));
        }
    }

    /// Ends a task because somebody wishes so, or because nobody listens any more.
    pub(crate) fn cancel(self: &Arc<Self>, live: &Arc<LiveTask>, reason: StopReason) {
        live.mark(reason);
        if reason == StopReason::Cancel {
            tracing::info!(
                event = "cancel_asked",
                task_id = %live.id,
                correlation_id = live.spec.correlation_id,
                trace_id = live.spec.trace_id(),
                model = live.spec.model_ref,
                human = human(&Fact::CancelAsked { model: &live.spec.model_ref }),
            );
        }
        let parked = self.parked.lock().expect("no holder panics").remove(&live.id);
        if parked.is_some() {
            // The scheduler never knew it, and must not start it now.
            self.ended_by_scheduler(live.id, EndedBy::Cancel, false);
        } else {
            self.step(Event::Canceled { task: live.id });
        }
    }

    /// Whether an attempt of the task is at work, or being ended.
    pub(crate) fn is_running(&self, live: &LiveTask) -> bool {
        let state = self.scheduler().state(live.id);
        state == Some(orchestrator_core::TaskState::Running)
            || live.changing().state == TaskState::Running
    }

    /// Commits, once.
    pub(crate) async fn commit(&self, records: Vec<Record>) -> Result<(), JournalError> {
        let began = Instant::now();
        self.journal.commit(records).await?;
        self.observer.committed(began.elapsed());
        Ok(())
    }

    /// Commits; waits while the device is full. Resolves only when the records are durable: if the store
    /// fails, the process has to end.
    pub(crate) async fn commit_until_room(&self, records: Vec<Record>) {
        loop {
            match self.commit(records.clone()).await {
                Ok(()) => return self.set_store_full(false),
                Err(JournalError::Full) => {
                    self.set_store_full(true);
                    tokio::time::sleep(FULL_RETRY).await;
                }
                Err(error) => self.fail(&error).await,
            }
        }
    }

    /// Waits until everything shown is on disk.
    pub(crate) async fn sync_events(&self) {
        if let Err(error) = self.events.sync().await {
            self.fail(&error).await;
        }
    }

    /// The store cannot be relied on: says so and never resolves, since nothing may happen after it.
    pub(crate) async fn fail(&self, error: &(dyn std::error::Error + Send + Sync)) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        tracing::error!(event = "store_failed", error = %text, "the store failed; the daemon has to end");
        self.failure.get_or_init(|| text);
        self.failed.cancel();
        std::future::pending::<()>().await;
    }

    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    pub(crate) fn set_store_full(&self, is_full: bool) {
        if self.store_is_full.swap(is_full, Ordering::Relaxed) != is_full {
            if is_full {
                tracing::warn!(
                    event = "store_full",
                    "the store's device is full; no task is admitted until there is room"
                );
            } else {
                tracing::info!(event = "store_has_room", "the store's device has room again");
            }
        }
    }

    pub(crate) fn is_store_full(&self) -> bool {
        self.store_is_full.load(Ordering::Relaxed)
    }

    /// Waits out a full device on the path of events, where nothing is committed.
    pub(crate) async fn wait_for_room(&self, error: EventStoreError) {
        match error {
            EventStoreError::Full => {
                self.set_store_full(true);
                tokio::time::sleep(FULL_RETRY).await;
            }
            other => self.fail(&other).await,
        }
    }

    /// Looks whether a full device has room again, until the orchestrator ends.
    pub(crate) async fn watch_room(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.is_store_full() {
                match self.journal.probe().await {
                    Ok(()) => self.set_store_full(false),
                    Err(JournalError::Full) => {}
                    Err(error) => self.fail(&error).await,
                }
            }
        }
    }

    /// Says how a task ended.
    pub(crate) fn count_end(
        &self,
        live: &LiveTask,
        end: &EndRow,
        state: TaskState,
        decode_time_ms: Option<u64>,
    ) {
        let (pool_id, queue_time_ms) = {
            let changing = live.changing();
            let last = changing.progress.attempts.last();
            (last.map(|attempt| attempt.pool_id.clone()), changing.progress.queue_time_ms)
        };
        let code = end.error.as_ref().map(|error| error.code.name());
        self.observer.finished(
            live.labels(),
            &Finished {
                state,
                code: end.error.as_ref().map(|error| error.code),
                pool_id: pool_id.as_deref(),
                tokens_in: end.tokens_in,
                decode_time: decode_time_ms.map(Duration::from_millis),
            },
        );
        tracing::info!(
            event = "task_ended",
            task_id = %live.id,
            correlation_id = live.spec.correlation_id,
            trace_id = live.spec.trace_id(),
            model = live.spec.model_ref,
            pool_id,
            queue_time_ms,
            decode_time_ms,
            state = state.name(),
            code,
            error = end.error.as_ref().map(|error| error.message.as_str()),
            human = human(&Fact::Ended {
                model: &live.spec.model_ref,
                state: state.name(),
                code,
                tokens_out: end.tokens_out,
            }),
            tokens_in = end.tokens_in,
            tokens_out = end.tokens_out,
        );
    }

    /// Runs `work` for a task; a panic in it ends that task alone, as `INTERNAL`.
    pub(crate) async fn guard_panics(
        self: &Arc<Self>,
        live: &Arc<LiveTask>,
        work: impl Future<Output = Verdict>,
    ) -> Verdict {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(verdict) => verdict,
            Err(_panic) => {
                tracing::error!(
                    event = "run_panicked",
                    task_id = %live.id,
                    correlation_id = live.spec.correlation_id,
                    trace_id = live.spec.trace_id(),
                    "a run panicked; its task fails, the others go on",
                );
                let error = task_error(live, ErrorCode::Internal, "the daemon made a mistake");
                let ending = Ending::failed(error, Outcome::Lost, Counted::default());
                Verdict::End { ending: Box::new(ending), engine_is_done: false }
            }
        }
    }
}

/// How a wait in the queue ended that led to no run.
fn by_name(by: EndedBy) -> &'static str {
    match by {
        EndedBy::Deadline | EndedBy::QueueTimeout => Outcome::Expired.name(),
        EndedBy::Cancel => Outcome::Canceled.name(),
        EndedBy::Unservable => ErrorCode::ModelNotAvailable.name(),
    }
}
