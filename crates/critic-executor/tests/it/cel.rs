//! Policies as CEL expressions.

use critic_executor::{
    CriticError, ExecutionPlan, Finding, PlanError, Policy, RiskLevel, RunInput, Stage, Status,
    Ternary,
};

use crate::support::{clean, failing, found, ms, plan, violation};

fn reasons(source: &str) -> Vec<String> {
    let gated = clean("gated", 1).policy(Policy::cel(source)).evidence(["words"]);
    match ExecutionPlan::build([clean("words", 1), gated]) {
        Ok(_) => Vec::new(),
        Err(errors) => {
            let messages = errors.0.into_iter().map(|error| match error {
                PlanError::DoesNotCompile { what: "policy", message, .. } => message,
                other => panic!("{other}"),
            });
            messages.collect()
        }
    }
}

async fn gate(source: &str) -> (Ternary, String) {
    let plan = plan([
        found("words", 1, violation(0.4).with_uncertainty(0.2)).stage(Stage::FastCritics),
        failing("dead", 1, || CriticError::permanent("no")).stage(Stage::FastCritics),
        found("hidden", 1, Finding::new(0.9)).stage(Stage::FastCritics),
        clean("deep", 1).policy(Policy::cel(source)).evidence(["words", "dead"]),
    ]);
    let input = RunInput::new("question").output("answer").context("tier", "free");
    let input = input.risk(RiskLevel::High);
    let report = critic_executor::Executor::default().run(&plan, input).await.unwrap();
    let deep = report.critic("deep").unwrap();
    let gate = deep.gate.clone().unwrap();
    assert_eq!(gate.answer == Ternary::False, matches!(deep.status, Status::Gated { .. }));
    (gate.answer, gate.reason.to_string())
}

/// Verifies: CRIT-068
#[tokio::test(start_paused = true)]
async fn an_expression_sees_the_input_the_risk_and_its_evidence() {
    for source in [
        "risk == 'high'",
        "input.input == 'question' && input.output == 'answer'",
        "input.context.tier == 'free'",
        "evidence.words.severity > 0.3 && evidence.words.uncertainty < 0.3",
        "evidence.words.answered && 'bad' in evidence.words.violations",
        "evidence.words.verdict == 'allow'",
        "!evidence.dead.answered && evidence.dead.status == 'failed'",
        "evidence.words.violations.exists(code, code == 'bad')",
    ] {
        assert_eq!(gate(source).await.0, Ternary::True, "{source}");
        assert_eq!(gate(&format!("!({source})")).await.0, Ternary::False, "not {source}");
    }
}

/// Verifies: CRIT-068
#[tokio::test(start_paused = true)]
async fn what_is_not_there_or_goes_wrong_is_unknown_and_the_critic_runs() {
    for source in [
        "input.context.country == 'de'",
        "evidence.dead.severity > 0.5",
        "evidence.hidden.severity > 0.5",
        "evidence.nobody.answered",
        "evidence.words.severity",
        "1 / 0 == 1",
        "unknown_function(risk)",
        "risk + 1 == 2",
    ] {
        let (answer, reason) = gate(source).await;
        assert_eq!(answer, Ternary::Unknown, "{source}: {reason}");
        assert!(!reason.is_empty());
    }
}

/// Verifies: CRIT-068
#[test]
fn what_does_not_compile_or_is_not_bounded_is_an_error_of_the_plan() {
    assert!(reasons("risk == 'high' || evidence.words.severity > 0.5").is_empty());
    let deep = format!("{}risk == 'high'{}", "(".repeat(65), ")".repeat(65));
    let long = format!("risk == '{}'", "x".repeat(16 * 1024));
    let nested = "evidence.words.violations.all(a, evidence.words.violations.exists(b, a == b))";
    for source in ["risk ==", "risk == 'high", "", "risk & 1", &deep, &long, nested] {
        assert_eq!(reasons(source).len(), 1, "{}", &source[..source.len().min(80)]);
    }
    assert!(reasons(&long)[0].contains("at most 16384"), "{:?}", reasons(&long));
    assert!(reasons(nested)[0].contains("comprehension"), "{:?}", reasons(nested));
    let within = Policy::all([Policy::OnViolation, Policy::not(Policy::cel("1 +"))]);
    let built = ExecutionPlan::build([clean("a", 1), clean("b", 1).policy(within).evidence(["a"])]);
    assert!(built.is_err(), "an expression within another policy is compiled, too");
}

/// Verifies: CRIT-068, CRIT-028
#[test]
fn the_expression_is_in_the_digest_and_tells_nothing_of_times() {
    let of = |source: &str| {
        let gated = clean("gated", 1).policy(Policy::cel(source)).evidence(["words"]);
        plan([clean("words", 1), gated.attempt_timeout(ms(100))]).digest()
    };
    assert_eq!(of("risk == 'high'"), of("risk == 'high'"));
    assert_ne!(of("risk == 'high'"), of("risk == 'low'"));
}
