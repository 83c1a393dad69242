use std::sync::Arc;

use crate::{Cursor, FilterSet, Pool, Replica, ReplicaKey, Strategy, snapshot::Snapshot};

/// Where a task goes, and why (ORCH-112).
#[derive(Debug, Clone)]
pub struct Decision<'a> {
    pub outcome: Outcome<'a>,
    /// What chose among the replicas that passed.
    pub strategy: Strategy,
    /// Of the snapshot that was looked at.
    pub snapshot_version: u64,
    /// Whether the client named the only place.
    pub is_pinned: bool,
    /// Whether the client preferred other pools, and none of them could take the task.
    pub is_fallback: bool,
    pub(crate) snapshot: &'a Snapshot,
    /// In the order of [`Snapshot::places`].
    pub(crate) failed: Vec<FilterSet>,
}

/// What is to be done for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// Start it there.
    Assign { replica: &'a ReplicaKey },
    /// No ready replica holds its model; this pool may load it.
    Prepare { node: &'a Arc<str>, pool: &'a Arc<str>, model: &'a Arc<str> },
    /// Leave it where it waits.
    NoCapacity { reason: NoCapacity },
}

/// Why a task has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoCapacity {
    /// There is no pool at all.
    NoCandidate,
    /// Some replica lacks nothing but a free slot.
    Busy,
    /// Some replica would do if it were up.
    NotReady,
    /// Nothing that is known would do.
    Unfit,
}

impl NoCapacity {
    /// The name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoCandidate => "NO_CANDIDATE",
            Self::Busy => "BUSY",
            Self::NotReady => "NOT_READY",
            Self::Unfit => "UNFIT",
        }
    }
}

/// A place that was looked at.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub pool: &'a Pool,
    /// `None` for a pool without replicas.
    pub replica: Option<&'a Replica>,
    /// Every filter that it failed; empty where it passed.
    pub failed: FilterSet,
}

impl<'a> Decision<'a> {
    /// All places that were looked at, in order of keys.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate<'a>> + '_ {
        let places = self.snapshot.places().zip(&self.failed);
        places.map(|((placed, replica), failed)| Candidate {
            pool: &placed.pool,
            replica,
            failed: *failed,
        })
    }

    /// Where `round-robin` stands after this decision, where that differs from before.
    #[must_use]
    pub fn next_cursor(&self) -> Option<Cursor> {
        match self.outcome {
            Outcome::Assign { replica } => Some(Cursor(Some(replica.clone()))),
            Outcome::Prepare { .. } | Outcome::NoCapacity { .. } => None,
        }
    }
}
