use crate::{Lease, ReplicaId, TaskId};

/// What the scheduler wants done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The offer holds a place: make the task durable and answer with `Committed` or `Withdrawn`.
    Reserved {
        task: TaskId,
        /// Tasks that would start before it if nothing else arrived.
        position: u64,
    },
    /// The offer holds no place; nothing of it is left.
    Rejected { task: TaskId, limit: QueueLimit },
    /// Start an attempt.
    Dispatch {
        task: TaskId,
        replica: ReplicaId,
        lease: Lease,
        /// Position last held, 0 for the head of the order.
        position: u64,
    },
    /// The task is over for the scheduler. With a lease it was running: stop that attempt, and release
    /// the lease once the engine confirms.
    Ended { task: TaskId, by: EndedBy, lease: Option<Lease> },
}

/// What ended a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndedBy {
    /// Its deadline.
    Deadline,
    /// Its longest wait.
    QueueTimeout,
    /// Somebody's wish.
    Cancel,
    /// No configured pool can serve its model.
    Unservable,
}

/// Which bound an offer would have broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueLimit {
    /// Tasks of one model.
    Model,
    /// Batch's share of one model.
    BatchShare,
    /// Tasks of all models.
    Daemon,
    /// Bytes of waiting prompts.
    Bytes,
}
