use critic_executor::Ternary::{False, True, Unknown};
use critic_executor::{
    CriticError, Finding, GateAnswer, Policy, RiskLevel, RunInput, Stage, Status, Ternary, Verdict,
};

use crate::support::{clean, failing, found, ms, plan, run, statuses, violation};

/// Verifies: CRIT-067
#[test]
fn all_any_and_not_follow_kleenes_truth_tables() {
    let and = [
        (False, False, False),
        (False, Unknown, False),
        (False, True, False),
        (Unknown, Unknown, Unknown),
        (Unknown, True, Unknown),
        (True, True, True),
    ];
    let or = [
        (False, False, False),
        (False, Unknown, Unknown),
        (False, True, True),
        (Unknown, Unknown, Unknown),
        (Unknown, True, True),
        (True, True, True),
    ];
    for (a, b, expected) in and {
        assert_eq!((a.and(b), b.and(a)), (expected, expected), "{a:?} and {b:?}");
    }
    for (a, b, expected) in or {
        assert_eq!((a.or(b), b.or(a)), (expected, expected), "{a:?} or {b:?}");
    }
    assert_eq!([!False, !Unknown, !True], [True, Unknown, False]);
}

/// The gate of a deep critic behind one fast critic.
async fn gate(
    policy: Policy,
    fast: critic_executor::CriticSpec,
    risk: Option<RiskLevel>,
) -> (Ternary, String) {
    let plan = plan([
        fast.stage(Stage::FastCritics),
        clean("deep", 1).stage(Stage::DeepAnalysis).policy(policy),
    ]);
    let mut input = RunInput::new("text");
    if let Some(risk) = risk {
        input = input.risk(risk);
    }
    let report = critic_executor::Executor::default().run(&plan, input).await.unwrap();
    let deep = report.critic("deep").unwrap();
    let gate = deep.gate.clone().unwrap();
    assert_eq!(gate.answer == False, matches!(deep.status, Status::Gated { .. }));
    assert_eq!(deep.attempts.len(), usize::from(gate.answer != False));
    (gate.answer, gate.reason.to_string())
}

/// Verifies: CRIT-060, CRIT-063, CRIT-064, CRIT-065, CRIT-066, CRIT-073
#[tokio::test(start_paused = true)]
async fn gates_say_yes_no_or_that_they_cannot_tell() {
    let dead = || failing("fast", 1, || CriticError::permanent("no"));
    let low = Some(RiskLevel::Low);
    let mild = Finding::new(0.1);
    let unsure = || found("fast", 1, Finding::clean().with_uncertainty(0.7));
    let asks = found("fast", 1, Finding::clean().with_verdict(Verdict::Escalate));
    let custom = |answer: GateAnswer| Policy::conditional("custom", move |_, _| answer.clone());
    let cases = [
        (Policy::OnViolation, clean("fast", 1), low, False),
        (Policy::OnViolation, found("fast", 1, violation(0.1)), low, True),
        (Policy::OnViolation, found("fast", 1, mild), low, False),
        (Policy::OnViolation, asks, low, True),
        (Policy::OnViolation, dead(), low, Unknown),
        (
            Policy::OnViolation,
            dead().failure_mode(critic_executor::FailureMode::Ignore),
            low,
            False,
        ),
        (Policy::on_high_risk(), clean("fast", 1), low, False),
        (Policy::on_high_risk(), clean("fast", 1), Some(RiskLevel::High), True),
        (Policy::on_high_risk(), clean("fast", 1), None, Unknown),
        (Policy::on_high_risk(), found("fast", 1, Finding::new(0.7)), low, True),
        (Policy::on_high_risk(), dead(), low, Unknown),
        (Policy::on_uncertainty(), clean("fast", 1), low, False),
        (Policy::on_uncertainty(), unsure(), low, True),
        (Policy::on_uncertainty(), dead(), low, Unknown),
        (custom(GateAnswer::Run), clean("fast", 1), low, True),
        (custom(GateAnswer::Gate("no".into())), clean("fast", 1), low, False),
        (custom(GateAnswer::Unknown("?".into())), clean("fast", 1), low, Unknown),
        (
            Policy::conditional("panics", |_, _| -> bool { panic!("contained") }),
            clean("fast", 1),
            low,
            Unknown,
        ),
        (Policy::not(Policy::OnViolation), clean("fast", 1), low, True),
        (Policy::all([Policy::OnViolation, Policy::on_high_risk()]), dead(), low, Unknown),
        (
            Policy::any([Policy::OnViolation, Policy::on_high_risk()]),
            dead(),
            Some(RiskLevel::High),
            True,
        ),
    ];
    for (policy, fast, risk, expected) in cases {
        let name = format!("{policy:?}");
        let (answer, reason) = gate(policy, fast, risk).await;
        assert_eq!(answer, expected, "{name}: {reason}");
        assert!(!reason.is_empty());
    }
}

/// Verifies: CRIT-071, CRIT-072
#[tokio::test(start_paused = true)]
async fn a_skip_carries_its_root_and_is_benign_only_if_the_root_was_gated() {
    let report = run(&plan([
        clean("fast", 1).stage(Stage::FastCritics),
        failing("dead", 1, || CriticError::permanent("no")).stage(Stage::FastCritics),
        clean("gated", 1).policy(Policy::OnViolation).evidence(["fast"]),
        clean("of gated", 1).requires(["gated"]),
        clean("of that", 1).requires(["of gated"]),
        clean("of dead", 1).requires(["dead"]),
        clean("after dead", 1).after(["dead"]),
    ]))
    .await;
    let status = |name: &str| report.critic(name).unwrap().status.clone();
    let skipped = |upstream: &str, root: &str, root_gated| Status::Skipped {
        upstream: upstream.into(),
        root: root.into(),
        root_gated,
    };
    assert_eq!(status("of gated"), skipped("gated", "gated", true));
    assert_eq!(status("of that"), skipped("of gated", "gated", true));
    assert_eq!(status("of dead"), skipped("dead", "dead", false));
    assert!(status("after dead").is_answer());
    let coverage = &report.decision().coverage;
    assert_eq!((coverage.gated.len(), coverage.missing.len()), (3, 2));
}

/// Verifies: CRIT-069
#[tokio::test(start_paused = true)]
async fn a_witness_opens_a_gate_early_and_the_reason_names_the_first_in_plan_order() {
    let report = run(&plan([
        found("a-slow", 500, violation(0.1)).stage(Stage::FastCritics),
        found("b-quick", 10, violation(0.1)).stage(Stage::FastCritics),
        clean("deep", 100).stage(Stage::DeepAnalysis).policy(Policy::OnViolation),
    ]))
    .await;
    assert_eq!(report.elapsed(), ms(500));
    assert_eq!(
        &*report.critic("deep").unwrap().gate.as_ref().unwrap().reason,
        "`a-slow` found something"
    );
    assert_eq!(statuses(&report).len(), 3);
}
