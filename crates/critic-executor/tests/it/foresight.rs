//! What plans say of themselves before anything runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use critic_executor::{
    CriticContext, CriticOutput, CriticSpec, DependencyKind, DryRun, ExecutionPlan, Executor,
    Foreseen, Jitter, MicroDollars, OnExhausted, Policy, RateLimit, RetryPolicy, RiskLevel,
    RunInput, Stage, StageMode, Status,
};
use proptest::prelude::*;

use crate::records::random_plan;
use crate::support::{clean, ms};

fn explained() -> ExecutionPlan {
    let retry = RetryPolicy { base: ms(100), jitter: Jitter::None, ..RetryPolicy::attempts(3) };
    ExecutionPlan::builder()
        .mode(StageMode::Strict)
        .critics([
            clean("words", 1).stage(Stage::FastCritics).attempt_timeout(ms(50)).concurrency(2),
            clean("judge", 1)
                .policy(Policy::OnViolation)
                .priority(2)
                .attempt_timeout(ms(1000))
                .retry(retry)
                .cost(MicroDollars(20)),
            clean("again", 1)
                .requires(["judge"])
                .after(["words"])
                .attempt_timeout(ms(500))
                .total_timeout(ms(400))
                .rate_limit(RateLimit::per_second(2.5))
                .cost(MicroDollars(5)),
        ])
        .stage_timeout(Stage::FastCritics, ms(80))
        .build()
        .unwrap()
}

/// Verifies: CRIT-029
#[test]
fn a_plan_explains_its_order_edges_limits_and_worst_case_as_data() {
    let told = explained().explain();
    let names: Vec<_> = told.critics.iter().map(|critic| &*critic.name).collect();
    assert_eq!(names, ["words", "again", "judge"]);
    assert_eq!(
        told.order.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["words", "judge", "again"]
    );
    let stages: Vec<_> =
        told.stages.iter().map(|s| (s.stage, s.critics.len(), s.timeout)).collect();
    assert_eq!(stages, [(Stage::FastCritics, 1, Some(ms(80))), (Stage::CoreAnalysis, 2, None)]);
    assert!(told.stages.iter().all(|stage| stage.is_barrier));
    let [words, again, judge] = &told.critics[..] else { panic!("three critics") };
    assert_eq!((words.concurrency, words.attempt_limit), (Some(2), Some(ms(50))));
    let edges: Vec<_> = again.depends_on.iter().map(|(name, kind)| (&**name, *kind)).collect();
    assert_eq!(edges, [("judge", DependencyKind::Requires), ("words", DependencyKind::After)]);
    assert_eq!((again.attempt_limit, again.total_limit), (Some(ms(400)), Some(ms(400))));
    assert_eq!((again.per_second, again.worst_latency), (Some(2.5), Some(ms(400))));
    assert_eq!(judge.evidence, ["words".into()]);
    assert_eq!((&*judge.policy, judge.priority, judge.max_attempts), ("on_violation", 2, 3));
    // Three attempts and the delays of 100 and 200 ms between them.
    assert_eq!((judge.worst_latency, judge.worst_cost), (Some(ms(3300)), MicroDollars(60)));
    assert_eq!(told.worst_latency, Some(ms(50 + 3300 + 400)));
    assert_eq!(told.worst_cost, MicroDollars(65));
    assert_eq!(told.warnings, explained().warnings());
    assert_eq!(told.warnings.len(), 1);
}

/// Verifies: CRIT-029
#[test]
fn a_plan_explains_itself_in_words_the_same_for_equal_plans() {
    let expected = "\
3 critics in the order words, judge, again
stage fast_critics: words; at most 80ms; then a barrier
stage core_analysis: again, judge; then a barrier
words: fast_critics, priority 5, always; 2 at once; 1 × 50ms, together 80ms; at most $0.000000; fail_closed
again: core_analysis, priority 5, always; requires judge; after words; 2.5 per second; 1 × 400ms, together \
400ms; at most $0.000005; fail_closed
judge: core_analysis, priority 2, on_violation by words; 3 × 1s; at most $0.000060; fail_closed
a run takes at most what its executor allows
worst latency 3.75s, waits for permits aside
worst cost $0.000065
warning: `again`: `attempt_timeout` is longer than `total_timeout` and never counts
";
    assert_eq!(explained().explain().to_string(), expected);
}

/// Verifies: CRIT-029
#[test]
fn the_worst_case_is_bounded_by_run_timeout_and_budget_or_by_nothing() {
    let priced = || clean("a", 1).cost(MicroDollars(50)).retry(RetryPolicy::attempts(4));
    let bounded = ExecutionPlan::builder()
        .critic(priced())
        .run_timeout(ms(700))
        .budget(MicroDollars(120), OnExhausted::SkipCritic);
    let told = bounded.build().unwrap().explain();
    assert_eq!((told.worst_latency, told.worst_cost), (Some(ms(700)), MicroDollars(120)));
    assert_eq!(told.critics[0].worst_cost, MicroDollars(200));
    let endless = ExecutionPlan::build([priced().no_attempt_timeout()]).unwrap().explain();
    assert_eq!(endless.worst_latency, None);
    assert!(endless.to_string().contains("worst latency without limit"));
}

fn foreseen(plan: &ExecutionPlan, input: &RunInput) -> DryRun {
    Executor::default().dry_run(plan, input)
}

/// Verifies: CRIT-030
#[test]
fn a_dry_run_calls_nobody_and_tells_who_runs_who_is_gated_and_who_depends_on_whom() {
    let calls = Arc::new(AtomicUsize::new(0));
    let spec = |name: &str| {
        let calls = Arc::clone(&calls);
        CriticSpec::new(name, move |_ctx: CriticContext| {
            calls.fetch_add(1, Ordering::SeqCst);
            async { Ok(CriticOutput::clean()) }
        })
    };
    let plan = ExecutionPlan::build([
        spec("fast").stage(Stage::FastCritics),
        spec("quick").stage(Stage::FastCritics),
        spec("risky").policy(Policy::on_high_risk()),
        spec("safe only").policy(Policy::not(Policy::on_high_risk())),
        spec("found").policy(Policy::OnViolation).evidence(["quick"]),
        spec("of found").requires(["found"]),
        spec("of safe").requires(["safe only"]),
        spec("of that").requires(["of safe"]),
        spec("after safe").after(["safe only"]),
        spec("lonely")
            .policy(Policy::OnUncertainty { uncertainty_from: 0.5 })
            .evidence([] as [&str; 0]),
        spec("paying").policy(Policy::conditional("paying", |input, _| {
            input.context_value("tier").is_some()
        })),
        spec("paying alone")
            .policy(Policy::conditional("paying", |input, _| input.context_value("tier").is_some()))
            .evidence(["safe only"]),
    ])
    .unwrap();
    let told = foreseen(&plan, &RunInput::new("x").risk(RiskLevel::Critical));
    assert_eq!(told.critics.len(), plan.len());
    let lines: Vec<_> = told.to_string().lines().map(str::to_owned).collect();
    let expected = [
        "fast: runs: always",
        "quick: runs: always",
        "after safe: runs: always",
        "found: depends on quick",
        "lonely: gated by on_uncertainty: no answer is uncertain",
        "of found: depends on quick",
        "of safe: skipped: `safe only` is gated",
        "of that: skipped: `of safe` is skipped because `safe only` is gated",
        "paying: depends on fast, quick",
        "paying alone: gated by paying: the condition does not hold",
        "risky: runs: the risk is critical, at least high",
        "safe only: gated by not: not (the risk is critical, at least high)",
    ];
    assert_eq!(lines, expected);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let unknown = foreseen(&plan, &RunInput::new("x"));
    assert!(matches!(unknown.critic("risky"), Some(Foreseen::Runs { .. })), "it never says no");
    let low = foreseen(&plan, &RunInput::new("x").risk(RiskLevel::Low));
    let both = Foreseen::Depends { evidence: vec!["fast".into(), "quick".into()] };
    assert_eq!((low.critic("risky"), low.critic("safe only")), (Some(&both), Some(&both)));
}

proptest! {
    /// Verifies: CRIT-030, CRIT-029
    #[test]
    fn what_was_foreseen_is_what_happens(
        shape in prop::collection::vec((0..6_u8, 0..4_u8, 0..30_u8), 1..14),
        times in prop::collection::vec(0..400_u64, 1..14),
        risk in prop::option::of(0..4_usize),
    ) {
        let plan = random_plan(&shape, &times, StageMode::Relaxed);
        let mut input = RunInput::new("text");
        if let Some(risk) = risk {
            input = input.risk([
                RiskLevel::Low, RiskLevel::Medium, RiskLevel::High, RiskLevel::Critical,
            ][risk]);
        }
        let told = foreseen(&plan, &input);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let executor = Executor::new(critic_executor::ExecutorSettings {
            global_limit: None,
            ..Default::default()
        });
        let report = runtime.block_on(executor.run(&plan, input)).unwrap();
        prop_assert!(report.elapsed() <= plan.explain().worst_latency.unwrap());
        for (critic, (name, foreseen)) in report.critics().iter().zip(&told.critics) {
            prop_assert_eq!(&critic.name, name);
            let status = &critic.status;
            let gates = matches!(status, Status::Gated { .. });
            let skips = matches!(status, Status::Skipped { root_gated: true, .. });
            match foreseen {
                Foreseen::Runs { .. } => prop_assert!(!gates && !skips, "{}: {:?}", name, status),
                Foreseen::Gated { reason, .. } => {
                    prop_assert!(gates || matches!(status, Status::Skipped { .. }), "{}: {:?}", name, status);
                    if let Status::Gated { reason: said, .. } = status {
                        prop_assert_eq!(said.is_empty(), reason.is_empty());
                    }
                }
                Foreseen::Skipped { .. } => {
                    prop_assert!(matches!(status, Status::Skipped { .. }), "{}: {:?}", name, status);
                }
                _ => {}
            }
        }
    }
}
