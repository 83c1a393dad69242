use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use api_types::{ErrorBody, ErrorCode};
use futures_util::FutureExt as _;
use tokio::sync::{oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    Admission, BeginError, CancelError, Job, Ledger, Limits, NewOperation, OperationId,
    OperationKind, OperationRecord, OperationState, OperationStore, Outcome, Refused, StoreError,
};

/// Gives the wall-clock time in milliseconds since 1970.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How operations are run and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationsOptions {
    /// How many run and how many are kept.
    pub limits: Limits,
    /// Pause before a store that failed is tried again, in milliseconds.
    pub retry_ms: u64,
    /// Pause between two looks for operations that are too old, in milliseconds.
    pub sweep_ms: u64,
}

impl Default for OperationsOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), retry_ms: 1000, sweep_ms: 60_000 }
    }
}

/// What operations are run with.
pub struct Parts {
    pub options: OperationsOptions,
    pub store: Arc<dyn OperationStore>,
    /// All kinds that there are; each name once.
    pub kinds: Vec<Arc<dyn OperationKind>>,
    pub now_ms: WallClock,
}

/// Runs operations. Dropping it ends what runs, which the next one over the same store takes up.
pub struct Operations {
    shared: Arc<Shared>,
}

struct Shared {
    options: OperationsOptions,
    store: Arc<dyn OperationStore>,
    kinds: HashMap<&'static str, Arc<dyn OperationKind>>,
    now_ms: WallClock,
    /// Held to look up or to change a record, never across a wait.
    ledger: Mutex<Ledger>,
    /// Ends the work of an operation that runs.
    cancels: Mutex<HashMap<OperationId, CancellationToken>>,
    /// One wish at a time, so that nobody hears of an operation that is not in the store yet.
    gate: tokio::sync::Mutex<()>,
    /// Counts ends.
    ends: watch::Sender<u64>,
    tracker: TaskTracker,
    life: CancellationToken,
}

impl Operations {
    /// Reads what a former process left, and takes up what it left running. Runs on the caller's tokio
    /// runtime.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn start(parts: Parts) -> Result<Self, StoreError> {
        let Parts { options, store, kinds, now_ms } = parts;
        let records = store.load().await?;
        let shared = Arc::new(Shared {
            options,
            store,
            kinds: kinds.into_iter().map(|kind| (kind.name(), kind)).collect(),
            now_ms,
            ledger: Mutex::new(Ledger::new(options.limits, records)),
            cancels: Mutex::default(),
            gate: tokio::sync::Mutex::default(),
            ends: watch::Sender::new(0),
            tracker: TaskTracker::new(),
            life: CancellationToken::new(),
        });
        let left: Vec<OperationRecord> = shared.ledger().running().cloned().collect();
        for record in left {
            match shared.kinds.get(record.kind.as_str()) {
                Some(kind) if kind.is_resumable() => {
                    tracing::info!(event = "operation_resumed", operation_id = %record.id, kind = record.kind, target = record.target);
                    shared.launch(record);
                }
                _ => shared.fail_left_over(&record).await?,
            }
        }
        let sweeper = Arc::clone(&shared);
        shared.spawn(async move { sweeper.sweep().await });
        Ok(Self { shared })
    }

    /// Begins an operation, or finds the same one running. It is in the store when this returns, and goes
    /// on even where the caller goes away.
    ///
    /// # Errors
    /// [`BeginError`]; nothing was begun then.
    ///
    /// # Panics
    /// Where the kind was not among [`Parts::kinds`].
    pub async fn begin(&self, wish: NewOperation) -> Result<OperationRecord, BeginError> {
        assert!(self.shared.kinds.contains_key(wish.kind), "every kind is known from the start");
        let (reply, answer) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        self.shared.spawn(async move {
            // The caller may be gone; the operation goes on.
            drop(reply.send(shared.admit(wish).await));
        });
        answer.await.unwrap_or(Err(BeginError::Closed))
    }

    /// One operation as it stands.
    #[must_use]
    pub fn get(&self, id: OperationId) -> Option<OperationRecord> {
        self.shared.ledger().get(id).cloned()
    }

    /// Operations, newest first, begun before `before` where it is given.
    #[must_use]
    pub fn list(&self, before: Option<OperationId>, limit: usize) -> Vec<OperationRecord> {
        let ledger = self.shared.ledger();
        let newest = ledger.iter().rev().filter(|it| before.is_none_or(|before| it.id < before));
        newest.take(limit).cloned().collect()
    }

    /// The operation of this kind and target that runs, if one does.
    #[must_use]
    pub fn running(&self, kind: &str, target: &str) -> Option<OperationRecord> {
        let ledger = self.shared.ledger();
        ledger.running().find(|it| it.kind == kind && it.target == target).cloned()
    }

    /// The operation once it has ended; none where it is unknown or operations are not run any more.
    pub async fn ended(&self, id: OperationId) -> Option<OperationRecord> {
        let mut ends = self.shared.ends.subscribe();
        loop {
            let record = self.get(id)?;
            if record.state != OperationState::Running {
                return Some(record);
            }
            tokio::select! {
                changed = ends.changed() => changed.ok()?,
                () = self.shared.life.cancelled() => return None,
            }
        }
    }

    /// Ends an operation half-way, and returns it once that is durable. One that has ended stays as it is.
    ///
    /// # Errors
    /// [`CancelError`].
    pub async fn cancel(&self, id: OperationId) -> Result<OperationRecord, CancelError> {
        let record = self.get(id).ok_or(CancelError::Unknown)?;
        if record.state != OperationState::Running {
            return Ok(record);
        }
        let kind = self.shared.kinds.get(record.kind.as_str());
        if !kind.is_some_and(|kind| kind.is_cancelable()) {
            return Err(CancelError::NotCancelable { kind: record.kind });
        }
        if let Some(cancel) = self.shared.cancels().get(&id) {
            cancel.cancel();
        }
        self.ended(id).await.ok_or(CancelError::Closed)
    }
}

impl Drop for Operations {
    fn drop(&mut self) {
        self.shared.life.cancel();
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no holder panics")
    }

    fn cancels(&self) -> MutexGuard<'_, HashMap<OperationId, CancellationToken>> {
        self.cancels.lock().expect("no holder panics")
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(self.life.clone().run_until_cancelled_owned(future));
    }

    async fn admit(self: &Arc<Self>, wish: NewOperation) -> Result<OperationRecord, BeginError> {
        let _turn = self.gate.lock().await;
        let id = OperationId(Uuid::now_v7());
        let admitted = self.ledger().admit(wish, id, (self.now_ms)());
        let record = match admitted {
            Ok(Admission::New(record)) => *record,
            Ok(Admission::Running(record)) => return Ok(*record),
            Err(Refused::Busy { running }) => return Err(BeginError::Busy { running }),
            Err(Refused::Full { limit }) => return Err(BeginError::Full { limit }),
        };
        if let Err(error) = self.store.put(&record).await {
            self.ledger().withdraw(id);
            return Err(error.into());
        }
        tracing::info!(
            event = "operation_begun",
            operation_id = %id,
            kind = record.kind,
            target = record.target,
            correlation_id = record.correlation_id,
        );
        self.launch(record.clone());
        Ok(record)
    }

    /// Starts the work of an operation that is in ledger and store.
    fn launch(self: &Arc<Self>, record: OperationRecord) {
        let cancel = CancellationToken::new();
        self.cancels().insert(record.id, cancel.clone());
        let shared = Arc::clone(self);
        self.spawn(async move {
            let id = record.id;
            let outcome = shared.work(record, &cancel).await;
            shared.end(id, outcome).await;
        });
    }

    async fn work(
        self: &Arc<Self>,
        record: OperationRecord,
        cancel: &CancellationToken,
    ) -> Outcome {
        let Some(kind) = self.kinds.get(record.kind.as_str()).map(Arc::clone) else {
            return Outcome::Failed(Box::new(left_over(&record)));
        };
        let (id, ledger) = (record.id, Arc::downgrade(self));
        let report = Arc::new(move |progress| {
            if let Some(shared) = ledger.upgrade() {
                shared.ledger().note(id, progress);
            }
        });
        let job = Job { record, report };
        let run = AssertUnwindSafe(kind.run(&job)).catch_unwind();
        tokio::select! {
            biased;
            ended = run => match ended {
                Ok(Ok(result)) => Outcome::Succeeded(result),
                Ok(Err(error)) => Outcome::Failed(Box::new(error)),
                Err(_panic) => {
                    let message = "the operation broke down; see the log";
                    Outcome::Failed(Box::new(job.error(ErrorCode::Internal, message)))
                }
            },
            () = cancel.cancelled() => Outcome::Canceled,
        }
    }

    /// Makes an end durable, then shows it.
    async fn end(&self, id: OperationId, outcome: Outcome) {
        let ended = self.ledger().ended(id, outcome, (self.now_ms)());
        if let Some(ended) = ended {
            while let Err(error) = self.store.put(&ended).await {
                tracing::error!(operation_id = %id, error = %error, "the end of an operation cannot be kept; it is tried again");
                tokio::time::sleep(Duration::from_millis(self.options.retry_ms)).await;
            }
            tracing::info!(
                event = "operation_ended",
                operation_id = %id,
                kind = ended.kind,
                target = ended.target,
                state = ?ended.state,
                error = ended.error.as_ref().map(|error| error.message.as_str()),
            );
            self.ledger().show(ended);
        }
        self.cancels().remove(&id);
        self.ends.send_modify(|count| *count += 1);
    }

    /// Fails what the last process left running and nobody can go on with.
    async fn fail_left_over(&self, record: &OperationRecord) -> Result<(), StoreError> {
        let outcome = Outcome::Failed(Box::new(left_over(record)));
        let ended = self.ledger().ended(record.id, outcome, (self.now_ms)());
        if let Some(ended) = ended {
            self.store.put(&ended).await?;
            self.ledger().show(ended);
        }
        Ok(())
    }

    /// Forgets old operations, until the owner is gone.
    async fn sweep(&self) {
        loop {
            let gone = self.ledger().forget_old((self.now_ms)());
            if !gone.is_empty()
                && let Err(error) = self.store.remove(&gone).await
            {
                // They are read again at the next start, and removed then.
                tracing::warn!(error = %error, "old operations cannot be removed");
            }
            tokio::time::sleep(Duration::from_millis(self.options.sweep_ms)).await;
        }
    }
}

/// The error of an operation that ended with the process that ran it.
fn left_over(record: &OperationRecord) -> ErrorBody {
    let message = "the daemon ended while this ran, and it cannot be taken up again; ask anew";
    let mut error = ErrorBody::new(ErrorCode::Internal, message, record.correlation_id.clone());
    error.policy_label = Some("interrupted".to_owned());
    error
}
