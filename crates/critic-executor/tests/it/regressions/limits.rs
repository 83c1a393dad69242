//! Order, permits, tokens, money.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use critic_executor::{
    CleanupWhen, CriticContext, CriticError, CriticOutput, CriticSpec, ExecutionPlan, Executor,
    ExecutorSettings, Jitter, MicroDollars, OnExhausted, RateLimit, RetryPolicy, RunError,
    RunInput, Stage, Verdict,
};
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::support::{Gauge, clean, failing, gauged, hanging, ms, plan, run};

fn with(change: impl FnOnce(&mut ExecutorSettings)) -> Executor {
    let mut settings = ExecutorSettings::default();
    change(&mut settings);
    Executor::new(settings)
}

/// Regression 1.
///
/// Verifies: CRIT-080
#[tokio::test(start_paused = true)]
async fn ten_critics_of_fifty_milliseconds_take_fifty() {
    let report = run(&plan((0..10).map(|index| clean(&format!("c-{index}"), 50)))).await;
    assert_eq!(report.elapsed(), ms(50));
}

/// Regression 13.
///
/// Verifies: CRIT-101, CRIT-102
#[tokio::test(start_paused = true)]
async fn nothing_is_held_while_something_narrower_is_waited_for() {
    let executor = with(|settings| settings.global_limit = Some(2));
    let slow = plan([clean("slow", 100).concurrency(1).priority(1)]);
    let quick = plan([clean("quick", 10)]);
    let slow_runs = join_all((0..4).map(|_| executor.run(&slow, RunInput::new("x"))));
    let quick_runs = join_all((0..3).map(|_| executor.run(&quick, RunInput::new("x"))));
    let (_, quick) = tokio::join!(slow_runs, quick_runs);
    let longest = quick.iter().map(|report| report.as_ref().unwrap().elapsed()).max();
    assert_eq!(longest, Some(ms(30)), "they share the other permit");
}

/// Regression 14.
///
/// Verifies: CRIT-101, CRIT-104
#[tokio::test(start_paused = true)]
async fn slow_rates_grant_buckets_start_full_and_queueing_burns_no_token() {
    let executor = with(|settings| {
        settings.global_limit = Some(1);
        settings.run_timeout = None;
    });
    let rated = plan([clean("rated", 0).rate_limit(RateLimit::per_second(0.05))]);
    let holder = plan([clean("holder", 30_000).no_attempt_timeout().priority(1)]);
    let start = Instant::now();
    let (_, first) = tokio::join!(
        executor.run(&holder, RunInput::new("x")),
        executor.run(&rated, RunInput::new("x"))
    );
    // The token was there all the time and is taken with the permit: the next comes 20 s after that.
    assert_eq!(first.unwrap().elapsed(), ms(30_000));
    executor.run(&rated, RunInput::new("x")).await.unwrap();
    assert_eq!(start.elapsed(), ms(50_000));
}

/// Regression 15.
///
/// Verifies: CRIT-100
#[tokio::test(start_paused = true)]
async fn a_hundred_requests_make_no_more_calls_at_once_than_one() {
    let (executor, gauge) = (Executor::default(), Arc::new(Gauge::default()));
    let critics =
        (0..10).map(|index| gauged(&format!("c-{index}"), 10, &gauge, Stage::CoreAnalysis));
    let plan = plan(critics);
    join_all((0..100).map(|_| executor.run(&plan, RunInput::new("x")))).await;
    assert_eq!((gauge.peak(), gauge.calls.load(Ordering::SeqCst)), (10, 1000));
}

/// Regression 16.
///
/// Verifies: CRIT-100, CRIT-107, CRIT-108, CRIT-153
#[tokio::test(start_paused = true)]
async fn every_setting_of_an_executor_is_read_by_something() {
    let four = || plan((0..4).map(|index| clean(&format!("c-{index}"), 10)));
    let elapsed = |executor: Executor| async move {
        executor.run(&four(), RunInput::new("x")).await.unwrap().elapsed()
    };
    assert_eq!(elapsed(Executor::default()).await, ms(10));
    assert_eq!(elapsed(with(|settings| settings.global_limit = Some(1))).await, ms(40));
    let of_core = Stage::CoreAnalysis.index();
    assert_eq!(elapsed(with(|settings| settings.stage_limits[of_core] = Some(2))).await, ms(20));

    let executor = with(|settings| {
        settings.global_limit = Some(1);
        settings.queue_limit = Some(2);
    });
    let report = executor.run(&four(), RunInput::new("x")).await.unwrap();
    assert_eq!(report.decision().coverage.missing.len(), 1, "one at work, two waiting");

    let executor = with(|settings| settings.max_concurrent_runs = Some(1));
    let (plan, start) = (four(), Instant::now());
    join_all((0..3).map(|_| executor.run(&plan, RunInput::new("x")))).await;
    assert_eq!(start.elapsed(), ms(30));

    let executor = with(|settings| {
        settings.max_concurrent_runs = Some(1);
        settings.run_queue_limit = 0;
    });
    let runs = join_all((0..2).map(|_| executor.run(&plan, RunInput::new("x")))).await;
    assert_eq!(runs[1].as_ref().err(), Some(&RunError::Rejected));

    let endless = self::plan([hanging("a")]);
    let executor = with(|settings| {
        settings.run_timeout = Some(ms(70));
        settings.grace = ms(500);
    });
    assert_eq!(executor.run(&endless, RunInput::new("x")).await.unwrap().elapsed(), ms(70));
    tokio::time::sleep(ms(499)).await;
    assert_eq!(executor.activity().permits, 1, "it has the grace to end");
    tokio::time::sleep(ms(2)).await;
    assert_eq!(executor.activity().permits, 0);

    let messy = |ctx: CriticContext| async move {
        ctx.on_cleanup(CleanupWhen::Always, || tokio::time::sleep(ms(300)));
        Ok(CriticOutput::clean())
    };
    for (limit, errors) in [(200, 1), (400, 0)] {
        let executor = with(|settings| settings.cleanup_limit = ms(limit));
        executor.run(&self::plan([CriticSpec::new("a", messy)]), RunInput::new("x")).await.unwrap();
        tokio::time::sleep(ms(1000)).await;
        assert_eq!(executor.incidents().cleanup_errors, errors);
    }
}

/// Regression 28.
///
/// Verifies: CRIT-086
#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_is_as_urgent_as_anybody() {
    for (interval, first) in [(20, "patient"), (10_000, "urgent")] {
        let executor = with(|settings| {
            settings.global_limit = Some(1);
            settings.aging_interval = ms(interval);
        });
        let run = |name: &'static str, priority: u8, after: u64, millis: u64| {
            let (executor, plan) =
                (executor.clone(), plan([clean(name, millis).priority(priority)]));
            async move {
                tokio::time::sleep(ms(after)).await;
                executor.run(&plan, RunInput::new("x")).await.unwrap();
                (Instant::now(), name)
            }
        };
        let ends = [run("holder", 1, 0, 200), run("patient", 10, 1, 10), run("urgent", 1, 190, 10)];
        let mut ends = join_all(ends).await;
        ends.sort_unstable();
        assert_eq!(ends[1].1, first, "an interval of {interval} ms");
    }
}

/// Regression 33.
///
/// Verifies: CRIT-202, CRIT-203
#[tokio::test(start_paused = true)]
async fn attempts_at_once_do_not_overshoot_a_budget_and_an_empty_purse_allows_nothing() {
    let critics = (0..10).map(|index| clean(&format!("c-{index}"), 10).cost(MicroDollars(30)));
    let plan = ExecutionPlan::builder()
        .critics(critics)
        .budget(MicroDollars(100), OnExhausted::SkipCritic)
        .build()
        .unwrap();
    let report = run(&plan).await;
    assert_eq!(report.cost().total.spent, MicroDollars(90));
    assert_eq!(report.decision().coverage.missing.len(), 7);
    assert_eq!(report.decision().verdict, Verdict::Escalate);
}

/// Regression 34.
///
/// Verifies: CRIT-135
#[tokio::test(start_paused = true)]
async fn an_outage_is_not_met_with_a_multiple_of_the_load() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let down = move |_ctx: CriticContext| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Err::<CriticOutput, _>(CriticError::transient("down")) }
    };
    let retry = RetryPolicy { base: ms(1), jitter: Jitter::None, ..RetryPolicy::attempts(5) };
    let (plan, executor) =
        (plan([CriticSpec::new("down", down).retry(retry)]), Executor::default());
    let start = Instant::now();
    for _ in 0..2000 {
        executor.run(&plan, RunInput::new("x")).await.unwrap();
    }
    // A fifth on top, and ten a second for the window and the time it took.
    let floor = 10.0 * (10.0 + start.elapsed().as_secs_f64());
    let calls = calls.load(Ordering::SeqCst);
    assert!(calls as f64 <= 2000.0 * 1.2 + floor, "{calls} calls");
    assert!(calls > 2000 && executor.incidents().retry_budget_exhausted > 0);
}

/// Regression 36.
///
/// Verifies: CRIT-105, CRIT-300
#[tokio::test(start_paused = true)]
async fn limiter_and_breaker_keep_to_the_executors_clock() {
    let rated = plan([clean("rated", 0).rate_limit(RateLimit::per_second(4.0))]);
    let executor = Executor::default();
    let mut starts = Vec::new();
    let start = Instant::now();
    for _ in 0..9 {
        executor.run(&rated, RunInput::new("x")).await.unwrap();
        starts.push(start.elapsed());
    }
    assert_eq!(starts, (0..9).map(|index| ms(250 * index)).collect::<Vec<_>>());

    let policy = critic_executor::BreakerPolicy::consecutive(1);
    let broken = plan([failing("api", 0, || CriticError::transient("no")).breaker(policy)]);
    let mut statuses = Vec::new();
    for wait in [0, 0, 29_999, 1] {
        tokio::time::sleep(ms(wait)).await;
        let report = executor.run(&broken, RunInput::new("x")).await.unwrap();
        statuses.push(report.critics()[0].status.as_str());
    }
    assert_eq!(statuses, ["failed", "circuit_open", "circuit_open", "failed"]);
}

/// Regression 39.
///
/// Verifies: CRIT-080, CRIT-082
#[tokio::test(start_paused = true)]
async fn a_slow_sibling_stalls_no_branch_that_does_not_need_it() {
    let report = run(&plan([
        clean("slow", 1000),
        clean("quick", 10),
        clean("next", 20).requires(["quick"]),
        clean("deep", 30).stage(Stage::DeepAnalysis).requires(["next"]),
    ]))
    .await;
    assert_eq!(report.elapsed(), ms(1000));
    assert!(report.critics().iter().all(|critic| critic.status.is_answer()));
    // Alone, the branch ends after 60 ms, and a stage after it would begin then but for the slow one.
    let executor = Executor::default();
    let branch = ExecutionPlan::builder()
        .critics([
            clean("slow", 1000),
            clean("quick", 10),
            clean("deep", 30).stage(Stage::DeepAnalysis).requires(["quick"]).total_timeout(ms(50)),
        ])
        .run_timeout(ms(60))
        .build()
        .unwrap();
    let report = executor.run(&branch, RunInput::new("x")).await.unwrap();
    assert!(report.critic("deep").unwrap().status.is_answer(), "it had ended long before");
    assert_eq!(report.critic("slow").unwrap().status.as_str(), "timed_out");
}
