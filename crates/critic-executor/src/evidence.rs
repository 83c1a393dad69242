use std::sync::Arc;

use crate::finding::CriticOutput;
use crate::plan::PlanInner;
use crate::spec::FailureMode;
use crate::status::Status;
use crate::verdict::Verdict;

/// How one critic ended, as far as gates and the verdict are concerned.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    /// The output; only answers have one.
    pub(crate) output: Option<Arc<CriticOutput>>,
    /// What an answer adds to the verdict.
    pub(crate) contribution: Verdict,
}

impl Outcome {
    /// An ending without an answer.
    pub(crate) fn without_answer(status: Status) -> Self {
        Self { status, output: None, contribution: Verdict::Allow }
    }
}

/// What gates of the built-in kinds need to know of any number of critics. Indices are places in the plan.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct EvidenceSummary {
    /// The first critic with a violation or a contribution above [`Verdict::Allow`].
    pub(crate) violation: Option<u32>,
    /// The highest severity of an answer and the first critic that has it.
    pub(crate) severity: Option<(f64, u32)>,
    /// The highest uncertainty of an answer and the first critic that has it.
    pub(crate) uncertainty: Option<(f64, u32)>,
    /// The first critic that is missing and not to be ignored.
    pub(crate) missing: Option<u32>,
}

impl EvidenceSummary {
    pub(crate) fn of(index: u32, outcome: &Outcome, failure_mode: FailureMode) -> Self {
        let mut summary = Self::default();
        if let Some(output) = &outcome.output {
            let finding = &output.finding;
            if !finding.violations.is_empty() || outcome.contribution > Verdict::Allow {
                summary.violation = Some(index);
            }
            summary.severity = Some((finding.severity, index));
            summary.uncertainty = Some((finding.uncertainty.unwrap_or(0.0), index));
        } else if outcome.status.is_missing() && failure_mode != FailureMode::Ignore {
            summary.missing = Some(index);
        }
        summary
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        let first = |a: Option<u32>, b: Option<u32>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let highest = |a: Option<(f64, u32)>, b: Option<(f64, u32)>| match (a, b) {
            (Some(a), Some(b)) if b.0 > a.0 || (b.0 == a.0 && b.1 < a.1) => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        };
        self.violation = first(self.violation, other.violation);
        self.missing = first(self.missing, other.missing);
        self.severity = highest(self.severity, other.severity);
        self.uncertainty = highest(self.uncertainty, other.uncertainty);
    }
}

/// One critic of an evidence set, as a condition sees it.
#[derive(Debug, Clone, Copy)]
pub struct EvidenceItem<'a> {
    /// The critic's name.
    pub name: &'a str,
    /// How it ended.
    pub status: &'a Status,
    /// Its output, if it answered.
    pub output: Option<&'a CriticOutput>,
    /// What its answer adds to the verdict; [`Verdict::Allow`] without one.
    pub contribution: Verdict,
}

/// The outcomes of the critics in an evidence set, all of which have ended. Others cannot be seen.
#[derive(Clone, Copy)]
pub struct EvidenceView<'a> {
    pub(crate) plan: &'a PlanInner,
    pub(crate) critic: u32,
    pub(crate) outcomes: &'a [Option<Outcome>],
}

impl<'a> EvidenceView<'a> {
    /// The critic of a name, if it is in the evidence set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<EvidenceItem<'a>> {
        let index = self.plan.index_of(name)?;
        self.plan.is_evidence(self.critic, index).then(|| self.item(index)).flatten()
    }

    /// All critics of the evidence set, in plan order.
    pub fn iter(&self) -> impl Iterator<Item = EvidenceItem<'a>> + use<'a> {
        let view = *self;
        view.plan.evidence_of(view.critic).filter_map(move |index| view.item(index))
    }

    fn item(&self, index: u32) -> Option<EvidenceItem<'a>> {
        let outcome = self.outcomes.get(index as usize)?.as_ref()?;
        Some(EvidenceItem {
            name: &self.plan.node(index).spec.name,
            status: &outcome.status,
            output: outcome.output.as_deref(),
            contribution: outcome.contribution,
        })
    }
}
