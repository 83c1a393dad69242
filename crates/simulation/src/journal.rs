use std::collections::{BTreeMap, VecDeque};

use orchestrator_core::{Lease, TaskState};

use crate::dice::Dice;

/// A task as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its number in the scenario.
    pub(crate) task: u32,
    pub(crate) sequence: u64,
    pub(crate) state: TaskState,
    /// Wall clock and boot-time clock at admission, and the boot of the latter.
    pub(crate) admitted_ms: u64,
    pub(crate) admitted_boot_ms: u64,
    pub(crate) boot: u32,
    pub(crate) attempts: Vec<Note>,
    /// Attempts that failed by their worker's fault.
    pub(crate) failures: u32,
    /// Unclean ends of the daemon under it, without progress.
    pub(crate) daemon_ends: u32,
    /// How long closed attempts ran, interrupted ones aside.
    pub(crate) ran_ms: u64,
    /// The idempotency key that stands for it.
    pub(crate) key: Option<u32>,
}

impl Row {
    /// Whether a repeated request begins anew, as this end is no answer.
    fn frees_key(&self) -> bool {
        matches!(self.state, TaskState::Evicted | TaskState::Failed)
    }
}

/// An attempt as the journal keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) replica: usize,
    pub(crate) began_ms: u64,
    pub(crate) outcome: Option<Outcome>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Completed,
    Stopped,
    Lost,
    Interrupted,
}

/// What waits for a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Admitted { task: u32 },
    Began { lease: Lease },
    Requeued { lease: Lease },
    Ended { task: u32 },
    Recovered,
}

/// Rows that are written together, or not at all.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) rows: Vec<Row>,
    pub(crate) then: Then,
}

/// A store with group commit: what comes while an fsync is under way shares the next one.
#[derive(Debug)]
pub(crate) struct Journal {
    /// What survives power loss.
    durable: BTreeMap<u32, Row>,
    /// What keys stand for; it survives like the rows, which it is written with.
    keys: BTreeMap<u32, u32>,
    waiting: VecDeque<Commit>,
    writing: Vec<Commit>,
    dice: Dice,
    commit_ms: (u64, f64),
    slow_next_ms: Option<u64>,
    pub(crate) is_full: bool,
}

/// What a finished write came to.
pub(crate) struct Written {
    pub(crate) commits: Vec<Commit>,
    /// False where the device had no room: nothing of them was kept.
    pub(crate) is_kept: bool,
    /// A row that would have changed a task that had ended; no such commit is kept.
    pub(crate) refused: Option<u32>,
}

impl Journal {
    pub(crate) fn new(seed: u64, commit_ms: (u64, f64)) -> Self {
        Self {
            durable: BTreeMap::new(),
            keys: BTreeMap::new(),
            waiting: VecDeque::new(),
            writing: Vec::new(),
            dice: Dice::new(seed, 100),
            commit_ms,
            slow_next_ms: None,
            is_full: false,
        }
    }

    pub(crate) fn row(&self, task: u32) -> Option<&Row> {
        self.durable.get(&task)
    }

    /// The task that a key stands for.
    pub(crate) fn bound(&self, key: u32) -> Option<u32> {
        self.keys.get(&key).copied()
    }

    /// Tasks that have not ended, by sequence.
    pub(crate) fn live(&self) -> Vec<Row> {
        let mut live: Vec<_> =
            self.durable.values().filter(|row| !row.state.is_terminal()).cloned().collect();
        live.sort_by_key(|row| row.sequence);
        live
    }

    pub(crate) fn last_sequence(&self) -> u64 {
        self.durable.values().map(|row| row.sequence).max().unwrap_or(0)
    }

    /// The next fsync takes this long.
    pub(crate) fn slow_down(&mut self, takes_ms: u64) {
        self.slow_next_ms = Some(takes_ms);
    }

    /// Takes a commit; the time until [`Self::written`] is due where a write begins with it.
    #[must_use]
    pub(crate) fn commit(&mut self, commit: Commit) -> Option<u64> {
        self.waiting.push_back(commit);
        self.writing.is_empty().then(|| self.write()).flatten()
    }

    /// The fsync under way is over.
    pub(crate) fn written(&mut self) -> Written {
        let commits = std::mem::take(&mut self.writing);
        if self.is_full {
            return Written { commits, is_kept: false, refused: None };
        }
        let refused = self.keep(&commits);
        Written { commits, is_kept: true, refused }
    }

    /// Begins the next write, if something waits; how long it takes.
    #[must_use]
    pub(crate) fn write(&mut self) -> Option<u64> {
        if !self.writing.is_empty() || self.waiting.is_empty() {
            return None;
        }
        self.writing = self.waiting.drain(..).collect();
        let (least_ms, mean_ms) = self.commit_ms;
        let usual_ms = least_ms + self.dice.exponential_ms(mean_ms);
        Some(self.slow_next_ms.take().unwrap_or(usual_ms))
    }

    /// The process or the machine is gone: what was being written is there or not, what waited is not.
    pub(crate) fn crash(&mut self) {
        let writing = std::mem::take(&mut self.writing);
        self.waiting.clear();
        if !self.is_full && self.dice.percent(50) {
            self.keep(&writing);
        }
    }

    fn keep(&mut self, commits: &[Commit]) -> Option<u32> {
        let rows = commits.iter().flat_map(|commit| &commit.rows);
        for row in rows {
            let before = self.durable.get(&row.task);
            if before.is_some_and(|before| before.state.is_terminal()) {
                return Some(row.task);
            }
            if let Some(key) = row.key {
                if before.is_none() {
                    self.keys.insert(key, row.task);
                } else if row.frees_key() && self.bound(key) == Some(row.task) {
                    self.keys.remove(&key);
                }
            }
            self.durable.insert(row.task, row.clone());
        }
        None
    }
}
