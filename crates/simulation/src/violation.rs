use std::fmt;

/// A broken invariant: a bug in what is simulated, or in the simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Number in the list of `.specs/invariants.md`.
    pub number: u8,
    /// What was found.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(number: u8, what: impl Into<String>) -> Self {
        Self { number, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.number, self.what)
    }
}

/// Finds it broken unless it holds.
pub(crate) fn ensure(
    holds: bool,
    number: u8,
    what: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::new(number, what())) }
}
