use std::sync::Arc;

use placement::Request;

use crate::{Class, Lease, TaskId, Work, lane::Backlog, model_queue::ModelQueue, slab::Key};

/// What the scheduler knows of a live task. A row for each of what may be a million, of which most are cold
/// when they are looked at: two cache lines, and what few tasks have is kept elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) model: Key<ModelQueue>,
    pub(crate) class: Class,
    /// What its identity has waiting; `None` where it was queued again before this process began, and
    /// stands in no rotation.
    pub(crate) backlog: Option<Key<Backlog>>,
    pub(crate) sequence: u64,
    pub(crate) prompt_bytes: u64,
    pub(crate) work: PackedWork,
    pub(crate) is_evictable: bool,
    /// Its admission, or its last attempt's end.
    pub(crate) waiting_since_ms: u64,
    /// `u64::MAX` where it has none.
    pub(crate) deadline_ms: u64,
    pub(crate) queue_until_ms: u64,
    /// What it asks of its replica, with the context rounded up to one that some replica has
    /// ([`ModelQueue::rounded`]).
    pub(crate) request: Arc<Request>,
    /// The context it really asks for.
    pub(crate) ctx_tokens: Option<u64>,
    pub(crate) place: Place,
    /// Whether what was foretold of it is going to be held against what comes.
    pub(crate) is_foretold: bool,
}

/// A row is not to grow unnoticed.
const _: () = assert!(size_of::<Option<Task>>() <= 128, "a task is two cache lines");

/// [`Work`] in a quarter of the room. Tokens beyond what 32 bits hold count as the most that they do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedWork([u32; 3]);

impl PackedWork {
    const NONE: u32 = u32::MAX;

    pub(crate) fn new(work: &Work) -> Self {
        let pack = |tokens: Option<u64>| {
            let most = Self::NONE - 1;
            tokens.map_or(Self::NONE, |tokens| u32::try_from(tokens).unwrap_or(most).min(most))
        };
        Self([work.prompt_tokens, work.expected_tokens, work.answer_tokens_max].map(pack))
    }

    pub(crate) fn work(self) -> Work {
        let unpack = |tokens| (tokens != Self::NONE).then_some(u64::from(tokens));
        let [prompt_tokens, expected_tokens, answer_tokens_max] = self.0.map(unpack);
        Work { prompt_tokens, expected_tokens, answer_tokens_max }
    }
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
