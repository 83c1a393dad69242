use std::sync::Arc;

use crate::spec::FailureMode;
use crate::status::Status;

/// A critic whose answer is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The critic.
    pub name: Arc<str>,
    /// How it ended.
    pub status: Status,
    /// What that adds to the verdict.
    pub failure_mode: FailureMode,
}

/// How much of a plan answered. Critics whose failure is to be ignored are outside of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Coverage {
    /// Critics that answered.
    pub answered: Vec<Arc<str>>,
    /// Critics that were gated, or skipped because of a gate.
    pub gated: Vec<Arc<str>>,
    /// Critics that should have answered.
    pub missing: Vec<Missing>,
    /// Critics that were cancelled because the verdict was reached without them.
    pub not_needed: Vec<Arc<str>>,
}

impl Coverage {
    /// Answers per answer that there should have been; 1 if there should have been none.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let wanted = self.answered.len() + self.missing.len();
        if wanted == 0 { 1.0 } else { self.answered.len() as f64 / wanted as f64 }
    }
}
