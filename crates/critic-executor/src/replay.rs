use std::collections::HashMap;
use std::sync::Arc;

use crate::evidence::Outcome;
use crate::finding::{CriticOutput, Evidence, Finding, Violation};
use crate::input::RunInput;
use crate::judgement::Judgement;
use crate::plan::ExecutionPlan;
use crate::record::{CriticRecord, FindingRecord, RunRecord, hex};
use crate::report::Decision;
use crate::run_state::{RunState, Step};
use crate::status::{AnswerSource, CancelReason, Status};
use crate::ternary::Ternary;

/// Something in which a replay and its record differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs: `plan`, `verdict`, or a critic's name.
    pub what: String,
    /// What the record says.
    pub recorded: String,
    /// What came out now.
    pub replayed: String,
}

/// What a plan makes of recorded outcomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The verdict and its coverage.
    pub decision: Decision,
    /// The name of every critic's status, in plan order.
    pub statuses: Vec<(Arc<str>, &'static str)>,
    /// Where that differs from the record.
    pub differences: Vec<Difference>,
    /// Critics that would have run, but of which the record has no outcome. They count as missing.
    pub without_outcome: Vec<Arc<str>>,
    /// Critics whose gates are functions or expressions of the input, which a record does not hold. What their
    /// gates said then is taken over.
    pub gates_taken_over: Vec<Arc<str>>,
}

/// Recomputes gates, skips, coverage and verdict from the findings of a record, without calling a critic, and says
/// where the record differs.
#[must_use]
pub fn replay(plan: &ExecutionPlan, record: &RunRecord) -> Replay {
    let mut replay = simulate(plan, record);
    let digest = hex(&plan.digest());
    if digest != record.plan {
        let difference =
            Difference { what: "plan".to_owned(), recorded: record.plan.clone(), replayed: digest };
        replay.differences.insert(0, difference);
    }
    replay
}

/// What a plan, perhaps another than the one that was recorded, would have done with the recorded outcomes. A critic
/// of which there is none is listed, not invented.
#[must_use]
pub fn simulate(plan: &ExecutionPlan, record: &RunRecord) -> Replay {
    let recorded: HashMap<&str, &CriticRecord> =
        record.critics.iter().map(|critic| (&*critic.name, critic)).collect();
    let mut input = RunInput::new("");
    if let Some(risk) = record.risk {
        input = input.risk(risk);
    }
    let inner = &plan.inner;
    let taken_over = inner.nodes.iter().map(|node| {
        let gate = recorded.get(&*node.spec.name).and_then(|critic| critic.gate.as_ref());
        node.spec.policy.needs_input().then(|| {
            let answer = gate.and_then(|gate| gate.runs).map_or(Ternary::Unknown, Ternary::from);
            (answer, gate.map_or("no recorded gate", |gate| &gate.reason).into())
        })
    });
    let mut state = RunState::new(plan.clone(), Arc::new(input), record.gating);
    state.take_over_gates(taken_over.collect());
    let mut without_outcome = Vec::new();
    let mut steps = Vec::new();
    loop {
        state.advance(&mut steps);
        if steps.is_empty() {
            break;
        }
        for step in steps.drain(..) {
            let Step::Ready(index) = step else { continue };
            let name = &inner.node(index).spec.name;
            let outcome = recorded.get(&**name).and_then(|critic| outcome_of(plan, index, critic));
            let outcome = outcome.unwrap_or_else(|| {
                without_outcome.push(Arc::clone(name));
                let reason = CancelReason::User("no outcome was recorded".into());
                Outcome::without_answer(Status::Cancelled { reason })
            });
            state.settle(index, outcome);
        }
    }
    let outcomes = state.outcomes();
    let decision = Judgement::of(inner, outcomes.iter().flatten()).decision;
    let statuses: Vec<_> = (0..inner.len())
        .filter_map(|index| {
            Some((Arc::clone(&inner.node(index).spec.name), state.outcome(index)?.status.as_str()))
        })
        .collect();
    let mut differences = Vec::new();
    if decision.verdict != record.verdict {
        differences.push(Difference {
            what: "verdict".to_owned(),
            recorded: record.verdict.as_str().to_owned(),
            replayed: decision.verdict.as_str().to_owned(),
        });
    }
    for (name, status) in &statuses {
        let before = recorded.get(&**name).map_or("absent", |critic| &*critic.status);
        if before != *status && !without_outcome.contains(name) {
            let (recorded, replayed) = (before.to_owned(), (*status).to_owned());
            differences.push(Difference { what: name.to_string(), recorded, replayed });
        }
    }
    let gates_taken_over = inner.nodes.iter().filter(|node| node.spec.policy.needs_input());
    let gates_taken_over = gates_taken_over.map(|node| Arc::clone(&node.spec.name)).collect();
    Replay { decision, statuses, differences, without_outcome, gates_taken_over }
}

/// How a critic ended that ran, as far as gates and verdict need to know. `None` if it did not run.
fn outcome_of(plan: &ExecutionPlan, index: u32, critic: &CriticRecord) -> Option<Outcome> {
    if let Some(finding) = &critic.finding {
        let finding = finding_of(finding);
        let contribution = plan.inner.contribution(index, &finding);
        let status = Status::Succeeded { source: AnswerSource::Critic };
        return Some(Outcome {
            status,
            output: Some(Arc::new(CriticOutput::from(finding))),
            contribution,
        });
    }
    let status = match (critic.status.as_str(), critic.detail.as_deref()) {
        ("gated" | "skipped" | "succeeded", _) => return None,
        ("cancelled", Some("verdict_reached")) => {
            Status::Cancelled { reason: CancelReason::VerdictReached }
        }
        ("cancelled", _) => Status::Cancelled { reason: CancelReason::CallerDropped },
        ("timed_out", _) => Status::TimedOut { scope: crate::status::TimeoutScope::Run },
        ("rejected", _) => Status::Rejected { reason: crate::status::RejectReason::QueueFull },
        ("invalid", _) => Status::Invalid { errors: Vec::new() },
        ("circuit_open", _) => Status::CircuitOpen { retry_at: tokio::time::Instant::now() },
        _ => {
            Status::Failed { kind: crate::error::ErrorKind::Permanent, message: "recorded".into() }
        }
    };
    Some(Outcome::without_answer(status))
}

/// The finding without its texts. Digests stand for the replacements of edits, so equal ones stay equal.
fn finding_of(record: &FindingRecord) -> Finding {
    Finding {
        severity: record.severity,
        uncertainty: record.uncertainty,
        verdict: record.verdict,
        violations: record
            .violations
            .iter()
            .map(|item| Violation {
                severity: item.severity,
                span: item.span,
                ..Violation::new(&*item.kind, "recorded")
            })
            .collect(),
        evidence: record
            .evidence
            .iter()
            .map(|item| Evidence { span: item.span, ..Evidence::new(&*item.kind) })
            .collect(),
        edits: record
            .edits
            .iter()
            .map(|edit| crate::edit::Edit {
                target: edit.target,
                start: edit.start,
                end: edit.end,
                replacement: edit.replacement.clone(),
                redaction: edit.redaction,
            })
            .collect(),
    }
}
