use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// An amount of money in millionths of a dollar. Sums are exact and stop at the largest amount instead of wrapping.
///
/// ```
/// use critic_executor::MicroDollars;
///
/// let call = MicroDollars::from_dollars(0.005);
/// assert_eq!(call + call, MicroDollars(10_000));
/// assert_eq!((call + call).to_string(), "$0.010000");
/// ```
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MicroDollars(
    /// Millionths of a dollar.
    pub u64,
);

impl MicroDollars {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The nearest amount to a number of dollars. Negative and undefined numbers give zero.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast to u64 stops at the ends of the range, which is what is wanted"
    )]
    pub fn from_dollars(dollars: f64) -> Self {
        Self((dollars * 1_000_000.0).round() as u64)
    }

    /// The difference, or zero if the other amount is larger.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for MicroDollars {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for MicroDollars {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for MicroDollars {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for MicroDollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}
