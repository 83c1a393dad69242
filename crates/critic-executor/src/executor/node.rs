use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::admission::Permit;
use crate::context::AttemptShared;
use crate::finding::CriticOutput;
use crate::money::MicroDollars;
use crate::report::AttemptReport;
use crate::status::{OutputProblem, Status};

/// How far one critic of a run is.
#[derive(Default)]
pub(crate) struct Node {
    pub(crate) phase: Phase,
    /// Counts phases, so that timers and results of an earlier one are known to be stale.
    pub(crate) epoch: u32,
    pub(crate) ready_ns: u64,
    pub(crate) attempts: Vec<AttemptReport>,
    pub(crate) queue_ns: u64,
    /// The part of it that was spent on tokens.
    pub(crate) token_wait_ns: u64,
    pub(crate) cost: MicroDollars,
    pub(crate) wasted: MicroDollars,
    pub(crate) warnings: Vec<OutputProblem>,
}

/// What a critic is waiting for.
#[derive(Default)]
pub(crate) enum Phase {
    /// Its turn, or nothing any more.
    #[default]
    Idle,
    /// The cache.
    Cache,
    /// Admission, since then.
    Queued { since_ns: u64 },
    /// Its attempt, or its fallback.
    Running(Running),
    /// The next attempt.
    Backoff,
}

/// An attempt that has started.
pub(crate) struct Running {
    pub(crate) shared: Arc<AttemptShared>,
    pub(crate) permit: Option<Permit>,
    pub(crate) started_ns: u64,
    pub(crate) deadline_ns: u64,
    pub(crate) task: Option<RunningTask>,
}

impl Running {
    /// The ending that a fallback stands in for; `None` for an attempt of the critic itself.
    pub(crate) fn instead_of(&self) -> Option<&Status> {
        self.shared.failure.as_ref()
    }
}

/// How a started attempt is stopped.
pub(crate) enum RunningTask {
    /// It is given the grace, then aborted.
    Spawned(JoinHandle<()>),
    /// It is dropped at once.
    Inline(futures_util::future::AbortHandle),
}

/// An answer and what it was accepted with.
pub(crate) struct Answer {
    pub(crate) output: Arc<CriticOutput>,
    pub(crate) warnings: Vec<OutputProblem>,
}
