use serde::{Deserialize, Serialize};

/// What is to happen with the text, from the mildest to the strictest. The join of verdicts is their maximum.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Let it pass.
    #[default]
    Allow,
    /// Let it pass once the merged edits are applied.
    AllowWithEdits,
    /// Let somebody look at it first.
    Escalate,
    /// Do not let it pass.
    Block,
}

impl Verdict {
    /// The stricter of the two. Associative, commutative and idempotent, with [`Verdict::Allow`] as identity.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        self.max(other)
    }

    /// The verdict's name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::AllowWithEdits => "allow_with_edits",
            Self::Escalate => "escalate",
            Self::Block => "block",
        }
    }
}

/// From which severity on a finding blocks or escalates. A finding with edits is at least
/// [`Verdict::AllowWithEdits`], whatever its severity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictMap {
    /// Severities from here on block; `None` never blocks by severity.
    pub block_from: Option<f64>,
    /// Severities from here on escalate; `None` never escalates by severity.
    pub escalate_from: Option<f64>,
}

impl Default for VerdictMap {
    /// Block from 0.9, escalate from 0.6.
    fn default() -> Self {
        Self { block_from: Some(0.9), escalate_from: Some(0.6) }
    }
}

impl VerdictMap {
    /// A map in which severity decides nothing.
    #[must_use]
    pub fn off() -> Self {
        Self { block_from: None, escalate_from: None }
    }

    /// The verdict of a severity alone.
    #[must_use]
    pub fn verdict(&self, severity: f64) -> Verdict {
        let reaches = |from: Option<f64>| from.is_some_and(|from| severity >= from);
        if reaches(self.block_from) {
            Verdict::Block
        } else if reaches(self.escalate_from) {
            Verdict::Escalate
        } else {
            Verdict::Allow
        }
    }
}
