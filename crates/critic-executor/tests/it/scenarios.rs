//! The acceptance scenarios, with their exact numbers in paused time. What runs is what the example
//! `scenarios` shows.

use critic_executor::{
    CriticError, FailureMode, RejectReason, RetryBudget, StageMode, Status, Verdict,
};

use crate::support::{dollars, failing, ms, plan, run};

#[path = "../../examples/scenarios/critics.rs"]
mod critics;
#[path = "../../examples/scenarios/scenario.rs"]
mod scenario;

use scenario::Outcome;

fn verdicts(outcome: &Outcome) -> Vec<(&str, usize)> {
    outcome.verdicts.iter().map(|(verdict, runs)| (*verdict, *runs)).collect()
}

/// Verifies: CRIT-280, CRIT-070, CRIT-201
#[tokio::test(start_paused = true)]
async fn low_risk_costs_the_fast_critics_only() {
    let outcomes = scenario::gating(&critics::low_risk().unwrap()).await.unwrap();
    let [all, gated] = &outcomes[..] else { panic!("one without gates, one with") };
    assert_eq!((all.elapsed, all.cost, all.saved), (ms(2500), dollars(0.50), dollars(0.0)));
    assert_eq!((all.answered, all.gated, all.missing), (10, 0, 0));
    assert_eq!(verdicts(all), [("allow", 1)]);
    assert_eq!((gated.elapsed, gated.cost, gated.saved), (ms(50), dollars(0.01), dollars(0.49)));
    assert_eq!((gated.answered, gated.gated, gated.missing), (2, 8, 0));
    assert_eq!(verdicts(gated), [("allow", 1)]);
}

/// Verifies: CRIT-281, CRIT-082
#[tokio::test(start_paused = true)]
async fn high_risk_runs_everything_and_relaxed_barriers_save_the_core_stage() {
    for (mode, expected) in [(StageMode::Strict, ms(1650)), (StageMode::Relaxed, ms(1250))] {
        let outcomes = scenario::gating(&critics::high_risk(mode).unwrap()).await.unwrap();
        let gated = &outcomes[1];
        assert_eq!((gated.elapsed, gated.cost), (expected, dollars(0.56)), "{mode:?}");
        assert_eq!((gated.answered, gated.gated), (10, 0));
        assert_eq!(verdicts(gated), [("escalate", 1)]);
    }
}

/// Verifies: CRIT-282, CRIT-135
#[tokio::test(start_paused = true)]
async fn retries_raise_the_success_of_a_flaky_critic_within_their_budget() {
    for (attempts, least, most) in [(1, 8400, 8600), (2, 9700, 10_000), (3, 9900, 10_000)] {
        let outcome = scenario::flaky(0.85, attempts).await.unwrap();
        assert!((least..=most).contains(&outcome.answered), "{attempts}: {}", outcome.answered);
        assert!(outcome.note.ends_with(" 0 refused"), "{}", outcome.note);
    }
    let outcome = scenario::flaky(0.2, 3).await.unwrap();
    let budget = RetryBudget::default();
    let floor = budget.per_second * (outcome.elapsed + budget.window).as_secs_f64();
    let retries = outcome.attempts - 10_000;
    assert!(retries as f64 <= budget.ratio * 10_000.0 + floor, "{retries} retries");
    assert!(!outcome.note.ends_with(" 0 refused"), "an outage asks for more: {}", outcome.note);
}

/// Verifies: CRIT-283, CRIT-122, CRIT-136
#[tokio::test(start_paused = true)]
async fn timeouts_and_delays_add_up_exactly_and_a_delay_that_does_not_fit_is_not_begun() {
    let outcome = scenario::hangs_twice(ms(60_000)).await.unwrap();
    assert_eq!((outcome.attempts, outcome.elapsed), (3, ms(2 * 1000 + 6000 + 30)));
    assert_eq!(outcome.note, "succeeded");
    let outcome = scenario::hangs_twice(ms(5000)).await.unwrap();
    assert_eq!((outcome.attempts, outcome.elapsed), (2, ms(4000)));
    assert_eq!(outcome.note, "timed out: attempt");
}

/// Verifies: CRIT-284, CRIT-100
#[tokio::test(start_paused = true)]
async fn a_hundred_runs_share_the_limits_and_all_succeed() {
    let crowd = scenario::crowd("at once", &critics::unlimited()).await.unwrap();
    assert!(crowd.outcome.answered < 100, "most fail: {}", crowd.outcome.answered);
    assert_eq!(crowd.peaks, (1000, 300));

    let crowd = scenario::crowd("limited", &critics::limited(1000)).await.unwrap();
    assert_eq!((crowd.outcome.answered, crowd.outcome.missing), (1000, 0));
    assert_eq!(verdicts(&crowd.outcome), [("allow", 100)]);
    assert_eq!(crowd.peaks, critics::Service::MOST);
    assert!(crowd.outcome.elapsed <= ms(42_200), "{:?}", crowd.outcome.elapsed);
}

/// Verifies: CRIT-285, CRIT-107
#[tokio::test(start_paused = true)]
async fn a_short_queue_rejects_the_least_urgent_and_no_run_with_rejections_is_allowed() {
    let crowd = scenario::crowd("a short queue", &critics::limited(100)).await.unwrap();
    let full = Status::Rejected { reason: RejectReason::QueueFull };
    let (mut rejected, mut waited) = (Vec::new(), Vec::new());
    for report in &crowd.reports {
        for critic in report.critics() {
            let priority = report.plan().spec(&critic.name).unwrap().priority;
            if critic.status == full {
                assert!(critic.attempts.is_empty());
                rejected.push(priority);
            } else {
                assert!(critic.status.is_answer(), "{:?}", critic.status);
                if critic.queue_time > ms(0) {
                    waited.push(priority);
                }
            }
        }
        let has_rejections = report.critics().iter().any(|critic| critic.status == full);
        assert_eq!(has_rejections, report.decision().verdict >= Verdict::Escalate);
        assert!(report.elapsed() <= ms(60_000));
    }
    assert_eq!(rejected.len(), 890, "ten ran at once, a hundred waited");
    assert!(waited.iter().max() <= rejected.iter().min(), "the least urgent went first");
    assert_eq!(crowd.peaks.0, 10);
}

/// Verifies: CRIT-286, CRIT-041, CRIT-047, CRIT-048
#[tokio::test(start_paused = true)]
async fn a_plan_of_dead_critics_escalates_and_never_allows() {
    let (_, report) = scenario::dead(FailureMode::FailClosed).await.unwrap();
    let decision = report.decision();
    assert_eq!((decision.verdict, decision.coverage.ratio()), (Verdict::Escalate, 0.0));
    assert_eq!((report.critics().len(), decision.coverage.missing.len()), (7, 7));
    assert!(report.critics().iter().all(|critic| critic.output.is_none()));
    let mut names: Vec<_> = crate::support::statuses(&report);
    names.sort_unstable();
    let expected = [
        ("broken", "circuit_open"),
        ("costly", "rejected"),
        ("crowded-out", "rejected"),
        ("failing", "failed"),
        ("hanging", "timed_out"),
        ("panicking", "failed"),
        ("refusing", "failed"),
    ];
    assert_eq!(names, expected);
    let reasons: Vec<_> = ["costly", "crowded-out"]
        .iter()
        .map(|name| report.critic(name).unwrap().status.clone())
        .collect();
    let rejected = |reason| Status::Rejected { reason };
    assert_eq!(reasons, [rejected(RejectReason::Budget), rejected(RejectReason::QueueFull)]);
}

/// Verifies: CRIT-287
#[tokio::test(start_paused = true)]
async fn a_mixed_stream_saves_executions_and_cost_without_other_verdicts() {
    let mixed = scenario::mixed().await.unwrap();
    let [all, gated] = &mixed.outcomes[..] else { panic!("one without gates, one with") };
    assert_eq!(mixed.changed, 0);
    assert_eq!(verdicts(all), [("allow", 800), ("escalate", 200)]);
    assert_eq!((all.attempts, gated.attempts), (10_000, 3600));
    assert!(gated.attempts * 10 <= all.attempts * 7, "at least 30 % fewer executions");
    assert_eq!((all.cost, gated.cost), (dollars(490.0), dollars(106.0)));
    assert!(gated.cost.0 * 10 <= all.cost.0 * 4, "at least 60 % less cost");
}

#[tokio::test(start_paused = true)]
async fn the_table_of_the_example_has_every_scenario() {
    let scenarios = scenario::all().await.unwrap();
    let mut numbers: Vec<_> = scenarios.iter().map(|scenario| &scenario.title[..3]).collect();
    numbers.dedup();
    assert_eq!(numbers, ["280", "281", "282", "283", "284", "285", "286", "287"]);
    for scenario in &scenarios {
        let mut ways: Vec<_> = scenario.outcomes.iter().map(|outcome| &outcome.how).collect();
        ways.dedup();
        assert_eq!(ways.len(), scenario.outcomes.len(), "{}", scenario.title);
    }
}

/// Verifies: CRIT-203, CRIT-047
#[tokio::test(start_paused = true)]
async fn fail_open_and_ignore_contribute_nothing_but_fail_open_is_listed() {
    let dead =
        |name: &str, mode| failing(name, 1, || CriticError::permanent("no")).failure_mode(mode);
    let report =
        run(&plan([dead("open", FailureMode::FailOpen), dead("ignored", FailureMode::Ignore)]))
            .await;
    let decision = report.decision();
    assert_eq!(decision.verdict, Verdict::Allow);
    assert_eq!(decision.coverage.missing.len(), 1);
    assert!(report.is_degraded());
}
