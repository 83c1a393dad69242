use std::sync::Arc;

use placement::{Pool, ReplicaKey, ReplicaState, Request};

use crate::{Class, Identity, Lease, ModelId, ServiceSample, TaskId, Work};

/// What the scheduler is told. Instants are milliseconds of the one clock that also gives `step` its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A checked request asks for a place; answered by `Reserved` or `Rejected`. The place is held until
    /// `Committed` or `Withdrawn`.
    Offered(Offer),
    /// The task is durable: it joins the queue, at the place of its admission sequence. Its victims are over,
    /// without a further action.
    Committed { task: TaskId },
    /// The task could not be made durable: its reservation is gone, without a trace, and its victims have
    /// their places again.
    Withdrawn { task: TaskId },
    /// A durable task found at start; joins the queue past all limits.
    Restored(Restored),
    /// A replica is there, or what is known of it changed. Replaces what was known of it before; leases
    /// stay as they are.
    ReplicaChanged(Replica),
    /// A replica is gone: nothing more is placed on it. Its leases stay until they are released.
    ReplicaGone { replica: ReplicaKey },
    /// The attempt under `lease` is over for the task; the slot is free only with `LeaseReleased`.
    AttemptEnded { task: TaskId, lease: Lease, next: Next },
    /// What a completed attempt of a model took; predictions are made of it.
    Measured { model: ModelId, sample: ServiceSample },
    /// The engine's slot is free again. Unknown and repeated releases are ignored and counted.
    LeaseReleased { lease: Lease },
    /// Somebody wants the task to end; answered by `Ended`, or by nothing where it has ended already.
    Canceled { task: TaskId },
    /// A queued task can be served by no configured pool any more; answered by `Ended` for each.
    ModelUnservable { model: ModelId },
    /// Time passed.
    Tick,
}

/// A request for a place in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub task: TaskId,
    pub model: ModelId,
    /// What it asks of the replica that runs it; of the same model.
    pub request: Arc<Request>,
    pub class: Class,
    pub identity: Identity,
    /// Order of admission, growing from offer to offer over the store's life.
    pub sequence: u64,
    /// Bytes of prompt that wait in the journal with the task.
    pub prompt_bytes: u64,
    /// How much work it is.
    pub work: Work,
    /// Whether it may lose its place to a newcomer while it waits for its first attempt.
    pub is_evictable: bool,
    /// Since when it waits: its admission.
    pub waiting_since_ms: u64,
    /// When the task expires, queued or running.
    pub deadline_ms: Option<u64>,
    /// When the task has waited in the queue for too long.
    pub queue_until_ms: u64,
}

/// A durable task found at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub offer: Offer,
    /// It had an attempt before: it goes ahead of its class, in order of sequence.
    pub requeued: bool,
    /// Not dispatched before this instant.
    pub not_before_ms: u64,
}

/// What the scheduler knows of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The pool that it belongs to; replaces what was known of that.
    pub pool: Pool,
    /// Which of its slots are taken is not asked here: the scheduler knows whom it gave them to.
    pub replica: placement::Replica,
    /// What its slots are those of, where another replica may stand before the same: what runs there for one
    /// takes slots of each.
    pub server: Option<Arc<str>>,
}

impl Replica {
    /// A replica without any abilities of its own that can run `models` now, so many generations at once; 0
    /// closes it for new work.
    #[must_use]
    pub fn new(key: ReplicaKey, models: &[ModelId], slots: u32) -> Self {
        let mut replica = placement::Replica::ready(key.clone(), "", slots);
        replica.models = models
            .iter()
            .map(|model| placement::ReadyModel {
                model: Arc::clone(&model.0),
                ctx_tokens: None,
                is_verified: false,
            })
            .collect();
        if slots == 0 {
            replica.state = ReplicaState::NotReady;
        }
        Self { pool: Pool::new(key.node, key.pool), replica, server: None }
    }
}

/// What becomes of a task after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It ended; nothing more follows.
    Ended,
    /// It runs again, ahead of its class.
    Requeue {
        /// Not before this instant.
        not_before_ms: u64,
        /// What it asks of its replica from now on.
        request: Arc<Request>,
    },
}
