//! What is left after runs that went every way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use critic_executor::{
    BreakerPolicy, CancelReason, CancellationRegistry, CleanupWhen, CriticContext, CriticError,
    CriticOutput, CriticSpec, ExecutionHint, ExecutionPlan, Executor, ExecutorSettings, RateLimit,
    RetryPolicy, RunCanceller, RunInput, RunOptions, Stage, Status, TimeoutScope, Verdict,
};
use tokio::time::Instant;

use crate::support::{
    Gauge, clean, failing, gauged, hanging, ms, panicking, plan, run, settled, statuses,
};

/// Verifies: CRIT-155, CRIT-103, CRIT-152
#[tokio::test(start_paused = true)]
async fn ten_thousand_random_cancellations_leave_nothing() {
    let inside = Arc::new(Gauge::default());
    let cleanups = Arc::new(AtomicUsize::new(0));
    let critic = |name: &str, hint| {
        let (inside, cleanups) = (Arc::clone(&inside), Arc::clone(&cleanups));
        let critic = move |ctx: CriticContext| {
            let (inside, cleanups) = (Arc::clone(&inside), Arc::clone(&cleanups));
            async move {
                let _inside = inside.enter();
                ctx.on_cleanup(CleanupWhen::Always, move || async move {
                    cleanups.fetch_add(1, Ordering::SeqCst);
                });
                let number: u64 = ctx.input().parse()?;
                tokio::time::sleep(ms(number % 37)).await;
                match number % 5 {
                    0 => panic!("a critic may panic"),
                    1 => Err(CriticError::transient("again")),
                    2 => std::future::pending().await,
                    _ => Ok(CriticOutput::clean()),
                }
            }
        };
        CriticSpec::new(name, critic).hint(hint).attempt_timeout(ms(25))
    };
    let plan = plan([
        critic("spawned", ExecutionHint::Spawn).retry(RetryPolicy::attempts(2)).concurrency(3),
        critic("inline", ExecutionHint::Inline).rate_limit(RateLimit::per_second(500.0).burst(5)),
        critic("probed", ExecutionHint::Spawn).breaker(BreakerPolicy::consecutive(3)),
        critic("blocking", ExecutionHint::Blocking).concurrency(2),
        critic("gated", ExecutionHint::Spawn)
            .stage(Stage::DeepAnalysis)
            .policy(critic_executor::Policy::OnViolation),
    ]);
    let executor =
        Executor::new(ExecutorSettings { queue_limit: Some(60), ..ExecutorSettings::default() });
    let mut random = 7_u64;
    let mut next = move || {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let registry = CancellationRegistry::new();
    for round in 0..500 {
        let runs = (0..20).map(|run| {
            let (executor, plan, number, after, way) =
                (executor.clone(), plan.clone(), next(), next() % 60, next() % 4);
            let registry = &registry;
            async move {
                let canceller = RunCanceller::new();
                let mut options = RunOptions::new().seed(number).canceller(&canceller);
                let id = format!("{round}-{run}");
                if way == 3 {
                    options = options.registered(registry.register(&*id).unwrap());
                }
                let run = executor.run_with(&plan, RunInput::new(number.to_string()), options);
                let mut run = Box::pin(run);
                if tokio::time::timeout(ms(after), &mut run).await.is_err() {
                    match way {
                        0 => drop(run),
                        1 => {
                            canceller.cancel(CancelReason::User("enough".into()));
                            assert!(run.await.unwrap().cancelled().is_some());
                        }
                        3 => {
                            registry.cancel(&id, CancelReason::User("enough".into()));
                            assert!(run.await.unwrap().cancelled().is_some());
                        }
                        _ => drop(run.await.unwrap()),
                    }
                }
            }
        });
        futures_util::future::join_all(runs).await;
    }
    settled(&executor).await;
    assert!(registry.is_empty() && registry.cleanups_running() == 0);
    // Not even a task that the executor does not count.
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    assert_eq!(inside.now(), 0);
    assert_eq!(cleanups.load(Ordering::SeqCst), inside.calls.load(Ordering::SeqCst));
}

/// Verifies: CRIT-124, CRIT-125, CRIT-123
#[tokio::test(start_paused = true)]
async fn a_run_returns_exactly_at_its_deadline_with_what_it_has() {
    let builder = ExecutionPlan::builder().critics([
        clean("quick", 10),
        hanging("slow"),
        clean("next", 1).requires(["slow"]),
    ]);
    let plan = builder.run_timeout(ms(300)).build().unwrap();
    let executor = Executor::default();
    let start = Instant::now();
    let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
    assert_eq!(start.elapsed(), ms(300));
    assert!(report.critic("quick").unwrap().output.is_some());
    for name in ["slow", "next"] {
        assert_eq!(
            report.critic(name).unwrap().status,
            Status::TimedOut { scope: TimeoutScope::Run }
        );
    }
    assert_eq!(report.decision().verdict, Verdict::Escalate);
    settled(&executor).await;
}

/// Verifies: CRIT-123, CRIT-120
#[tokio::test(start_paused = true)]
async fn of_deadlines_at_one_instant_the_widest_is_named() {
    let spec = || hanging("slow").attempt_timeout(ms(100));
    let attempt = run(&plan([spec()])).await;
    let critic = run(&plan([spec().total_timeout(ms(100))])).await;
    let stage = ExecutionPlan::builder()
        .critic(spec().total_timeout(ms(100)))
        .stage_timeout(Stage::CoreAnalysis, ms(100));
    let with_stage = run(&stage.build().unwrap()).await;
    for (report, scope) in [
        (attempt, TimeoutScope::Attempt),
        (critic, TimeoutScope::Critic),
        (with_stage, TimeoutScope::Stage),
    ] {
        assert_eq!(report.critics()[0].status, Status::TimedOut { scope });
        assert_eq!(report.elapsed(), ms(100));
    }
}

/// Verifies: CRIT-104, CRIT-105
#[tokio::test(start_paused = true)]
async fn a_rate_below_one_per_second_starts_full_and_then_grants_on_time() {
    let gauge = Arc::new(Gauge::default());
    let plan = plan([
        gauged("slow", 0, &gauge, Stage::CoreAnalysis).rate_limit(RateLimit::per_second(0.01))
    ]);
    let executor =
        Executor::new(ExecutorSettings { run_timeout: None, ..ExecutorSettings::default() });
    let start = Instant::now();
    for expected in [0, 100, 200] {
        executor.run(&plan, RunInput::new("x")).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), expected);
    }
    settled(&executor).await;
}

/// Verifies: CRIT-104, CRIT-087
#[tokio::test(start_paused = true)]
async fn a_token_that_came_while_nobody_waited_is_there_for_the_next() {
    let (plan, executor) =
        (plan([clean("slow", 0).rate_limit(RateLimit::per_second(10.0))]), Executor::default());
    for _ in 0..3 {
        let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
        assert_eq!((statuses(&report), report.elapsed()), (vec![("slow", "succeeded")], ms(0)));
        tokio::time::sleep(ms(1000)).await;
    }
    settled(&executor).await;
}

/// Verifies: CRIT-106
#[tokio::test(start_paused = true)]
async fn a_token_that_comes_too_late_is_not_waited_for() {
    let spec = clean("slow", 0).rate_limit(RateLimit::per_second(0.1)).total_timeout(ms(500));
    let (plan, executor) = (plan([spec]), Executor::default());
    executor.run(&plan, RunInput::new("x")).await.unwrap();
    let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
    assert_eq!(report.critics()[0].status, Status::TimedOut { scope: TimeoutScope::Critic });
    assert_eq!(report.elapsed(), ms(0));
}

/// Regression 27.
///
/// Verifies: CRIT-140, CRIT-142, CRIT-143
#[tokio::test(start_paused = true)]
async fn a_breaker_opens_probes_and_closes_again() {
    let healthy = Arc::new(AtomicUsize::new(0));
    let flag = Arc::clone(&healthy);
    let critic = move |_ctx: CriticContext| {
        let is_healthy = flag.load(Ordering::SeqCst) == 1;
        async move {
            if is_healthy { Ok(CriticOutput::clean()) } else { Err(CriticError::transient("down")) }
        }
    };
    let plan = plan([CriticSpec::new("api", critic)
        .breaker(BreakerPolicy::consecutive(2))
        .retry(RetryPolicy::attempts(1))]);
    let executor = Executor::default();
    let mut seen = Vec::new();
    for wait_ms in [0, 0, 0, 30_000, 0, 30_000, 0, 0] {
        tokio::time::sleep(ms(wait_ms)).await;
        if seen.len() == 5 {
            healthy.store(1, Ordering::SeqCst);
        }
        let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
        seen.push(report.critics()[0].status.as_str());
    }
    let expected = [
        "failed",
        "failed",
        "circuit_open",
        "failed",
        "circuit_open",
        "succeeded",
        "succeeded",
        "succeeded",
    ];
    assert_eq!(seen, expected);
}

/// Verifies: CRIT-011
#[tokio::test(start_paused = true)]
async fn the_hint_changes_no_result() {
    let mut records = Vec::new();
    for hint in [ExecutionHint::Inline, ExecutionHint::Spawn, ExecutionHint::Blocking] {
        let report = run(&plan([
            clean("fine", 20).hint(hint),
            failing("dead", 5, || CriticError::refused("no")).hint(hint),
            panicking("panic").hint(hint),
        ]))
        .await;
        records.push((report.record().to_json(), report.elapsed()));
    }
    assert_eq!(records[0], records[1]);
    assert_eq!(records[0], records[2]);
}

/// Verifies: CRIT-153
#[tokio::test(start_paused = true)]
async fn cleanups_of_a_run_and_its_critics_run_once_and_last_registered_first_also_after_a_drop() {
    let said: Arc<Mutex<Vec<&str>>> = Arc::default();
    let note = |what: &'static str| {
        let said = Arc::clone(&said);
        move || async move {
            said.lock().unwrap().push(what);
            assert_ne!(what, "dies", "a cleanup may panic");
        }
    };
    let notes = (note("first"), note("dies"), note("cancelled"), note("last"));
    let critic = move |ctx: CriticContext| {
        ctx.on_cleanup(CleanupWhen::Always, notes.0.clone());
        ctx.on_cleanup(CleanupWhen::Always, notes.1.clone());
        ctx.on_cleanup(CleanupWhen::OnCancel, notes.2.clone());
        ctx.on_cleanup(CleanupWhen::Always, notes.3.clone());
        async move {
            let millis = ctx.input().parse()?;
            tokio::time::sleep(ms(millis)).await;
            Ok(CriticOutput::clean())
        }
    };
    let (plan, executor) = (plan([CriticSpec::new("messy", critic)]), Executor::default());
    for (millis, is_dropped) in [("5", false), ("50000", true)] {
        said.lock().unwrap().clear();
        let options = RunOptions::new()
            .on_cleanup(CleanupWhen::Always, note("run first"))
            .on_cleanup(CleanupWhen::OnCancel, note("run cancelled"))
            .on_cleanup(CleanupWhen::Always, note("run last"));
        let run = executor.run_with(&plan, RunInput::new(millis), options);
        assert_eq!(tokio::time::timeout(ms(10), run).await.is_err(), is_dropped);
        settled(&executor).await;
        let said = said.lock().unwrap();
        let of = |is_run: bool| -> Vec<&str> {
            said.iter().copied().filter(|what| what.starts_with("run") == is_run).collect()
        };
        if is_dropped {
            assert_eq!(of(false), ["last", "cancelled", "dies", "first"]);
            assert_eq!(of(true), ["run last", "run cancelled", "run first"]);
        } else {
            assert_eq!(of(false), ["last", "dies", "first"]);
            assert_eq!(of(true), ["run last", "run first"]);
        }
    }
    assert_eq!(executor.incidents().cleanup_errors, 2);
}
