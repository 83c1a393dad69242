use std::sync::Arc;

use crate::{Decision, FilterSet, NoCapacity, Outcome, ReplicaKey, Strategy};

/// A decision that outlives the snapshot it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub verdict: Verdict,
    pub strategy: Strategy,
    pub snapshot_version: u64,
    pub is_pinned: bool,
    pub is_fallback: bool,
    /// What was looked at, in order of keys.
    pub candidates: Vec<Judged>,
    /// Further ones that are left out.
    pub omitted: usize,
}

/// [`Outcome`] with names of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Assign { replica: ReplicaKey },
    Prepare { node: Arc<str>, pool: Arc<str>, model: Arc<str> },
    NoCapacity { reason: NoCapacity },
}

/// A place that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub node: Arc<str>,
    pub pool: Arc<str>,
    /// `None` for a pool without replicas.
    pub replica: Option<Arc<str>>,
    /// Every filter that it failed; empty where it passed.
    pub failed: FilterSet,
}

impl Decision<'_> {
    /// The decision with its candidates, at most `candidates_max` of them: those that passed come before
    /// others where some have to be left out.
    #[must_use]
    pub fn explain(&self, candidates_max: usize) -> Explanation {
        let total = self.failed.len();
        let passed = self.failed.iter().filter(|failed| failed.is_empty()).count();
        let mut rejected_left = candidates_max.saturating_sub(passed);
        let mut left = candidates_max.min(total);
        let mut candidates = Vec::with_capacity(left);
        for one in self.candidates() {
            let is_rejected = !one.failed.is_empty();
            if left == 0 || (is_rejected && rejected_left == 0) {
                continue;
            }
            left -= 1;
            rejected_left -= usize::from(is_rejected);
            candidates.push(Judged {
                node: Arc::clone(&one.pool.node),
                pool: Arc::clone(&one.pool.id),
                replica: one.replica.map(|replica| Arc::clone(&replica.key.replica)),
                failed: one.failed,
            });
        }
        Explanation {
            verdict: self.outcome.to_verdict(),
            strategy: self.strategy,
            snapshot_version: self.snapshot_version,
            is_pinned: self.is_pinned,
            is_fallback: self.is_fallback,
            omitted: total - candidates.len(),
            candidates,
        }
    }
}

impl Outcome<'_> {
    fn to_verdict(self) -> Verdict {
        match self {
            Self::Assign { replica } => Verdict::Assign { replica: replica.clone() },
            Self::Prepare { node, pool, model } => Verdict::Prepare {
                node: Arc::clone(node),
                pool: Arc::clone(pool),
                model: Arc::clone(model),
            },
            Self::NoCapacity { reason } => Verdict::NoCapacity { reason },
        }
    }
}
