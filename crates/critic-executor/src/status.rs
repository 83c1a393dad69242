use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::error::ErrorKind;

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerSource {
    /// The critic itself.
    Critic,
    /// The cache; nothing was called.
    Cache,
    /// The critic's fallback, after the critic had failed.
    Fallback,
}

/// Whose deadline passed. The order is from the narrowest to the widest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeoutScope {
    /// The critic waited too long to be admitted.
    Queue,
    /// One call took too long.
    Attempt,
    /// The critic took too long, queueing, waits and retries included.
    Critic,
    /// Its stage took too long.
    Stage,
    /// The run took too long.
    Run,
}

impl TimeoutScope {
    /// The scope's name in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Attempt => "attempt",
            Self::Critic => "critic",
            Self::Stage => "stage",
            Self::Run => "run",
        }
    }
}

/// Why a run, or a part of it, was cancelled. The first reason wins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelReason {
    /// Somebody asked for it, in these words.
    User(Arc<str>),
    /// A deadline passed.
    Deadline(TimeoutScope),
    /// The run's future was dropped.
    CallerDropped,
    /// Another critic failed, and the run was to end with the first failure.
    FailFast {
        /// The critic that failed.
        critic: Arc<str>,
    },
    /// The verdict could not become any different.
    VerdictReached,
    /// The run's budget was spent, and the run was to stop then.
    BudgetExhausted,
    /// The executor was shut down.
    Shutdown,
}

impl CancelReason {
    /// The reason's name in records and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Deadline(_) => "deadline",
            Self::CallerDropped => "caller_dropped",
            Self::FailFast { .. } => "fail_fast",
            Self::VerdictReached => "verdict_reached",
            Self::BudgetExhausted => "budget_exhausted",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(text) => write!(f, "cancelled by the caller: {text}"),
            Self::Deadline(scope) => write!(f, "the {} deadline passed", scope.as_str()),
            Self::CallerDropped => f.write_str("the caller went away"),
            Self::FailFast { critic } => write!(f, "critic `{critic}` failed first"),
            Self::VerdictReached => f.write_str("the verdict was reached"),
            Self::BudgetExhausted => f.write_str("the budget was spent"),
            Self::Shutdown => f.write_str("the executor was shut down"),
        }
    }
}

/// Why a critic was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// The queue was full and this was its least urgent waiter.
    QueueFull,
    /// The rate limit had no token, and the critic does not wait for one.
    RateLimited,
    /// The rest of the budget does not pay for the attempt.
    Budget,
    /// Too many abandoned blocking calls still hold their threads.
    BlockingSaturated,
}

impl RejectReason {
    /// The reason's name in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::RateLimited => "rate_limited",
            Self::Budget => "budget",
            Self::BlockingSaturated => "blocking_saturated",
        }
    }
}

/// What broke a rule in a critic's output, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OutputProblem {
    /// JSON pointer into the output (`/finding/severity`).
    pub pointer: String,
    /// What is wrong, for people.
    pub message: String,
}

impl OutputProblem {
    /// A problem at a JSON pointer.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// How a critic ended. Exactly one of these, for every critic of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It answered.
    Succeeded {
        /// Where the answer came from.
        source: AnswerSource,
    },
    /// Its last attempt ended with an error.
    Failed {
        /// What sort of error.
        kind: ErrorKind,
        /// The error's message.
        message: Arc<str>,
    },
    /// A deadline passed.
    TimedOut {
        /// Whose deadline; of several at one instant the widest.
        scope: TimeoutScope,
    },
    /// Its gate said no; nothing of it was called.
    Gated {
        /// The policy's name.
        policy: Arc<str>,
        /// Why it said no.
        reason: Arc<str>,
    },
    /// A critic that it needs gave no answer.
    Skipped {
        /// The critic that it needs.
        upstream: Arc<str>,
        /// Where the chain of missing answers began.
        root: Arc<str>,
        /// Whether the root was gated, which makes this one benign too.
        root_gated: bool,
    },
    /// It was cancelled.
    Cancelled {
        /// Why.
        reason: CancelReason,
    },
    /// It was not admitted.
    Rejected {
        /// Why.
        reason: RejectReason,
    },
    /// Its circuit breaker let no attempt through.
    CircuitOpen {
        /// When the breaker will try again.
        retry_at: Instant,
    },
    /// Its output broke the rules for outputs.
    Invalid {
        /// All that is wrong.
        errors: Vec<OutputProblem>,
    },
}

impl Status {
    /// Whether the critic answered.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Succeeded { .. })
    }

    /// Whether nothing is missing: an answer, a gate, or a skip whose root was gated.
    #[must_use]
    pub fn is_benign(&self) -> bool {
        matches!(
            self,
            Self::Succeeded { .. } | Self::Gated { .. } | Self::Skipped { root_gated: true, .. }
        )
    }

    /// Whether the critic was cancelled because the verdict was reached without it.
    #[must_use]
    pub fn is_not_needed(&self) -> bool {
        matches!(self, Self::Cancelled { reason: CancelReason::VerdictReached })
    }

    /// Whether an answer is missing: the critic ended, neither benign nor not needed.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        !self.is_benign() && !self.is_not_needed()
    }

    /// The status's name in records and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::TimedOut { .. } => "timed_out",
            Self::Gated { .. } => "gated",
            Self::Skipped { .. } => "skipped",
            Self::Cancelled { .. } => "cancelled",
            Self::Rejected { .. } => "rejected",
            Self::CircuitOpen { .. } => "circuit_open",
            Self::Invalid { .. } => "invalid",
        }
    }
}
