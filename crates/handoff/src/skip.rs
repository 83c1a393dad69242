use std::fmt;

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Its engine is used.
    Bound,
    /// It changed, and its engine is used as it says now.
    Replaced,
    /// Its engine is used no longer.
    Unbound,
    /// It is right, and its engine does not answer yet.
    Awaited,
    /// It or its directory belongs to somebody else, can be written by others, or is no plain file.
    Unsafe,
    /// It is longer than such a file may be.
    TooLarge,
    /// It is no whole JSON.
    HalfWritten,
    /// It is of another format.
    UnknownSchema,
    /// It says something wrong.
    Wrong,
    /// Its engine is not on this machine.
    NotLoopback,
    /// The process that it names is gone.
    ProcessGone,
    /// Nothing shows that the engine that it means is the one that answers.
    Unproven,
    /// The configuration has its pool.
    PoolTaken,
    /// There are more files than are looked at.
    TooMany,
}

impl Outcome {
    /// Every one.
    pub const ALL: [Self; 14] = [
        Self::Bound,
        Self::Replaced,
        Self::Unbound,
        Self::Awaited,
        Self::Unsafe,
        Self::TooLarge,
        Self::HalfWritten,
        Self::UnknownSchema,
        Self::Wrong,
        Self::NotLoopback,
        Self::ProcessGone,
        Self::Unproven,
        Self::PoolTaken,
        Self::TooMany,
    ];

    /// The name in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Replaced => "replaced",
            Self::Unbound => "unbound",
            Self::Awaited => "awaited",
            Self::Unsafe => "unsafe",
            Self::TooLarge => "too_large",
            Self::HalfWritten => "half_written",
            Self::UnknownSchema => "unknown_schema",
            Self::Wrong => "wrong",
            Self::NotLoopback => "not_loopback",
            Self::ProcessGone => "process_gone",
            Self::Unproven => "unproven",
            Self::PoolTaken => "pool_taken",
            Self::TooMany => "too_many",
        }
    }
}

/// Why a file is not used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    pub outcome: Outcome,
    /// For people: what it is, and what to do.
    pub reason: String,
}

impl Skip {
    /// A reason of a kind.
    #[must_use]
    pub fn new(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self { outcome, reason: reason.into() }
    }

    /// Whether an engine that was bound by an earlier content of the file stays: somebody is writing, and what
    /// they wrote before holds until they are done.
    pub(crate) fn keeps_binding(&self) -> bool {
        self.outcome == Outcome::HalfWritten
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
