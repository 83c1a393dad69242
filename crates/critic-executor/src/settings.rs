//! Settings of critics that have more than one number.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ErrorKind;

/// How the delay before a retry is spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Uniform from zero to the whole delay.
    #[default]
    Full,
    /// Half the delay, plus uniform from zero to the other half.
    Equal,
    /// Exactly the delay.
    None,
}

/// When and how often a failed attempt is repeated. Permanent, refused, panicked and cancelled attempts never are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RetryPolicy {
    /// Attempts in total, the first included; 1 repeats nothing.
    pub max_attempts: u32,
    /// Delay before the first retry.
    pub base: Duration,
    /// Factor from each retry to the next, at least 1.
    pub multiplier: f64,
    /// Longest delay.
    pub cap: Duration,
    /// How the delay is spread.
    pub jitter: Jitter,
    /// Whether [`ErrorKind::Transient`] is repeated.
    pub on_transient: bool,
    /// Whether [`ErrorKind::RateLimited`] is repeated.
    pub on_rate_limited: bool,
    /// Whether an attempt that ran out of its own time is repeated.
    pub on_attempt_timeout: bool,
    /// Whether an invalid output is repeated.
    pub on_invalid: bool,
}

impl Default for RetryPolicy {
    /// No retry.
    fn default() -> Self {
        Self {
            max_attempts: 1,
            base: Duration::from_millis(200),
            multiplier: 2.0,
            cap: Duration::from_secs(30),
            jitter: Jitter::Full,
            on_transient: true,
            on_rate_limited: true,
            on_attempt_timeout: true,
            on_invalid: false,
        }
    }
}

impl RetryPolicy {
    /// The defaults with so many attempts in total.
    #[must_use]
    pub fn attempts(max_attempts: u32) -> Self {
        Self { max_attempts, ..Self::default() }
    }

    /// Whether an error of a kind may be repeated.
    pub(crate) fn covers(&self, kind: ErrorKind) -> bool {
        match kind {
            ErrorKind::Transient => self.on_transient,
            ErrorKind::RateLimited { .. } => self.on_rate_limited,
            ErrorKind::Invalid => self.on_invalid,
            ErrorKind::Permanent | ErrorKind::Refused | ErrorKind::Panic => false,
        }
    }
}

/// What happens to an attempt for which there is no token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitMode {
    /// It waits for one.
    #[default]
    Wait,
    /// It is rejected.
    Reject,
}

/// A token bucket, full at the start. Each attempt takes one token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RateLimit {
    /// Tokens per second; any finite rate above zero.
    pub per_second: f64,
    /// Size of the bucket, at least 1.
    pub burst: u32,
    /// What happens when it is empty.
    pub mode: RateLimitMode,
}

impl RateLimit {
    /// So many attempts per second, a bucket of one, waiting.
    #[must_use]
    pub fn per_second(per_second: f64) -> Self {
        Self { per_second, burst: 1, mode: RateLimitMode::Wait }
    }

    /// Sets the size of the bucket.
    #[must_use]
    pub fn burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }

    /// Rejects attempts that would have to wait.
    #[must_use]
    pub fn reject(mut self) -> Self {
        self.mode = RateLimitMode::Reject;
        self
    }
}

/// When a breaker opens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TripRule {
    /// When enough of the last calls failed.
    FailureRate {
        /// How many calls are looked at.
        window: u32,
        /// How many there must be before anything is decided.
        min_calls: u32,
        /// The share of failures that opens it, 0 to 1.
        ratio: f64,
    },
    /// After so many failures without a success between them.
    Consecutive(u32),
}

/// A circuit breaker, shared by all runs of an executor. Transient errors, attempt timeouts and panics are
/// failures; other errors count neither way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BreakerPolicy {
    /// When it opens.
    pub trip: TripRule,
    /// How long it stays open before it lets probes through.
    pub open: Duration,
    /// How many probes may be outstanding.
    pub probes: u32,
    /// How many successful probes close it.
    pub successes: u32,
}

impl Default for BreakerPolicy {
    /// Half of the last 20 calls, at least 10; open for 30 seconds; 3 probes, 2 successes.
    fn default() -> Self {
        Self {
            trip: TripRule::FailureRate { window: 20, min_calls: 10, ratio: 0.5 },
            open: Duration::from_secs(30),
            probes: 3,
            successes: 2,
        }
    }
}

impl BreakerPolicy {
    /// The defaults, but opening after so many failures in a row.
    #[must_use]
    pub fn consecutive(failures: u32) -> Self {
        Self { trip: TripRule::Consecutive(failures), ..Self::default() }
    }
}

/// How many retries a critic may make over all runs, so that retries never multiply an outage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RetryBudget {
    /// Retries per first attempt within the window.
    pub ratio: f64,
    /// Retries per second that are always free.
    pub per_second: f64,
    /// The window.
    pub window: Duration,
}

impl Default for RetryBudget {
    /// A fifth of the first attempts plus 10 per second, over 10 seconds.
    fn default() -> Self {
        Self { ratio: 0.2, per_second: 10.0, window: Duration::from_secs(10) }
    }
}
