use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::edit::Edit;
use crate::money::MicroDollars;
use crate::verdict::{Verdict, VerdictMap};

/// Which of the two texts of a [`RunInput`](crate::RunInput) something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextTarget {
    /// The text that went into the model.
    Input,
    /// The text that came out of it.
    Output,
}

/// A range of bytes in one of the two texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The text.
    pub target: TextTarget,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// A range of bytes of a text.
    #[must_use]
    pub fn new(target: TextTarget, range: Range<usize>) -> Self {
        Self { target, start: range.start, end: range.end }
    }
}

/// One rule that the text breaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Violation {
    /// Stable code for programs, not empty.
    pub code: String,
    /// Message for people, not empty.
    pub message: String,
    /// How bad this one is, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<f64>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
}

impl Violation {
    /// A violation without severity and span.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), severity: None, span: None }
    }

    /// Sets how bad it is, 0 to 1.
    #[must_use]
    pub fn with_severity(mut self, severity: f64) -> Self {
        self.severity = Some(severity);
        self
    }

    /// Sets where it is.
    #[must_use]
    pub fn with_span(mut self, target: TextTarget, range: Range<usize>) -> Self {
        self.span = Some(Span::new(target, range));
        self
    }
}

/// Something that supports the finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// What it is (`email`, `keyword`, `quote`), not empty.
    pub kind: String,
    /// The piece of text itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// Whether the excerpt is personal data. Records never keep such an excerpt as it is.
    #[serde(default)]
    pub personal: bool,
}

impl Evidence {
    /// Evidence of a kind, without excerpt and span.
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), excerpt: None, span: None, personal: false }
    }

    /// Keeps the piece of text itself.
    #[must_use]
    pub fn with_excerpt(mut self, excerpt: impl Into<String>) -> Self {
        self.excerpt = Some(excerpt.into());
        self
    }

    /// Sets where it is.
    #[must_use]
    pub fn with_span(mut self, target: TextTarget, range: Range<usize>) -> Self {
        self.span = Some(Span::new(target, range));
        self
    }

    /// Marks the excerpt as personal data.
    #[must_use]
    pub fn personal(mut self) -> Self {
        self.personal = true;
        self
    }
}

/// What a critic found. Only an answer has one: a critic that failed, timed out or was gated has none.
///
/// Severity and uncertainty must be finite and in 0 to 1. The executor refuses other values as
/// [`Status::Invalid`](crate::Status::Invalid) and never clamps them.
///
/// ```
/// use critic_executor::{Finding, TextTarget, Verdict, VerdictMap, Violation};
///
/// let violation = Violation::new("keyword", "names a weapon").with_span(TextTarget::Input, 3..9);
/// let finding = Finding::new(0.7).with_violation(violation);
/// assert_eq!(finding.contribution(Some(&VerdictMap::default())), Verdict::Escalate);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// How bad it is as a whole, 0 (nothing) to 1 (worst).
    pub severity: f64,
    /// Broken rules.
    #[serde(default)]
    pub violations: Vec<Violation>,
    /// What supports the finding.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// How unsure the critic is, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<f64>,
    /// The verdict the critic itself asks for. Severity can only make it stricter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Changes that would make the text acceptable.
    #[serde(default)]
    pub edits: Vec<Edit>,
}

impl Finding {
    /// A finding of a severity and nothing else.
    #[must_use]
    pub fn new(severity: f64) -> Self {
        Self { severity, ..Self::default() }
    }

    /// Nothing found.
    #[must_use]
    pub fn clean() -> Self {
        Self::default()
    }

    /// Adds a violation.
    #[must_use]
    pub fn with_violation(mut self, violation: Violation) -> Self {
        self.violations.push(violation);
        self
    }

    /// Adds evidence.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Evidence) -> Self {
        self.evidence.push(evidence);
        self
    }

    /// Sets how unsure the critic is, 0 to 1.
    #[must_use]
    pub fn with_uncertainty(mut self, uncertainty: f64) -> Self {
        self.uncertainty = Some(uncertainty);
        self
    }

    /// Sets the verdict the critic asks for.
    #[must_use]
    pub fn with_verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = Some(verdict);
        self
    }

    /// Adds an edit.
    #[must_use]
    pub fn with_edit(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }

    /// What the finding adds to the run's verdict: the strictest of its own verdict, that of its severity under
    /// the map (`None`: severity does not count), and [`Verdict::AllowWithEdits`] if it has edits.
    #[must_use]
    pub fn contribution(&self, map: Option<&VerdictMap>) -> Verdict {
        let by_severity = map.map_or(Verdict::Allow, |map| map.verdict(self.severity));
        let by_edits = if self.edits.is_empty() { Verdict::Allow } else { Verdict::AllowWithEdits };
        self.verdict.unwrap_or_default().join(by_severity).join(by_edits)
    }
}

/// What a critic returns: its finding, what the attempt cost, and data for critics that depend on it.
///
/// ```
/// use critic_executor::{CriticOutput, Finding, MicroDollars};
///
/// let output = CriticOutput::from(Finding::new(0.2)).with_cost(MicroDollars(300)).with_data("language: en");
/// assert_eq!(output.finding.severity, 0.2);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriticOutput {
    /// What was found.
    pub finding: Finding,
    /// What the attempt cost; `None` counts the estimate of the critic's spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<MicroDollars>,
    /// Anything that critics depending on this one want to know. JSON Schemas see it under `/data`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

impl CriticOutput {
    /// Nothing found, no cost reported, no data.
    #[must_use]
    pub fn clean() -> Self {
        Self::default()
    }

    /// Reports what the attempt cost.
    #[must_use]
    pub fn with_cost(mut self, cost: MicroDollars) -> Self {
        self.cost = Some(cost);
        self
    }

    /// Sets the data for dependents.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Value>) -> Self {
        self.data = data.into();
        self
    }
}

impl From<Finding> for CriticOutput {
    fn from(finding: Finding) -> Self {
        Self { finding, cost: None, data: Value::Null }
    }
}
