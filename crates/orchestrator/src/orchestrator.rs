use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use adapter_host::ReplicaKey;
use api_types::{
    DecisionView, ModelView, PoolStatus, PreparationView, QueueStatus, TaskState, Workload,
};
use bytes::Bytes;
use orchestrator_core::{Event, TaskId};
use tokio_util::sync::CancellationToken;

use crate::{
    Accepted, AttachedPool, Options, Parts, PoolFacts, QueuePlace, Record, RecoveryError, Refusal,
    Submission, Subscribed, TaskFilter, TaskRow, admission,
    live_task::StopReason,
    pool_table::{PoolState, replica_id},
    recovery::{self, NOTE_CLEAN},
    result,
    shared::Shared,
    task_log::TaskLog,
    wants,
};

/// How long a shutdown waits for room on a full device, beyond the drain.
const FULL_PATIENCE: Duration = Duration::from_secs(1);

/// Takes tasks, keeps them, and gets them done. Dropping it ends everything it runs; what is not done
/// stays in the journal for the next one.
pub struct Orchestrator {
    shared: Arc<Shared>,
}

/// How the orchestrator stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// What keeps it from taking work: `store`, `shutdown`.
    pub failing: Vec<String>,
    pub models: Vec<ModelView>,
    pub pools: Vec<PoolStatus>,
    pub queue: Vec<QueueStatus>,
    /// Streams that somebody listens to.
    pub subscribers: usize,
    /// Slots that were given back and nobody held, so far.
    pub unknown_releases: u64,
}

/// Room that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Of the store of records, in bytes.
    pub records_bytes: u64,
    /// Of the event log, in bytes.
    pub events_bytes: u64,
}

impl Orchestrator {
    /// Takes over what a former process left, and starts. Runs on the caller's tokio runtime.
    ///
    /// # Errors
    /// The former state cannot be read.
    pub async fn start(parts: Parts) -> Result<Self, RecoveryError> {
        let last_sequence = parts.journal.last_sequence().await?;
        let shared = Arc::new(Shared::new(parts, last_sequence));
        shared.recall_experience().await?;
        recovery::recover(&shared).await?;
        shared.spawn(Arc::clone(&shared).keep_time());
        shared.spawn(Arc::clone(&shared).watch_room());
        shared.spawn(Arc::clone(&shared).watch_unservable());
        shared.spawn(Arc::clone(&shared).keep_retention());
        Ok(Self { shared })
    }

    /// Admits a task. When this returns, the task is on disk.
    ///
    /// # Errors
    /// Why it was refused; nothing of it is left then.
    pub async fn submit(&self, submission: Submission) -> Result<Accepted, Refusal> {
        admission::submit(&self.shared, submission).await
    }

    /// The task, and its place in the queue while it waits.
    ///
    /// # Errors
    /// [`Refusal::UnknownTask`], or the store could not be read.
    pub async fn task(&self, id: TaskId) -> Result<(TaskRow, Option<QueuePlace>), Refusal> {
        if let Some(live) = self.shared.live(id) {
            return Ok((live.row(None), self.shared.queue_place(id)));
        }
        let row = self.shared.journal.task(id).await?.ok_or(Refusal::UnknownTask)?;
        Ok((row, None))
    }

    /// Where the task was placed last, or, while it waits, what keeps it waiting now. `None` where it ended
    /// without an attempt, and while it is being admitted.
    #[must_use]
    pub fn decision(&self, row: &TaskRow) -> Option<DecisionView> {
        let waiting = self.shared.scheduler().explain(row.id);
        let placed = || row.progress.attempts.last()?.decision.as_deref().cloned();
        waiting.map(|decision| wants::decision_view(&decision)).or_else(placed)
    }

    /// In how many milliseconds a running task should end. `None` where it does not run, where too little is
    /// known to tell, and of tasks that go on where an attempt failed: what those still need was never measured.
    #[must_use]
    pub fn remaining_ms(&self, row: &TaskRow) -> Option<u64> {
        let is_first = row.end.is_none() && row.progress.attempts.len() == 1;
        let now_ms = self.shared.clock.boot_ms();
        is_first.then(|| self.shared.scheduler().remaining_ms(row.id, now_ms)).flatten()
    }

    /// Highest id of an event of the task that was shown.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn last_event_id(&self, id: TaskId) -> Result<u64, Refusal> {
        if let Some(live) = self.shared.live(id) {
            return Ok(live.log.last_event());
        }
        let (row, _) = self.task(id).await?;
        Ok(row.end.map_or(0, |end| end.event_id))
    }

    /// What a task gave that is no text, as JSON: the embeddings of one that succeeded.
    ///
    /// # Errors
    /// As [`Self::task`]; [`Refusal::NoResult`] where it has none, or none yet.
    pub async fn result(&self, id: TaskId) -> Result<Bytes, Refusal> {
        let (row, _) = self.task(id).await?;
        let has_one = row.state == TaskState::Succeeded && row.spec.workload == Workload::Embedding;
        let end = row.end.filter(|_| has_one).ok_or(Refusal::NoResult)?;
        if end.events_gone_at_ms.is_some() {
            return Err(Refusal::EventsGone);
        }
        result::of_regions(&*self.shared.events, id, &end.regions)?.ok_or(Refusal::NoResult)
    }

    /// Tasks newest first, admitted before `before_sequence` where it is given.
    ///
    /// # Errors
    /// The store could not be read.
    pub async fn tasks(
        &self,
        filter: TaskFilter,
        before_sequence: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(TaskRow, Option<QueuePlace>)>, Refusal> {
        let rows = self.shared.journal.tasks(filter, before_sequence, limit).await?;
        // One after the other, so that nobody waits for a whole list.
        Ok(rows
            .into_iter()
            .map(|row| {
                let place = self.shared.queue_place(row.id);
                (row, place)
            })
            .collect())
    }

    /// Ends a task, and returns its state once that is durable. A task that has ended is unchanged.
    ///
    /// # Errors
    /// [`Refusal::UnknownTask`]; [`Refusal::StorageFull`] where the end cannot be made durable now: the
    /// task stops all the same, and ends when there is room.
    pub async fn cancel(&self, id: TaskId) -> Result<TaskState, Refusal> {
        if let Some(live) = self.shared.live(id) {
            let ended = live.log.watch();
            self.shared.cancel(&live, StopReason::Cancel);
            loop {
                let wait = tokio::time::timeout(Duration::from_secs(1), ended.terminal()).await;
                match wait {
                    Ok(Some(_terminal)) => break,
                    Ok(None) => return Err(Refusal::ShuttingDown),
                    Err(_elapsed) if self.shared.is_store_full() => {
                        return Err(Refusal::StorageFull);
                    }
                    Err(_elapsed) => {}
                }
            }
        }
        Ok(self.task(id).await?.0.state)
    }

    /// Tasks of a model that have not ended, admitted by its catalog id.
    #[must_use]
    pub fn live_tasks_of(&self, model_id: &str) -> Vec<TaskId> {
        let live = self.shared.all_live();
        live.iter().filter(|live| live.spec.model_id == model_id).map(|live| live.id).collect()
    }

    /// What is known of a pool; `None` once it is gone.
    #[must_use]
    pub fn pool(&self, replica: &ReplicaKey) -> Option<Arc<PoolFacts>> {
        self.shared.pools.get(&replica_id(replica))
    }

    /// Pools that hold a model, or are told to, and are not being taken away.
    #[must_use]
    pub fn pools_of(&self, model_id: &str) -> Vec<Arc<PoolFacts>> {
        self.shared.pools.serving(model_id)
    }

    /// Ends all tasks of a retired model: `expired`, with `MODEL_DEPRECATED`. Returns how many there were;
    /// each of them ends soon after.
    pub fn end_tasks_of(&self, model_id: &str) -> usize {
        let mut live = self.shared.all_live();
        live.retain(|live| live.spec.model_id == model_id);
        for live in &live {
            self.shared.cancel(live, StopReason::Retired);
        }
        live.len()
    }

    /// Erases prompt, output and events of a task that has ended. When this returns, nothing of them is left
    /// in the stores; what remains are id, state and counters. A task that was erased before is unchanged.
    ///
    /// # Errors
    /// [`Refusal::UnknownTask`]; [`Refusal::StillLive`]; [`Refusal::StorageFull`] and
    /// [`Refusal::StoreIsRead`], after which it may be asked for again.
    pub async fn erase(&self, id: TaskId) -> Result<(), Refusal> {
        self.shared.erase(id).await
    }

    /// Room that ended and live tasks take.
    ///
    /// # Errors
    /// The stores could not be asked.
    pub async fn stored(&self) -> Result<Stored, Refusal> {
        Ok(Stored {
            records_bytes: self.shared.journal.used_bytes().await?,
            events_bytes: self.shared.events_bytes()?,
        })
    }

    /// Subscribes to a task's events behind `after`.
    ///
    /// # Errors
    /// No such task or event, or too many subscribers.
    pub async fn subscribe(&self, id: TaskId, after: u64) -> Result<Subscribed, Refusal> {
        if let Some(live) = self.shared.live(id) {
            let log = Arc::clone(&live.log);
            return self.shared.subscribe(log, Some(live), after).await;
        }
        let row = self.shared.journal.task(id).await?.ok_or(Refusal::UnknownTask)?;
        // A row without an end belongs to a task that ended while it was looked up.
        let end = match row.end {
            Some(end) => end,
            None => self
                .shared
                .journal
                .task(id)
                .await?
                .and_then(|row| row.end)
                .ok_or(Refusal::UnknownTask)?,
        };
        if end.events_gone_at_ms.is_some() {
            return Err(Refusal::EventsGone);
        }
        let log = Arc::new(TaskLog::ended(id, Arc::clone(&self.shared.events), end));
        self.shared.subscribe(log, None, after).await
    }

    /// Lets other limits and times hold, from the next submission, attempt and subscription on. Nothing that
    /// was admitted is given up for a bound that is lower now. Where rate limits differ from those before,
    /// what clients had used is forgotten. `poison_limit` counts at a start only.
    pub fn set_options(&self, options: Options) {
        self.shared.set_options(options);
    }

    /// Takes in what is known of a pool now.
    pub fn put_pool(&self, facts: PoolFacts) {
        self.shared.put_pool(facts);
    }

    /// Uses an engine that somebody else runs, and keeps an eye on it. `facts` is what the configuration
    /// says of it before it was ever asked.
    pub fn attach(&self, pool: AttachedPool, facts: PoolFacts) {
        self.shared.host.bind(pool.replica.clone(), Arc::clone(&pool.adapter));
        self.put_pool(facts);
        self.shared.watch(pool);
    }

    /// Takes a pool away, and returns once nothing of it is left here. It gets no new work at once. What runs
    /// on it may finish; after `limit`, what another pool can go on with is moved there, which counts as
    /// nobody's failure, and the rest goes on up to its own end. Then the engine is closed. An unknown pool is
    /// gone already. Dropping the future leaves the pool as it stands, without new work.
    pub async fn remove_pool(&self, replica: &ReplicaKey, limit: Duration) {
        self.shared.remove_pool(replica, limit).await;
    }

    /// Work that must be done before the model can run.
    #[must_use]
    pub fn preparation(&self, model_id: &str) -> PreparationView {
        self.shared.models.resolve(model_id).map(|facts| facts.preparation).unwrap_or_default()
    }

    /// How things stand.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let mut pools = self.shared.pools.all();
        // Of a pool that is replaced, what replaces it tells how it stands.
        let stays = |pool: &PoolFacts| pool.state != PoolState::Draining;
        let of = |pool: &PoolFacts| Arc::clone(&pool.replica.pool_id);
        let mut shown: BTreeSet<_> =
            pools.iter().filter(|pool| stays(pool)).map(|pool| of(pool)).collect();
        pools.retain(|pool| stays(pool) || shown.insert(of(pool)));
        let scheduler = self.shared.scheduler();
        let statuses = pools.iter().map(|pool| PoolStatus {
            pool_id: pool.replica.pool_id.to_string(),
            engine: pool.engine.clone(),
            state: pool.state.name().to_owned(),
            slots_total: pool.slots,
            slots_free: scheduler.free_slots(&replica_id(&pool.replica)),
            unverified: !pool.is_verified,
            last_error: pool.last_error.clone(),
        });
        let pool_statuses = statuses.collect();
        let queue = scheduler.models().map(|model| {
            let depth = scheduler.depth(model);
            QueueStatus {
                model_id: model.0.to_string(),
                interactive: depth.interactive,
                batch: depth.batch,
                running: depth.running,
            }
        });
        let queue = queue.collect();
        let unknown_releases = scheduler.unknown_releases();
        drop(scheduler);
        let mut models = self.shared.models.list();
        for model in &mut models {
            let serving =
                pools.iter().filter(|pool| stays(pool) && pool.model(&model.id).is_some());
            for pool in serving {
                // Replicas of one pool come one after the other.
                if model.pools.last().is_none_or(|last| **last != *pool.replica.pool_id) {
                    model.pools.push(pool.replica.pool_id.to_string());
                }
                model.ready_replicas += u32::from(pool.state == PoolState::Ready);
            }
        }
        Standing {
            failing: self.failing(),
            models,
            pools: pool_statuses,
            queue,
            subscribers: self.shared.subscribers.load(Ordering::Relaxed),
            unknown_releases,
        }
    }

    /// Names of what keeps it from taking work; empty where nothing does.
    #[must_use]
    pub fn failing(&self) -> Vec<String> {
        let mut failing = Vec::new();
        if self.shared.is_store_full() || self.shared.failure().is_some() {
            failing.push("store".to_owned());
        }
        if self.shared.closing.is_cancelled() {
            failing.push("shutdown".to_owned());
        }
        failing
    }

    /// Fires when the store can no longer be relied on and the process has to end.
    #[must_use]
    pub fn failed(&self) -> CancellationToken {
        self.shared.failed.clone()
    }

    /// Why, once [`Self::failed`] has fired.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.shared.failure().map(str::to_owned)
    }

    /// Whether [`Self::shut_down`] has begun.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.shared.closing.is_cancelled()
    }

    /// Takes no more work, starts none, and lets what runs go on until `drain`; what is left then stays
    /// in the journal. Streams end without a terminal event, so that clients come back.
    pub async fn shut_down(&self, drain: Duration) {
        self.shared.closing.cancel();
        for pool in self.shared.pools.all() {
            self.shared.step(Event::ReplicaChanged(pool.closed_replica()));
        }
        // What failed is not waited for: nothing more can be made durable. Nor is a full device.
        let full = async {
            tokio::time::sleep(drain.saturating_add(FULL_PATIENCE)).await;
            while !self.shared.is_store_full() {
                tokio::time::sleep(FULL_PATIENCE).await;
            }
        };
        let failed = self.shared.failed.clone();
        let drained = async {
            let running_ended = tokio::time::timeout(drain, self.running_ended()).await;
            if running_ended.is_err() {
                for live in self.shared.all_live() {
                    live.stop(StopReason::Shutdown);
                }
                self.running_ended().await;
            }
            for live in self.shared.all_live() {
                live.log.close();
            }
            self.shared.sync_events().await;
            let mut records = vec![Record::Note { name: NOTE_CLEAN, value: "true".to_owned() }];
            records.extend(self.shared.experience_note());
            self.shared.commit_until_room(records).await;
        };
        tokio::select! {
            () = drained => {}
            () = failed.cancelled() => {}
            () = full => tracing::warn!("the store's device is full; what runs is left as it stands"),
        }
        self.shared.life.cancel();
    }

    async fn running_ended(&self) {
        let is_running = || self.shared.all_live().iter().any(|live| self.shared.is_running(live));
        while is_running() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        self.shared.life.cancel();
    }
}
