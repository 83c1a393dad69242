//! When time begins, when it is up, and what comes too late.

use std::sync::{Arc, Mutex};

use critic_executor::{
    CriticContext, CriticOutput, CriticSpec, ExecutionHint, ExecutionPlan, Executor,
    ExecutorSettings, RateLimit, RejectReason, RunInput, Stage, StageMode, Status, TimeoutScope,
};
use tokio::time::{Instant, advance};

use crate::support::{clean, hanging, ms, plan, run, settled};

fn of_one() -> Executor {
    Executor::new(ExecutorSettings { global_limit: Some(1), ..ExecutorSettings::default() })
}

fn scope_of(status: &Status) -> Option<TimeoutScope> {
    match status {
        Status::TimedOut { scope } => Some(*scope),
        _ => None,
    }
}

/// Verifies: CRIT-121
#[tokio::test(start_paused = true)]
async fn a_runs_time_begins_with_the_call_while_it_waits_for_its_place() {
    let settings = ExecutorSettings { max_concurrent_runs: Some(1), ..ExecutorSettings::default() };
    let executor = Executor::new(settings);
    let first = plan([clean("first", 80)]);
    let second = ExecutionPlan::builder().critic(clean("second", 50)).run_timeout(ms(100));
    let second = second.build().unwrap();
    let (_, report) = tokio::join!(
        executor.run(&first, RunInput::new("x")),
        executor.run(&second, RunInput::new("x"))
    );
    let report = report.unwrap();
    assert_eq!(scope_of(&report.critics()[0].status), Some(TimeoutScope::Run));
    assert_eq!(report.elapsed(), ms(100));
}

/// Verifies: CRIT-121
#[tokio::test(start_paused = true)]
async fn a_stages_time_begins_when_all_earlier_stages_have_ended_in_both_modes() {
    for mode in [StageMode::Relaxed, StageMode::Strict] {
        let plan = ExecutionPlan::builder()
            .mode(mode)
            .critics([
                clean("fast", 70).stage(Stage::FastCritics),
                hanging("core").attempt_timeout(ms(500)),
            ])
            .stage_timeout(Stage::CoreAnalysis, ms(100))
            .build()
            .unwrap();
        let report = run(&plan).await;
        let core = report.critic("core").unwrap();
        assert_eq!(scope_of(&core.status), Some(TimeoutScope::Stage), "{mode:?}");
        assert_eq!(report.elapsed(), ms(170), "{mode:?}");
    }
}

/// Verifies: CRIT-121, CRIT-122
#[tokio::test(start_paused = true)]
async fn a_critics_time_begins_when_it_is_ready_and_an_attempts_when_it_is_admitted() {
    let executor = of_one();
    let plan = plan([
        clean("a holder", 60).priority(1),
        hanging("b attempt").attempt_timeout(ms(100)).priority(2),
        hanging("c total").total_timeout(ms(100)).priority(3),
        hanging("d queue").queue_timeout(ms(40)).priority(4),
        hanging("e late").stage(Stage::PostProcessing).total_timeout(ms(30)),
    ]);
    let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
    let of = |name: &str| report.critic(name).unwrap();
    let ended = |name: &str| {
        let critic = of(name);
        (scope_of(&critic.status), critic.queue_time, critic.execution_time)
    };
    // Admitted after 60 ms, it has 100 ms of its own.
    assert_eq!(ended("b attempt"), (Some(TimeoutScope::Attempt), ms(60), ms(100)));
    // Ready at once, it has used up its time in the queue, and the other its patience.
    assert_eq!(ended("c total"), (Some(TimeoutScope::Critic), ms(100), ms(0)));
    assert_eq!(ended("d queue"), (Some(TimeoutScope::Queue), ms(40), ms(0)));
    // Ready only after the barrier, when all the others had ended; the cut one has the permit for the grace.
    assert_eq!(ended("e late"), (Some(TimeoutScope::Critic), ms(30), ms(0)));
    assert_eq!(report.elapsed(), ms(160 + 30));
    settled(&executor).await;
}

/// Verifies: CRIT-126
#[tokio::test(start_paused = true)]
async fn a_result_that_comes_within_the_grace_is_dropped_and_counted() {
    let executor = Executor::default();
    let late = |hint| {
        let critic = |_ctx: CriticContext| async {
            tokio::time::sleep(ms(80)).await;
            Ok(CriticOutput::clean())
        };
        CriticSpec::new("late", critic).attempt_timeout(ms(50)).hint(hint)
    };
    let plan = ExecutionPlan::builder()
        .critics([late(ExecutionHint::Spawn), clean("other", 200)])
        .build()
        .unwrap();
    let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
    let critic = report.critic("late").unwrap();
    assert_eq!(scope_of(&critic.status), Some(TimeoutScope::Attempt));
    assert!(critic.finding().is_none() && critic.attempts.len() == 1);
    assert_eq!((executor.incidents().late_results, critic.execution_time), (1, ms(50)));

    // A result at the very instant of the deadline is late as well.
    let tie = self::plan([clean("tie", 50).attempt_timeout(ms(50))]);
    let report = executor.run(&tie, RunInput::new("x")).await.unwrap();
    assert_eq!(scope_of(&report.critics()[0].status), Some(TimeoutScope::Attempt));
    settled(&executor).await;
}

/// Verifies: CRIT-106
#[tokio::test(start_paused = true)]
async fn who_cannot_start_in_time_ends_at_once_with_the_scope_of_the_deadline() {
    let rated = || clean("rated", 0).rate_limit(RateLimit::per_second(0.1));
    let narrow = |spec: CriticSpec| ExecutionPlan::builder().critic(spec);
    let cases = [
        (narrow(rated().queue_timeout(ms(500))), TimeoutScope::Queue),
        (narrow(rated().total_timeout(ms(500))), TimeoutScope::Critic),
        (narrow(rated()).stage_timeout(Stage::CoreAnalysis, ms(500)), TimeoutScope::Stage),
        (narrow(rated()).run_timeout(ms(500)), TimeoutScope::Run),
    ];
    for (builder, scope) in cases {
        let (plan, executor) = (builder.build().unwrap(), Executor::default());
        executor.run(&plan, RunInput::new("x")).await.unwrap();
        let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
        assert_eq!(scope_of(&report.critics()[0].status), Some(scope));
        assert_eq!(report.elapsed(), ms(0));
        settled(&executor).await;
    }
}

/// Blocks its thread until it is let go.
fn stuck(name: &str, gate: &Arc<Mutex<std::sync::mpsc::Receiver<()>>>) -> CriticSpec {
    let gate = Arc::clone(gate);
    let critic = move |_ctx: CriticContext| {
        let gate = Arc::clone(&gate);
        async move {
            let _let_go = gate.lock().unwrap().recv();
            Ok(CriticOutput::clean())
        }
    };
    CriticSpec::new(name, critic).hint(ExecutionHint::Blocking).attempt_timeout(ms(50))
}

/// The clock stands still while a thread is blocked, so it is moved by hand.
async fn run_out(executor: &Executor, plan: &ExecutionPlan) -> Status {
    let run = executor.run(plan, RunInput::new("x"));
    let moves = async {
        for _ in 0..60 {
            tokio::task::yield_now().await;
            advance(ms(1)).await;
        }
    };
    let (report, ()) = tokio::join!(run, moves);
    report.unwrap().critics()[0].status.clone()
}

/// Regression 32.
///
/// Verifies: CRIT-156, CRIT-155
#[tokio::test(start_paused = true)]
async fn a_blocked_thread_is_settled_on_time_and_keeps_its_permits_until_it_returns() {
    let (let_go, gate) = std::sync::mpsc::channel();
    let gate = Arc::new(Mutex::new(gate));
    let executor =
        Executor::new(ExecutorSettings { max_detached_blocking: 1, ..ExecutorSettings::default() });
    let stuck = |name: &str| plan([stuck(name, &gate)]);
    let start = Instant::now();
    let timed_out = Status::TimedOut { scope: TimeoutScope::Attempt };
    for (index, name) in ["first", "second"].iter().enumerate() {
        assert_eq!(run_out(&executor, &stuck(name)).await, timed_out);
        let activity = executor.activity();
        assert_eq!((activity.detached_blocking, activity.permits), (index + 1, index + 1));
    }
    assert!(start.elapsed() >= ms(100));
    // Long after grace and cleanup they still hold what they hold, and no more may start.
    advance(ms(10_000)).await;
    assert_eq!(executor.activity().permits, 2);
    let saturated = Status::Rejected { reason: RejectReason::BlockingSaturated };
    assert_eq!(run_out(&executor, &stuck("third")).await, saturated);
    let other = executor.run(&plan([clean("async", 0)]), RunInput::new("x")).await.unwrap();
    assert!(other.critics()[0].status.is_answer(), "others are not stopped");
    for _ in 0..2 {
        let_go.send(()).unwrap();
    }
    while executor.activity() != critic_executor::Activity::default() {
        tokio::task::yield_now().await;
    }
    assert_eq!(executor.incidents().late_results, 2);
    let_go.send(()).unwrap();
    let status = executor.run(&stuck("again"), RunInput::new("x")).await.unwrap();
    assert!(status.critics()[0].status.is_answer());
}
