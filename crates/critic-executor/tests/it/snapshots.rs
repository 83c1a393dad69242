use critic_executor::{
    BreakerPolicy, BreakerState, CriticSpec, ExecutionPlan, Executor, ExecutorSettings, PermitUse,
    PlanBuilder, RateLimit, RunInput, RunOptions, RunTimeout, Stage, Status, TimeoutScope,
};

use crate::support::{clean, hanging, ms, plan};

/// Verifies: CRIT-224
#[tokio::test(start_paused = true)]
async fn a_snapshot_shows_queue_permits_breakers_tokens_and_attempts_with_their_ages() {
    let settings = ExecutorSettings { global_limit: Some(2), ..ExecutorSettings::default() };
    let executor = Executor::new(settings);
    let plan = plan([
        clean("a", 400).rate_limit(RateLimit::per_second(0.5)).priority(1),
        clean("b", 100).breaker(BreakerPolicy::consecutive(1)).priority(2),
        clean("c", 400).stage(Stage::FastCritics).priority(3),
    ]);
    let options = RunOptions::new().run_id("order 7");
    let run = executor.run_with(&plan, RunInput::new("text"), options);
    let mut run = std::pin::pin!(run);
    assert!(tokio::time::timeout(ms(150), &mut run).await.is_err());

    let snapshot = executor.snapshot();
    assert_eq!((snapshot.queue_depth, snapshot.runs, snapshot.waiting_runs), (0, 1, 0));
    assert_eq!(snapshot.permits, PermitUse { in_use: 2, limit: Some(2) });
    assert_eq!(snapshot.stages[Stage::FastCritics.index()].in_use, 1);
    let attempts: Vec<_> = snapshot
        .attempts
        .iter()
        .map(|attempt| (&*attempt.critic, &*attempt.run_id, attempt.age))
        .collect();
    assert_eq!(attempts, [("a", "order 7", ms(150)), ("c", "order 7", ms(50))]);
    let [a, b, _] = &snapshot.critics[..] else { panic!("three names") };
    assert_eq!((a.in_use, a.next_token), (1, Some(ms(1850))));
    assert_eq!((b.in_use, b.breaker), (0, Some(BreakerState::Closed)));

    run.await.unwrap();
    let snapshot = executor.snapshot();
    assert!(snapshot.attempts.is_empty());
    assert_eq!(snapshot.permits.in_use, 0);
}

/// Verifies: CRIT-224
#[tokio::test(start_paused = true)]
async fn a_snapshot_shows_who_waits() {
    let settings = ExecutorSettings {
        global_limit: Some(1),
        max_concurrent_runs: Some(1),
        ..ExecutorSettings::default()
    };
    let executor = Executor::new(settings);
    let plan = plan(["a", "b", "c"].map(|name| clean(name, 100)));
    let runs = [executor.run(&plan, RunInput::new("1")), executor.run(&plan, RunInput::new("2"))];
    let both = futures_util::future::join_all(runs);
    assert!(tokio::time::timeout(ms(10), both).await.is_err());
    // The runs are gone with the future; one more is looked at while it waits.
    let run = executor.run(&plan, RunInput::new("3"));
    let other = executor.run(&plan, RunInput::new("4"));
    let look = async {
        tokio::time::sleep(ms(250)).await;
        executor.snapshot()
    };
    let (_, _, snapshot) = tokio::join!(run, other, look);
    assert_eq!((snapshot.waiting_runs, snapshot.queue_depth), (1, 1));
}

async fn times_out_at(plan: &ExecutionPlan) -> (Status, std::time::Duration) {
    let executor = Executor::new(ExecutorSettings::pipeline());
    let report = executor.run(plan, RunInput::new("text")).await.unwrap();
    (report.critics()[0].status.clone(), report.elapsed())
}

/// Verifies: CRIT-171
#[tokio::test(start_paused = true)]
async fn plans_have_the_presets_of_pipelines() {
    let slow = || hanging("slow");
    let attempt = Status::TimedOut { scope: TimeoutScope::Attempt };
    let plan = PlanBuilder::pipeline().critic(slow()).build().unwrap();
    assert_eq!(times_out_at(&plan).await, (attempt.clone(), ms(250)));
    let strict = PlanBuilder::pipeline_strict().critic(slow()).build().unwrap();
    assert_eq!(times_out_at(&strict).await, (attempt.clone(), ms(200)));
    let own = PlanBuilder::pipeline().critic(slow().attempt_timeout(ms(300))).build().unwrap();
    assert_eq!(times_out_at(&own).await, (attempt, ms(300)));
    let long: CriticSpec = slow().no_attempt_timeout();
    let run = PlanBuilder::pipeline().critic(long).build().unwrap();
    assert_eq!(run.run_timeout(), RunTimeout::After(ms(500)));
    assert_eq!(times_out_at(&run).await, (Status::TimedOut { scope: TimeoutScope::Run }, ms(500)));

    let settings = ExecutorSettings::pipeline();
    assert_eq!((settings.max_concurrent_runs, settings.grace), (Some(10), ms(100)));
    assert_eq!(settings.run_timeout, Some(ms(500)));
}
