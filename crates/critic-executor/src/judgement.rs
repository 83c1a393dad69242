//! The join of all outcomes into one verdict. Pure: the same outcomes give the same verdict, in whatever order
//! they came.

use std::borrow::Cow;
use std::sync::Arc;

use crate::coverage::{Coverage, Missing};
use crate::edit::{Edit, MergedEdits};
use crate::evidence::Outcome;
use crate::plan::PlanInner;
use crate::report::{Decider, Deciding, Decision};
use crate::spec::FailureMode;
use crate::status::{AnswerSource, Status};
use crate::verdict::Verdict;

/// Everything that follows from how the critics of a run ended.
pub(crate) struct Judgement {
    pub(crate) decision: Decision,
    pub(crate) deciding: Vec<Deciding>,
    pub(crate) edits: MergedEdits,
    pub(crate) is_degraded: bool,
}

impl Judgement {
    /// Joins the outcomes of all critics, given in plan order.
    pub(crate) fn of<'a>(plan: &PlanInner, outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let mut coverage = Coverage::default();
        let mut contributions: Vec<(Verdict, Source<'_>)> = Vec::new();
        let mut edits: Vec<&Edit> = Vec::new();
        let mut is_degraded = false;
        for (index, outcome) in (0..).zip(outcomes) {
            let spec = &plan.node(index).spec;
            let name = || Arc::clone(&spec.name);
            let contribution = plan.total_contribution(index, outcome);
            contributions.push((contribution, Source::Critic(&spec.name, outcome)));
            match &outcome.status {
                Status::Succeeded { source } => {
                    is_degraded |= *source == AnswerSource::Fallback;
                    coverage.answered.push(name());
                }
                status if status.is_benign() => coverage.gated.push(name()),
                status if status.is_not_needed() => coverage.not_needed.push(name()),
                _ if spec.failure_mode == FailureMode::Ignore => {}
                status => {
                    is_degraded |= spec.failure_mode == FailureMode::FailOpen;
                    let (status, failure_mode) = (status.clone(), spec.failure_mode);
                    coverage.missing.push(Missing { name: name(), status, failure_mode });
                }
            }
            edits.extend(outcome.output.iter().flat_map(|output| &output.finding.edits));
        }
        let edits = MergedEdits::merge(edits);
        let answers = coverage.answered.len();
        if let Some(quorum) = plan.settings.quorum.filter(|quorum| answers < *quorum) {
            contributions.push((Verdict::Escalate, Source::Quorum { answers, quorum }));
        }
        if edits.conflict {
            contributions.push((Verdict::Escalate, Source::EditConflict));
        }
        let verdict =
            contributions.iter().fold(Verdict::Allow, |joined, (verdict, _)| joined.join(*verdict));
        let deciding = contributions.iter().filter(|(contribution, _)| *contribution == verdict);
        let deciding = deciding.filter_map(|(_, source)| source.explain(verdict)).collect();
        Self { decision: Decision { verdict, coverage }, deciding, edits, is_degraded }
    }
}

/// Where a contribution comes from.
enum Source<'a> {
    Critic(&'a Arc<str>, &'a Outcome),
    Quorum { answers: usize, quorum: usize },
    EditConflict,
}

impl Source<'_> {
    /// A critic that contributed nothing decides nothing, also when nothing is what was decided.
    fn explain(&self, verdict: Verdict) -> Option<Deciding> {
        let (decider, reason) = match self {
            Self::Critic(name, outcome) => {
                let reason = match &outcome.output {
                    Some(output) => {
                        let finding = &output.finding;
                        let codes: Vec<_> =
                            finding.violations.iter().map(|violation| &*violation.code).collect();
                        match (finding.verdict == Some(verdict), codes.is_empty()) {
                            (true, true) => Cow::Borrowed("it asks for this verdict"),
                            (true, false) => {
                                format!("it asks for this verdict ({})", codes.join(", ")).into()
                            }
                            // What a clean run says of each of its critics.
                            (false, true) if finding.severity == 0.0 => Cow::Borrowed("severity 0"),
                            (false, true) => format!("severity {}", finding.severity).into(),
                            (false, false) => {
                                format!("severity {} ({})", finding.severity, codes.join(", "))
                                    .into()
                            }
                        }
                    }
                    None if outcome.status.is_missing() && verdict > Verdict::Allow => {
                        format!("no answer: {}", outcome.status.as_str()).into()
                    }
                    None => return None,
                };
                (Decider::Critic(Arc::clone(name)), reason)
            }
            Self::Quorum { answers, quorum } => {
                (Decider::Quorum, format!("{answers} answers, the quorum is {quorum}").into())
            }
            Self::EditConflict => {
                (Decider::EditConflict, Cow::Borrowed("edits contradict each other"))
            }
        };
        Some(Deciding { decider, reason })
    }
}
