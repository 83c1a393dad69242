//! Deadlines, cancellation, and what is left behind.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use critic_executor::{
    AnswerSource, CancelReason, CancellationRegistry, CriticContext, CriticError, CriticOutput,
    CriticSpec, ErrorKind, ExecutionPlan, Executor, Finding, GuardRun, HookDelivery, HookError,
    HookEvent, Hooks, Jitter, Node, NodeContext, PipelineActivity, PipelineExecutor,
    PipelineSettings, Policy, RetryPolicy, RunCanceller, RunInfo, RunInput, RunOptions, Stage,
    Status, TimeoutScope, Verdict, guard,
};
use tokio::time::Instant;

use crate::support::{Gauge, clean, failing, found, gauged, hanging, ms, plan, run, settled};

/// Regression 10.
///
/// Verifies: CRIT-122, CRIT-133
#[tokio::test(start_paused = true)]
async fn delays_and_retries_stay_within_stage_and_run() {
    let retry = RetryPolicy { base: ms(300), jitter: Jitter::None, ..RetryPolicy::attempts(9) };
    let flaky = || failing("flaky", 100, || CriticError::transient("no")).retry(retry);
    let builder = || ExecutionPlan::builder().critic(flaky());
    let limits =
        [builder().stage_timeout(Stage::CoreAnalysis, ms(1000)), builder().run_timeout(ms(1000))];
    for builder in limits {
        let report = run(&builder.build().unwrap()).await;
        // 100, 300 of waiting, 100: the next delay of 600 would end after the second is over.
        assert_eq!((report.critics()[0].attempts.len(), report.elapsed()), (2, ms(500)));
    }
}

/// Regression 11.
///
/// Verifies: CRIT-124
#[tokio::test(start_paused = true)]
async fn the_deadlines_of_stage_and_run_end_what_they_are_for() {
    let builder = || ExecutionPlan::builder().critic(hanging("slow"));
    let cases = [
        (builder().stage_timeout(Stage::CoreAnalysis, ms(70)), TimeoutScope::Stage),
        (builder().run_timeout(ms(70)), TimeoutScope::Run),
    ];
    for (builder, scope) in cases {
        let (start, report) = (Instant::now(), run(&builder.build().unwrap()).await);
        assert_eq!((start.elapsed(), report.elapsed()), (ms(70), ms(70)));
        assert_eq!(report.critics()[0].status, Status::TimedOut { scope });
    }
}

/// Regression 12.
///
/// Verifies: CRIT-136
#[tokio::test(start_paused = true)]
async fn after_timeouts_only_the_status_is_a_timeout_and_the_time_is_told() {
    let retry = RetryPolicy { base: ms(10), jitter: Jitter::None, ..RetryPolicy::attempts(3) };
    let report = run(&plan([hanging("slow").attempt_timeout(ms(40)).retry(retry)])).await;
    let critic = &report.critics()[0];
    assert_eq!(critic.status, Status::TimedOut { scope: TimeoutScope::Attempt });
    let attempts: Vec<_> =
        critic.attempts.iter().map(|a| (a.outcome.as_str(), a.duration, a.delay)).collect();
    let timed_out = |delay| ("timed_out", ms(40), delay);
    assert_eq!(attempts, [timed_out(Some(ms(10))), timed_out(Some(ms(20))), timed_out(None)]);
    assert_eq!((critic.execution_time, report.elapsed()), (ms(120), ms(150)));
}

/// Regression 18.
///
/// Verifies: CRIT-182
#[tokio::test(start_paused = true)]
async fn hooks_and_counts_do_not_forget_who_was_gated() {
    #[derive(Default)]
    struct Finished(AtomicUsize);
    #[async_trait]
    impl Hooks for Finished {
        async fn on_event(&self, _run: &RunInfo, event: &HookEvent) -> Result<(), HookError> {
            if matches!(event, HookEvent::CriticFinished { status: Status::Gated { .. }, .. }) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        }
    }
    let finished = Arc::new(Finished::default());
    let hooks: Arc<dyn Hooks> = Arc::<Finished>::clone(&finished);
    let executor = Executor::builder().hooks(hooks, HookDelivery::default()).build();
    let gated = (0..5).map(|index| clean(&format!("g-{index}"), 1).policy(Policy::OnViolation));
    let plan = plan(gated.chain([clean("fast", 1).stage(Stage::FastCritics)]));
    let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
    assert_eq!((report.critics().len(), report.decision().coverage.gated.len()), (6, 5));
    assert_eq!(finished.0.load(Ordering::SeqCst), 5);
}

/// Regression 22.
///
/// Verifies: CRIT-152, CRIT-155, CRIT-174
#[tokio::test(start_paused = true)]
async fn a_node_that_was_cut_commits_nothing_later() {
    let committed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&committed);
    let commits = Node::new("commits", move |value: u64, _ctx: NodeContext| {
        let count = Arc::clone(&count);
        async move {
            tokio::time::sleep(ms(700)).await;
            count.fetch_add(1, Ordering::SeqCst);
            Ok(value)
        }
    });
    let pipeline = PipelineExecutor::new(PipelineSettings::pipeline(), [commits]).unwrap();
    assert!(pipeline.run("p", 1).await.unwrap_err().is_timeout());
    tokio::time::sleep(ms(5000)).await;
    assert_eq!(committed.load(Ordering::SeqCst), 0);
    assert_eq!(pipeline.activity(), PipelineActivity::default());
}

/// Regression 23.
///
/// Verifies: CRIT-155
#[tokio::test(start_paused = true)]
async fn timeouts_leave_no_task_behind() {
    let executor = Executor::default();
    let slow = plan([hanging("a").attempt_timeout(ms(1)), hanging("b").attempt_timeout(ms(2))]);
    for _ in 0..200 {
        executor.run(&slow, RunInput::new("x")).await.unwrap();
    }
    settled(&executor).await;
    let alive = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!((executor.activity().tasks, alive), (0, 0));
}

/// Regression 24.
///
/// Verifies: CRIT-158
#[tokio::test(start_paused = true)]
async fn the_registry_reaches_what_runs_and_forgets_what_has_ended() {
    let (registry, executor) = (CancellationRegistry::new(), Executor::default());
    let (slow, quick) = (plan([hanging("a")]), plan([clean("a", 1)]));
    for (plan, is_cancelled) in [(&slow, true), (&quick, false)] {
        let options = RunOptions::new().registered(registry.register("r").unwrap());
        let run = executor.run_with(plan, RunInput::new("x"), options);
        let cancel = async {
            tokio::time::sleep(ms(10)).await;
            registry.cancel("r", CancelReason::User("enough".into()))
        };
        let (report, was_there) = tokio::join!(run, cancel);
        assert_eq!(
            (report.unwrap().cancelled().is_some(), was_there),
            (is_cancelled, is_cancelled)
        );
        assert!(registry.is_empty());
    }
}

/// Regression 25.
///
/// Verifies: CRIT-124, CRIT-172
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_grace_of_what_was_cut() {
    let deaf = |ctx: CriticContext| async move {
        ctx.on_cleanup(critic_executor::CleanupWhen::Always, || tokio::time::sleep(ms(90)));
        std::future::pending::<()>().await;
        Ok(CriticOutput::clean())
    };
    let report = run(&plan([CriticSpec::new("deaf", deaf).attempt_timeout(ms(50))])).await;
    assert_eq!(report.elapsed(), ms(50));
}

/// Regression 26.
///
/// Verifies: CRIT-123, CRIT-127, CRIT-151
#[tokio::test(start_paused = true)]
async fn a_cancellation_is_no_error_and_a_critics_own_timeout_not_the_executors() {
    let canceller = RunCanceller::new();
    let options = RunOptions::new().canceller(&canceller);
    canceller.cancel(CancelReason::User("enough".into()));
    let executor = Executor::default();
    let report = executor.run_with(&plan([hanging("a")]), RunInput::new("x"), options).await;
    assert_eq!(report.unwrap().cancelled().map(CancelReason::as_str), Some("user"));

    let impatient = |_ctx: CriticContext| async {
        tokio::time::timeout(ms(10), std::future::pending::<()>()).await?;
        Ok(CriticOutput::clean())
    };
    let report = run(&plan([CriticSpec::new("impatient", impatient)])).await;
    assert!(
        matches!(report.critics()[0].status, Status::Failed { kind: ErrorKind::Permanent, .. }),
        "{:?}",
        report.critics()[0].status
    );
}

/// Regression 37.
///
/// Verifies: CRIT-235
#[tokio::test(start_paused = true)]
async fn a_guard_that_trips_stops_the_call_and_its_siblings_and_lets_nothing_out() {
    let executor = Executor::default();
    let (calls, siblings) = (Arc::new(Gauge::default()), Arc::new(Gauge::default()));
    let plan = ExecutionPlan::builder()
        .critics([
            found("trips", 20, Finding::new(0.95)),
            gauged("sibling", 60_000, &siblings, Stage::CoreAnalysis),
        ])
        .early_stop(Verdict::Block)
        .build()
        .unwrap();
    let inside = Arc::clone(&calls);
    let call = async move {
        let _inside = inside.enter();
        tokio::time::sleep(ms(60_000)).await;
        Ok::<_, Infallible>("reply")
    };
    let start = Instant::now();
    let result = guard(GuardRun::alongside(&executor, &plan, RunInput::new("x")), call).await;
    assert!(result.is_err() && start.elapsed() <= ms(120), "{:?}", start.elapsed());
    assert_eq!(calls.now(), 0);
    settled(&executor).await;
    assert_eq!((siblings.now(), siblings.peak()), (0, 1));
}

/// Regression 38.
///
/// Verifies: CRIT-127, CRIT-185
#[tokio::test(start_paused = true)]
async fn a_failure_that_a_fallback_handled_is_not_raised_again_by_others() {
    let stand_in = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
    let plan = ExecutionPlan::builder()
        .critics([
            failing("handled", 5, || CriticError::permanent("no")).fallback(stand_in),
            clean("beside", 50),
            clean("next", 1).requires(["handled"]),
        ])
        .fail_fast()
        .build()
        .unwrap();
    let report = run(&plan).await;
    assert!(report.cancelled().is_none());
    assert_eq!(report.decision().verdict, Verdict::Allow);
    let source = AnswerSource::Fallback;
    assert_eq!(report.critic("handled").unwrap().status, Status::Succeeded { source });
    assert!(report.critic("next").unwrap().status.is_answer());
}
