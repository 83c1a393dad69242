//! Answers, gates and the verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use critic_executor::{
    CriticContext, CriticError, CriticOutput, CriticSpec, Edit, ExecutionPlan, Executor, Finding,
    GateAnswer, PlanError, Policy, RetryPolicy, RunInput, Stage, Status, TextTarget, Verdict,
};

use crate::support::{Gauge, clean, failing, found, gauged, hanging, ms, plan, run, violation};

/// Regression 2.
///
/// Verifies: CRIT-041, CRIT-047
#[tokio::test(start_paused = true)]
async fn who_did_not_answer_did_not_find_nothing() {
    let report = run(&plan([
        clean("fine", 1).stage(Stage::FastCritics),
        failing("failed", 1, || CriticError::permanent("no")),
        hanging("late").attempt_timeout(ms(5)),
        clean("gated", 1).policy(Policy::OnViolation).evidence(["fine"]),
    ]))
    .await;
    for name in ["failed", "late", "gated"] {
        assert!(report.critic(name).unwrap().finding().is_none(), "{name}");
    }
    assert_eq!(report.decision().verdict, Verdict::Escalate);
    assert_eq!(report.decision().coverage.ratio(), 1.0 / 3.0);
}

/// Regression 3.
///
/// Verifies: CRIT-045, CRIT-046
#[tokio::test(start_paused = true)]
async fn a_severe_finding_does_not_vanish_in_an_average() {
    let mild = (0..50).map(|index| clean(&format!("mild-{index}"), 1));
    let report = run(&plan(mild.chain([found("severe", 1, Finding::new(0.9))]))).await;
    assert_eq!(report.decision().verdict, Verdict::Block);
}

/// Regression 4.
///
/// Verifies: CRIT-060, CRIT-063
#[tokio::test(start_paused = true)]
async fn a_failed_fast_critic_does_not_gate_the_deep_one_as_well() {
    let report = run(&plan([
        failing("fast", 1, || CriticError::transient("down")).stage(Stage::FastCritics),
        found("deep", 1, Finding::new(0.95)).policy(Policy::OnViolation),
    ]))
    .await;
    assert!(report.critic("deep").unwrap().gate.as_ref().unwrap().is_unknown());
    assert_eq!(report.decision().verdict, Verdict::Block);
}

/// Regression 5.
///
/// Verifies: CRIT-064, CRIT-066
#[tokio::test(start_paused = true)]
async fn a_condition_that_throws_and_a_risk_that_is_not_given_gate_nobody() {
    let throws = Policy::conditional("throws", |_, _| -> bool { panic!("a condition may panic") });
    let errs = Policy::conditional("errs", |input, _| -> GateAnswer {
        let risk = input.context_value("risk").ok_or("there is no risk");
        risk.map(|_| GateAnswer::Gate("it is low".into())).into()
    });
    let policies = [("throws", throws), ("errs", errs), ("unrisked", Policy::on_high_risk())];
    let critics = policies.map(|(name, policy)| clean(name, 1).policy(policy));
    let report = run(&plan(critics)).await;
    for critic in report.critics() {
        assert!(critic.status.is_answer(), "{}: {:?}", critic.name, critic.status);
        assert!(critic.gate.as_ref().unwrap().is_unknown());
    }
}

/// Regression 6.
///
/// Verifies: CRIT-061, CRIT-083, CRIT-211
#[tokio::test(start_paused = true)]
async fn it_does_not_matter_which_sibling_finishes_first() {
    let mut records = Vec::new();
    for (first, second, third) in [(1, 50, 90), (50, 1, 90), (90, 50, 1), (10, 10, 10)] {
        let report = run(&plan([
            found("a", first, violation(0.2)).stage(Stage::FastCritics),
            failing("b", second, || CriticError::permanent("no")).stage(Stage::FastCritics),
            clean("beside", third),
            clean("gated", 5).policy(Policy::OnViolation),
            clean("unsure", 5).policy(Policy::on_uncertainty()),
        ]))
        .await;
        records.push(report.record().to_json());
    }
    records.dedup();
    assert_eq!(records.len(), 1);
}

/// Regression 7.
///
/// Verifies: CRIT-009, CRIT-022
#[tokio::test(start_paused = true)]
async fn a_dependency_that_leads_nowhere_is_an_error_and_removes_nobody() {
    for wrong in ["nobody", "later"] {
        let built = ExecutionPlan::build([
            clean("first", 1).requires([wrong]),
            clean("later", 1).stage(Stage::Validation),
        ]);
        let errors = built.expect_err("it cannot be built").0;
        assert_eq!(errors.len(), 1);
        assert!(matches!(
            errors[0],
            PlanError::UnknownDependency { .. } | PlanError::LaterDependency { .. }
        ));
    }
    let critics = ["a", "b", "c"].map(|name| hanging(name).attempt_timeout(ms(1)));
    let report = run(&plan(critics)).await;
    assert_eq!(report.critics().len(), 3, "whatever became of them");
}

/// Regression 8.
///
/// Verifies: CRIT-071, CRIT-072
#[tokio::test(start_paused = true)]
async fn who_depends_on_a_gated_critic_does_not_run_without_it() {
    let gauge = Arc::new(Gauge::default());
    let report = run(&plan([
        clean("fast", 1).stage(Stage::FastCritics),
        clean("gated", 1).policy(Policy::OnViolation),
        gauged("dependent", 1, &gauge, Stage::CoreAnalysis).requires(["gated"]),
    ]))
    .await;
    assert!(matches!(report.critic("dependent").unwrap().status, Status::Skipped { .. }));
    assert_eq!(gauge.calls.load(Ordering::SeqCst), 0);
    assert_eq!(report.decision().verdict, Verdict::Allow);
}

/// Regression 9.
///
/// Verifies: CRIT-130
#[tokio::test(start_paused = true)]
async fn errors_that_may_pass_are_tried_again_and_expired_credentials_are_not() {
    let retry = RetryPolicy::attempts(4);
    let report = run(&plan([
        failing("outage", 1, || CriticError::transient("503")).retry(retry),
        failing("expired", 1, || CriticError::permanent("401")).retry(retry),
        hanging("slow").attempt_timeout(ms(10)).retry(retry),
    ]))
    .await;
    let attempts = |name: &str| report.critic(name).unwrap().attempts.len();
    assert_eq!((attempts("outage"), attempts("expired"), attempts("slow")), (4, 1, 4));
}

/// Regression 17.
///
/// Verifies: CRIT-191
#[tokio::test(start_paused = true)]
async fn an_invalid_output_does_not_count_as_success() {
    let report = run(&plan([found("invalid", 1, Finding::new(-0.5))])).await;
    assert!(!report.critics()[0].status.is_answer());
    assert!(report.decision().coverage.answered.is_empty());
    assert_eq!(report.decision().verdict, Verdict::Escalate);
}

/// Regression 19.
///
/// Verifies: CRIT-008
#[tokio::test(start_paused = true)]
async fn what_one_run_found_is_not_in_the_input_of_the_next() {
    let input = Arc::new(RunInput::new("text").context("k", "v"));
    let looks = |ctx: CriticContext| async move {
        assert_eq!(ctx.run_input().context_map().len(), 1);
        assert_eq!(ctx.dependencies().count(), 0);
        Ok(CriticOutput::from(violation(0.95)).with_data("left behind"))
    };
    let executor = Executor::default();
    let (loud, quiet) = (plan([CriticSpec::new("a", looks)]), plan([clean("a", 1)]));
    let digest = input.digest();
    let first = executor.run(&loud, Arc::clone(&input)).await.unwrap();
    let second = executor.run(&quiet, Arc::clone(&input)).await.unwrap();
    let verdicts = [first, second].map(|report| report.decision().verdict);
    assert_eq!((verdicts, input.digest()), ([Verdict::Block, Verdict::Allow], digest));
}

/// Regression 20.
///
/// Verifies: CRIT-023, CRIT-025
#[test]
fn a_long_chain_that_bites_its_tail_is_told_as_a_path_on_a_small_stack() {
    let build = || {
        let critics = (0..50_000_usize).map(|index| {
            let upstream = format!("{}", (index + 49_999) % 50_000);
            let fine = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
            CriticSpec::new(format!("{index}"), fine).requires([upstream])
        });
        let errors = ExecutionPlan::build(critics).expect_err("it is a cycle").0;
        let [PlanError::Cycle { path }] = &errors[..] else { panic!("one cycle") };
        assert_eq!((path.len(), path.first()), (50_001, path.last()));
    };
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(build).unwrap().join().unwrap();
}

/// Regression 21.
///
/// Verifies: CRIT-069, CRIT-080
#[tokio::test(start_paused = true)]
async fn nobody_is_looked_at_again_with_every_critic_that_ends() {
    let asked = Arc::new(AtomicUsize::new(0));
    let gated = |index: usize| {
        let asked = Arc::clone(&asked);
        let policy = Policy::conditional("counted", move |_, _| {
            asked.fetch_add(1, Ordering::SeqCst);
            false
        });
        clean(&format!("gated-{index}"), 1).policy(policy)
    };
    let fast = (0..500_u64).map(|index| {
        found(&format!("fast-{index}"), index % 7, violation(0.1)).stage(Stage::FastCritics)
    });
    let plan = plan(fast.chain((0..500).map(gated)));
    let report = run(&plan).await;
    assert_eq!(report.decision().coverage.gated.len(), 500);
    assert_eq!(asked.load(Ordering::SeqCst), 500, "each gate is asked once");
}

/// Regression 29.
///
/// Verifies: CRIT-052
#[tokio::test(start_paused = true)]
async fn critics_beside_each_other_propose_edits_and_change_no_text() {
    let redacts = |name: &str, millis, range: std::ops::Range<usize>| {
        let edit = Edit::redact_as(TextTarget::Input, range, "*");
        found(name, millis, Finding::clean().with_edit(edit))
    };
    let text = "call 555-1234 or mail jo@example.org";
    for (first, second) in [(1, 9), (9, 1)] {
        let plan = plan([
            redacts("phone", first, 5..13),
            redacts("digits", second, 9..13),
            redacts("mail", 5, 22..36),
        ]);
        let input = Arc::new(RunInput::new(text));
        let report = Executor::default().run(&plan, Arc::clone(&input)).await.unwrap();
        assert_eq!(input.input_text(), text);
        assert_eq!(report.decision().verdict, Verdict::AllowWithEdits);
        assert_eq!(report.edits().apply(TextTarget::Input, text), "call * or mail *");
    }
    let replaces = |name: &str, to: &str| {
        let edit = Edit::replace(TextTarget::Input, 0..4, to);
        found(name, 1, Finding::clean().with_edit(edit))
    };
    let report = run(&plan([replaces("a", "ring"), replaces("b", "fax ")])).await;
    assert!(report.edits().conflict);
    assert_eq!(report.decision().verdict, Verdict::Escalate);
}
