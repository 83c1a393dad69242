//! The acceptance scenarios, with their exact numbers in paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use critic_executor::{
    BreakerPolicy, CriticContext, CriticError, CriticOutput, CriticSpec, ExecutionPlan, Executor,
    ExecutorSettings, FailureMode, Jitter, MicroDollars, OnExhausted, Policy, RejectReason,
    RetryPolicy, RunInput, Stage, StageMode, Status, TimeoutScope, Verdict,
};
use tokio::time::Instant;

use crate::support::{
    Gauge, clean, dollars, failing, found, gauged, hanging, is_gated, ms, panicking, plan, run,
    run_ungated, violation,
};

/// Verifies: CRIT-280, CRIT-070, CRIT-201
#[tokio::test(start_paused = true)]
async fn low_risk_costs_the_fast_critics_only() {
    let fast =
        ["a", "b"].map(|name| clean(name, 50).stage(Stage::FastCritics).cost(dollars(0.005)));
    let deep = (0..8_u64).map(|index| {
        let cost = if index == 0 { dollars(0.07) } else { dollars(0.06) };
        clean(&format!("deep-{index}"), 2500 - 100 * index)
            .stage(Stage::DeepAnalysis)
            .policy(Policy::OnViolation)
            .cost(cost)
    });
    let plan = plan(fast.into_iter().chain(deep));
    let all = run_ungated(&plan).await;
    assert_eq!(
        (all.elapsed(), all.cost().total.spent, all.decision().verdict),
        (ms(2500), dollars(0.50), Verdict::Allow)
    );

    let gated = run(&plan).await;
    assert_eq!((gated.elapsed(), gated.cost().total.spent), (ms(50), dollars(0.01)));
    assert_eq!(is_gated(&gated), 8);
    assert_eq!(gated.decision().verdict, Verdict::Allow);
    assert_eq!(
        (gated.decision().coverage.answered.len(), gated.decision().coverage.ratio()),
        (2, 1.0)
    );
    assert_eq!(gated.cost().total.saved_by_gating, dollars(0.49));
    assert_eq!(gated.cost().total.ungated(), dollars(0.50));
}

fn high_risk(mode: StageMode) -> ExecutionPlan {
    let fast = ["f1", "f2"];
    let mut builder = ExecutionPlan::builder().mode(mode);
    for name in fast {
        builder = builder
            .critic(found(name, 50, violation(0.7)).stage(Stage::FastCritics).cost(dollars(0.005)));
    }
    for index in 0..3 {
        let core = clean(&format!("c{index}"), 400)
            .policy(Policy::OnViolation)
            .evidence(fast)
            .cost(dollars(0.05));
        builder = builder.critic(core);
    }
    for index in 0..5 {
        let deep = clean(&format!("d{index}"), 1200)
            .stage(Stage::DeepAnalysis)
            .policy(Policy::OnViolation);
        builder = builder.critic(deep.evidence(fast).cost(dollars(0.08)));
    }
    builder.build().unwrap()
}

/// Verifies: CRIT-281, CRIT-082
#[tokio::test(start_paused = true)]
async fn high_risk_runs_everything_and_relaxed_barriers_save_the_core_stage() {
    for (mode, expected) in [(StageMode::Strict, ms(1650)), (StageMode::Relaxed, ms(1250))] {
        let report = run(&high_risk(mode)).await;
        assert_eq!(report.elapsed(), expected, "{mode:?}");
        assert_eq!(report.cost().total.spent, dollars(0.56));
        assert_eq!(report.decision().verdict, Verdict::Escalate);
        assert_eq!(report.decision().coverage.answered.len(), 10);
    }
}

fn flaky(success: f64, attempts: u32) -> ExecutionPlan {
    let calls = AtomicUsize::new(0);
    let critic = move |_ctx: CriticContext| {
        // A fixed sequence of evenly spread fractions stands for a seeded source.
        let call = calls.fetch_add(1, Ordering::SeqCst) as u64;
        let mixed = (call.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let fraction = ((mixed ^ (mixed >> 32)) >> 11) as f64 / (1_u64 << 53) as f64;
        async move {
            if fraction < success {
                Ok(CriticOutput::clean())
            } else {
                Err(CriticError::transient("flaky"))
            }
        }
    };
    plan([CriticSpec::new("flaky", critic).retry(RetryPolicy::attempts(attempts))])
}

/// Verifies: CRIT-282, CRIT-135
#[tokio::test(start_paused = true)]
async fn retries_raise_the_success_of_a_flaky_critic_within_their_budget() {
    for (attempts, least, most) in [(1, 8400, 8600), (2, 9700, 10_000), (3, 9900, 10_000)] {
        let (plan, executor) = (flaky(0.85, attempts), Executor::default());
        let mut answered = 0;
        for seed in 0..10_000 {
            let options = critic_executor::RunOptions::new().seed(seed);
            let report = executor.run_with(&plan, RunInput::new("x"), options).await.unwrap();
            answered += report.decision().coverage.answered.len();
        }
        assert!((least..=most).contains(&answered), "{attempts} attempts: {answered}");
        assert_eq!(executor.incidents().retry_budget_exhausted, 0);
    }
}

/// Verifies: CRIT-283, CRIT-122, CRIT-136
#[tokio::test(start_paused = true)]
async fn timeouts_and_delays_add_up_exactly_and_a_delay_that_does_not_fit_is_not_begun() {
    let judge = || {
        let critic = |ctx: CriticContext| async move {
            if ctx.attempt() < 3 {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(ms(30)).await;
            Ok(CriticOutput::clean())
        };
        let retry =
            RetryPolicy { base: ms(2000), jitter: Jitter::None, ..RetryPolicy::attempts(3) };
        CriticSpec::new("judge", critic).attempt_timeout(ms(1000)).retry(retry)
    };
    let report = run(&plan([judge()])).await;
    let critic = &report.critics()[0];
    assert!(critic.status.is_answer());
    assert_eq!((critic.attempts.len(), report.elapsed()), (3, ms(2000 + 6000 + 30)));

    let plan = ExecutionPlan::builder().critic(judge()).run_timeout(ms(5000)).build().unwrap();
    let report = run(&plan).await;
    let critic = &report.critics()[0];
    assert_eq!(critic.status, Status::TimedOut { scope: TimeoutScope::Attempt });
    assert_eq!((critic.attempts.len(), report.elapsed()), (2, ms(4000)));
}

fn crowd(global: &Arc<Gauge>, deep: &Arc<Gauge>) -> ExecutionPlan {
    let mut critics = Vec::new();
    for index in 0..2 {
        critics.push(gauged(&format!("fast-{index}"), 50, global, Stage::FastCritics));
    }
    for index in 0..5 {
        critics.push(gauged(&format!("core-{index}"), 100, global, Stage::CoreAnalysis));
    }
    for index in 0..3 {
        let (global, deep) = (Arc::clone(global), Arc::clone(deep));
        let critic = move |_ctx: CriticContext| {
            let (global, deep) = (Arc::clone(&global), Arc::clone(&deep));
            async move {
                let _inside = (global.enter(), deep.enter());
                tokio::time::sleep(ms(200)).await;
                Ok(CriticOutput::clean())
            }
        };
        critics.push(CriticSpec::new(format!("deep-{index}"), critic).stage(Stage::DeepAnalysis));
    }
    ExecutionPlan::builder()
        .mode(StageMode::Relaxed)
        .run_timeout(ms(60_000))
        .critics(critics)
        .build()
        .unwrap()
}

/// Verifies: CRIT-284, CRIT-100
#[tokio::test(start_paused = true)]
async fn a_hundred_runs_share_the_limits_and_all_succeed() {
    let (global, deep) = (Arc::new(Gauge::default()), Arc::new(Gauge::default()));
    let plan = crowd(&global, &deep);
    let mut settings = ExecutorSettings::default();
    settings.stage_limits[Stage::DeepAnalysis.index()] = Some(2);
    let executor = Executor::new(settings);
    let start = Instant::now();
    let runs = (0..100).map(|_| executor.run(&plan, RunInput::new("x")));
    let reports = futures_util::future::join_all(runs).await;
    for report in reports {
        let report = report.unwrap();
        assert_eq!(report.decision().coverage.answered.len(), 10, "{:?}", report.decision());
    }
    assert_eq!((global.peak(), deep.peak()), (10, 2));
    assert!(start.elapsed() <= ms(42_200), "{:?}", start.elapsed());
}

/// Verifies: CRIT-285, CRIT-107
#[tokio::test(start_paused = true)]
async fn a_short_queue_rejects_the_excess_and_no_run_with_rejections_is_allowed() {
    let (global, deep) = (Arc::new(Gauge::default()), Arc::new(Gauge::default()));
    let plan = crowd(&global, &deep);
    let mut settings = ExecutorSettings { queue_limit: Some(100), ..ExecutorSettings::default() };
    settings.stage_limits[Stage::DeepAnalysis.index()] = Some(2);
    let executor = Executor::new(settings);
    let reports =
        futures_util::future::join_all((0..100).map(|_| executor.run(&plan, RunInput::new("x"))))
            .await;
    let mut rejected = 0;
    for report in reports {
        let report = report.unwrap();
        let here = report
            .critics()
            .iter()
            .filter(|critic| critic.status == Status::Rejected { reason: RejectReason::QueueFull });
        let here = here.count();
        rejected += here;
        assert_eq!(here > 0, report.decision().verdict >= Verdict::Escalate);
        assert!(
            report
                .critics()
                .iter()
                .all(|critic| critic.status.is_answer() || critic.attempts.is_empty())
        );
    }
    assert!(rejected > 0);
    assert_eq!(global.peak(), 10);
}

/// Verifies: CRIT-286, CRIT-041, CRIT-047, CRIT-048
#[tokio::test(start_paused = true)]
async fn a_plan_of_dead_critics_escalates_and_never_allows() {
    let builder = ExecutionPlan::builder()
        .critic(failing("error", 1, || CriticError::permanent("no")))
        .critic(failing("refused", 1, || CriticError::refused("no")))
        .critic(hanging("timeout").attempt_timeout(ms(100)))
        .critic(hanging("broken").breaker(BreakerPolicy::consecutive(1)))
        .critic(clean("costly", 1).cost(MicroDollars(2)))
        .critic(panicking("panic"))
        .budget(MicroDollars(1), OnExhausted::SkipCritic);
    let plan = builder.build().unwrap();
    let executor = Executor::default();
    drop(tokio::time::timeout(ms(1), executor.run(&plan, RunInput::new("x"))).await);
    assert!(executor.force_breaker_open("broken"));
    let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
    let decision = report.decision();
    assert_eq!((decision.verdict, decision.coverage.ratio()), (Verdict::Escalate, 0.0));
    assert_eq!(report.critics().len(), 6);
    assert_eq!(decision.coverage.missing.len(), 6);
    assert!(report.critics().iter().all(|critic| critic.output.is_none()));
    let names: Vec<_> = crate::support::statuses(&report);
    let expected = [
        ("broken", "circuit_open"),
        ("costly", "rejected"),
        ("error", "failed"),
        ("panic", "failed"),
        ("refused", "failed"),
        ("timeout", "timed_out"),
    ];
    assert_eq!(names, expected);
}

/// Verifies: CRIT-287
#[tokio::test(start_paused = true)]
async fn a_mixed_stream_saves_executions_and_cost_without_other_verdicts() {
    let is_high = |ctx: &CriticContext| ctx.input() == "high";
    let critic = move |severity: f64| {
        move |ctx: CriticContext| async move {
            Ok(CriticOutput::from(if is_high(&ctx) {
                violation(severity)
            } else {
                critic_executor::Finding::clean()
            }))
        }
    };
    let mut critics = vec![];
    for name in ["f1", "f2"] {
        critics.push(
            CriticSpec::new(name, critic(0.7)).stage(Stage::FastCritics).cost(dollars(0.005)),
        );
    }
    for index in 0..8 {
        let deep = CriticSpec::new(format!("d{index}"), critic(0.65)).stage(Stage::DeepAnalysis);
        critics.push(deep.policy(Policy::OnViolation).cost(dollars(0.06)));
    }
    let plan = plan(critics);
    let executor = Executor::default();
    let (mut calls, mut cost) = ([0, 0], [MicroDollars::ZERO; 2]);
    for request in 0..1000 {
        let input = Arc::new(RunInput::new(if request % 5 == 0 { "high" } else { "low" }));
        let all = critic_executor::RunOptions::new().without_gating();
        let reports = [
            executor.run(&plan, Arc::clone(&input)).await.unwrap(),
            executor.run_with(&plan, Arc::clone(&input), all).await.unwrap(),
        ];
        assert_eq!(reports[0].decision().verdict, reports[1].decision().verdict);
        for (index, report) in reports.iter().enumerate() {
            calls[index] +=
                report.critics().iter().map(|critic| critic.attempts.len()).sum::<usize>();
            cost[index] += report.cost().total.spent;
        }
    }
    assert!(calls[0] * 10 <= calls[1] * 7, "{calls:?}");
    assert!(cost[0].0 * 10 <= cost[1].0 * 4, "{cost:?}");
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
