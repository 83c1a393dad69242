use std::{fmt, sync::Arc};

use uuid::Uuid;

/// A task; a UUIDv7 given by the caller, unique for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub Uuid);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A model's catalog id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(pub Arc<str>);

/// A client identity: a token's name, or `localhost`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(pub Arc<str>);

/// The right of one attempt to a slot. Given at dispatch, never used again after its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease(pub u64);

/// The class that a task queues in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Somebody waits for the answer.
    Interactive,
    /// Nobody does.
    Batch,
}

impl Class {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Interactive => Self::Batch,
            Self::Batch => Self::Interactive,
        }
    }
}
