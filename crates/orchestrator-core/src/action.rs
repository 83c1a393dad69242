use placement::{Explanation, ReplicaKey};

use crate::{Forecast, Lease, TaskId};

/// What the scheduler wants done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The offer holds a place: make the task durable and answer with `Committed` or `Withdrawn`.
    Reserved {
        task: TaskId,
        /// Tasks that would start before it if nothing else arrived.
        position: u64,
        /// When it should start and end, as [`Scheduler::forecast`](crate::Scheduler::forecast) tells.
        forecast: Option<Forecast>,
        /// Tasks that give up their places for it: the commit that makes it durable ends them, as evicted.
        /// `Withdrawn` puts them back. Until then they neither start nor end.
        victims: Vec<TaskId>,
    },
    /// The offer holds no place; nothing of it is left.
    Rejected {
        task: TaskId,
        limit: QueueLimit,
        /// In how many milliseconds there should be room, by the measured rate at which tasks leave the full
        /// queue; at most [`BACK_OFF_MS_MAX`](crate::BACK_OFF_MS_MAX). `None` while that was not measured.
        retry_after_ms: Option<u64>,
    },
    /// Start an attempt.
    Dispatch {
        task: TaskId,
        replica: ReplicaKey,
        lease: Lease,
        /// Position last held, 0 for the head of the order.
        position: u64,
        /// Why there.
        decision: Box<Explanation>,
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
    /// Batch makes way: interactive tasks wait longer than they should.
    Objective,
}
