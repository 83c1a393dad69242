use std::sync::Arc;

use placement::Request;

use crate::{
    Class, Identity, Lease, TaskId, Work, calibration::Foretold, model_queue::ModelQueue, slab::Key,
};

/// What the scheduler knows of a live task.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) model: Key<ModelQueue>,
    pub(crate) class: Class,
    pub(crate) identity: Identity,
    pub(crate) sequence: u64,
    pub(crate) prompt_bytes: u64,
    pub(crate) work: Work,
    pub(crate) is_evictable: bool,
    /// Its admission, or its last attempt's end.
    pub(crate) waiting_since_ms: u64,
    pub(crate) deadline_ms: Option<u64>,
    pub(crate) queue_until_ms: u64,
    /// What it asks of its replica, with the context rounded up to one that some replica has
    /// ([`ModelQueue::rounded`]).
    pub(crate) request: Arc<Request>,
    /// The context it really asks for.
    pub(crate) ctx_tokens: Option<u64>,
    pub(crate) place: Place,
    /// The instant that its timer is set to.
    pub(crate) timer_ms: Option<u64>,
    /// When it was to start, where that is going to be held against what comes.
    pub(crate) foretold: Option<Foretold>,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Holds a place, waits for its commit.
    Reserved {
        /// Ends as soon as it is committed.
        canceled: bool,
    },
    /// Queued, no attempt yet.
    Fresh,
    /// Gave up its place in the queue to a task that waits for its commit.
    Evicting {
        /// Ends if that commit fails.
        canceled: bool,
    },
    /// Queued again, may start.
    Again,
    /// Queued again, may not start before an instant.
    Delayed { not_before_ms: u64 },
    /// An attempt is at work.
    Running { lease: Lease },
}

impl Task {
    /// Whether its wait gives its class a larger share: it is of batch and may start.
    pub(crate) fn is_aging(&self) -> bool {
        self.class == Class::Batch && matches!(self.place, Place::Fresh | Place::Again)
    }
}

impl Place {
    pub(crate) fn is_queued(self) -> bool {
        match self {
            Self::Fresh | Self::Again | Self::Delayed { .. } => true,
            Self::Reserved { .. } | Self::Evicting { .. } | Self::Running { .. } => false,
        }
    }
}
