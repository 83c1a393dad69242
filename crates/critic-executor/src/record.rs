use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::canonical_json;
use crate::finding::{Finding, Span, TextTarget};
use crate::input::RiskLevel;
use crate::money::MicroDollars;
use crate::report::{CriticReport, Decider, RunReport};
use crate::spec::RecordTexts;
use crate::status::{AnswerSource, Status};
use crate::ternary::Ternary;
use crate::verdict::Verdict;

/// What is worth keeping of a run: everything that decided it. No durations, clock times, ids, and no text of the
/// input. The same plan, input and outcomes give the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// Version of this format.
    pub version: u32,
    /// Digest of the plan, in hexadecimal.
    pub plan: String,
    /// Digest of the input, in hexadecimal.
    pub input: String,
    /// The input's risk level.
    pub risk: Option<RiskLevel>,
    /// Where random numbers came from, in hexadecimal.
    pub seed: String,
    /// Whether gates were on.
    pub gating: bool,
    /// The verdict.
    pub verdict: Verdict,
    /// Who decided it, in plan order; rules are in angle brackets.
    pub deciding: Vec<String>,
    /// How much of the plan answered.
    pub coverage: CoverageRecord,
    /// What was spent.
    pub spent: MicroDollars,
    /// Every critic of the plan, in plan order.
    pub critics: Vec<CriticRecord>,
}

/// Names of critics by what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoverageRecord {
    /// Critics that answered.
    pub answered: Vec<String>,
    /// Critics that were gated.
    pub gated: Vec<String>,
    /// Critics whose answer is missing.
    pub missing: Vec<String>,
    /// Critics that were not needed any more.
    pub not_needed: Vec<String>,
}

/// What became of one critic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriticRecord {
    /// Its name.
    pub name: String,
    /// The name of its status.
    pub status: String,
    /// What the status says beyond its name: kind, scope, source, reason or upstream.
    pub detail: Option<String>,
    /// How its attempts ended.
    pub attempts: Vec<String>,
    /// What its gate said.
    pub gate: Option<GateRecord>,
    /// What it adds to the verdict.
    pub contribution: Verdict,
    /// What its attempts cost.
    pub cost: MicroDollars,
    /// What it found, if it answered.
    pub finding: Option<FindingRecord>,
}

/// What a gate said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateRecord {
    /// `true`, `false`, or nothing if it could not be told.
    pub runs: Option<bool>,
    /// Why.
    pub reason: String,
}

/// A finding, with as much of its texts as the critic's spec lets a record keep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindingRecord {
    /// How bad it is.
    pub severity: f64,
    /// How unsure the critic was.
    pub uncertainty: Option<f64>,
    /// What it asked for.
    pub verdict: Option<Verdict>,
    /// What it found: the violations' codes and the evidence's kinds.
    pub violations: Vec<ItemRecord>,
    /// What supports it.
    pub evidence: Vec<ItemRecord>,
    /// The edits it proposed.
    pub edits: Vec<EditRecord>,
}

/// A violation or a piece of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemRecord {
    /// Code or kind.
    pub kind: String,
    /// How bad it is.
    pub severity: Option<f64>,
    /// Where it is.
    pub span: Option<Span>,
    /// Its text, or its text's SHA-256 after `sha256:`, if the critic's spec says so.
    pub text: Option<String>,
}

/// An edit; of its replacement only the digest, which tells equal edits from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditRecord {
    /// The text.
    pub target: TextTarget,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// SHA-256 of the replacement.
    pub replacement: String,
    /// Whether it only hides text.
    pub redaction: bool,
}

impl RunRecord {
    /// The version that this crate writes.
    pub const VERSION: u32 = 1;

    pub(crate) fn of(report: &RunReport) -> Self {
        let coverage = &report.decision.coverage;
        let owned =
            |names: &[std::sync::Arc<str>]| names.iter().map(|name| name.to_string()).collect();
        let deciding = report.deciding.iter().map(|deciding| match &deciding.decider {
            Decider::Critic(name) => name.to_string(),
            Decider::Quorum => "<quorum>".to_owned(),
            Decider::EditConflict => "<edit conflict>".to_owned(),
        });
        Self {
            version: Self::VERSION,
            plan: hex(&report.plan.digest()),
            input: hex(&report.input.digest()),
            risk: report.input.risk_level(),
            seed: format!("{:016x}", report.seed),
            gating: report.is_gating,
            verdict: report.decision.verdict,
            deciding: deciding.collect(),
            coverage: CoverageRecord {
                answered: owned(&coverage.answered),
                gated: owned(&coverage.gated),
                missing: coverage.missing.iter().map(|missing| missing.name.to_string()).collect(),
                not_needed: owned(&coverage.not_needed),
            },
            spent: report.cost.total.spent,
            critics: (0..)
                .zip(&report.critics)
                .map(|(index, critic)| {
                    CriticRecord::of(critic, report.plan.inner.node(index).spec.record_texts)
                })
                .collect(),
        }
    }

    /// The record as canonical JSON (RFC 8785).
    #[must_use]
    pub fn to_json(&self) -> String {
        let value =
            serde_json::to_value(self).expect("a record holds finite numbers and text keys only");
        canonical_json::to_string(&value)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// If the text is no record of this version of the format.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

impl CriticRecord {
    fn of(critic: &CriticReport, texts: RecordTexts) -> Self {
        Self {
            name: critic.name.to_string(),
            status: critic.status.as_str().to_owned(),
            detail: detail_of(&critic.status),
            attempts: critic
                .attempts
                .iter()
                .map(|attempt| attempt.outcome.as_str().to_owned())
                .collect(),
            gate: critic.gate.as_ref().map(|gate| GateRecord {
                runs: match gate.answer {
                    Ternary::True => Some(true),
                    Ternary::False => Some(false),
                    Ternary::Unknown => None,
                },
                reason: gate.reason.to_string(),
            }),
            contribution: critic.contribution,
            cost: critic.cost,
            finding: critic.finding().map(|finding| FindingRecord::of(finding, texts)),
        }
    }
}

impl FindingRecord {
    fn of(finding: &Finding, texts: RecordTexts) -> Self {
        let violations = finding.violations.iter().map(|violation| ItemRecord {
            kind: violation.code.clone(),
            severity: violation.severity,
            span: violation.span,
            text: kept(texts, false, &violation.message),
        });
        let evidence = finding.evidence.iter().map(|item| ItemRecord {
            kind: item.kind.clone(),
            severity: None,
            span: item.span,
            text: item.excerpt.as_deref().and_then(|excerpt| kept(texts, item.personal, excerpt)),
        });
        let edits = finding.edits.iter().map(|edit| EditRecord {
            target: edit.target,
            start: edit.start,
            end: edit.end,
            replacement: hex(&Sha256::digest(&edit.replacement)),
            redaction: edit.redaction,
        });
        Self {
            severity: finding.severity,
            uncertainty: finding.uncertainty,
            verdict: finding.verdict,
            violations: violations.collect(),
            evidence: evidence.collect(),
            edits: edits.collect(),
        }
    }
}

/// A hash of personal data would let it be guessed, so that is left out as well.
fn kept(texts: RecordTexts, is_personal: bool, text: &str) -> Option<String> {
    match texts {
        RecordTexts::Store if !is_personal => Some(text.to_owned()),
        RecordTexts::Hash if !is_personal => Some(format!("sha256:{}", hex(&Sha256::digest(text)))),
        _ => None,
    }
}

/// What a status says beyond its name, without texts of critics and without clock times.
fn detail_of(status: &Status) -> Option<String> {
    let detail = match status {
        Status::Succeeded { source } => match source {
            AnswerSource::Critic => "critic",
            AnswerSource::Cache => "cache",
            AnswerSource::Fallback => "fallback",
        },
        Status::Failed { kind, .. } => kind.as_str(),
        Status::TimedOut { scope } => scope.as_str(),
        Status::Gated { policy, .. } => policy,
        Status::Skipped { root, .. } => root,
        Status::Cancelled { reason } => reason.as_str(),
        Status::Rejected { reason } => reason.as_str(),
        Status::CircuitOpen { .. } | Status::Invalid { .. } => return None,
    };
    Some(detail.to_owned())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
