//! What becomes of a permit that nobody can use any more.

use std::sync::Arc;

use critic_executor::{
    AnswerSource, BreakerPolicy, BreakerState, CancelReason, CriticContext, CriticError,
    CriticOutput, CriticSpec, ExecutionHint, ExecutionPlan, Executor, ExecutorSettings, RateLimit,
    RunCanceller, RunInput, RunOptions, Stage, Status,
};

use crate::support::{Gauge, clean, failing, gauged, ms, plan, settled};

fn of_one() -> Executor {
    Executor::new(ExecutorSettings { global_limit: Some(1), ..ExecutorSettings::default() })
}

/// A run that is polled only after the executor's only permit was given to it, at `at_ms`, by another one's end.
async fn polled_after_its_grant<T: Send + 'static>(
    executor: &Executor,
    at_ms: u64,
    late: impl Future<Output = T> + Send + 'static,
) -> T {
    let holder = clean("holder", at_ms).hint(ExecutionHint::Inline);
    let holder = plan([holder]);
    let mut others = tokio::task::JoinSet::new();
    let mut holding = Box::pin(executor.run(&holder, RunInput::new("x")));
    assert!(futures_util::poll!(&mut holding).is_pending());
    others.spawn(late);
    // The test's own task is woken first, and its end is what grants.
    holding.await.unwrap();
    others.join_next().await.unwrap().unwrap()
}

/// Verifies: CRIT-104, CRIT-103
#[tokio::test(start_paused = true)]
async fn a_grant_to_a_run_that_is_cancelled_gives_back_permit_and_token() {
    let executor = of_one();
    let gauge = Arc::new(Gauge::default());
    let slow = gauged("slow", 0, &gauge, Stage::CoreAnalysis);
    let slow = plan([slow.rate_limit(RateLimit::per_second(0.01))]);
    let canceller = RunCanceller::new();
    let waiting = {
        let (executor, slow, canceller) = (executor.clone(), slow.clone(), canceller.clone());
        async move {
            let options = RunOptions::new().canceller(&canceller);
            let cancel = async {
                tokio::time::sleep(ms(100)).await;
                canceller.cancel(CancelReason::User("enough".into()));
            };
            let run = executor.run_with(&slow, RunInput::new("x"), options);
            tokio::join!(run, cancel).0.unwrap()
        }
    };
    let report = polled_after_its_grant(&executor, 100, waiting).await;
    assert!(report.cancelled().is_some() && report.critics()[0].attempts.is_empty());
    let next = executor.run(&slow, RunInput::new("x")).await.unwrap();
    assert_eq!((next.critics()[0].status.is_answer(), next.elapsed()), (true, ms(0)));
    assert_eq!(gauge.calls.load(std::sync::atomic::Ordering::SeqCst), 1);
    settled(&executor).await;
}

/// Verifies: CRIT-120, CRIT-185
#[tokio::test(start_paused = true)]
async fn a_grant_at_the_end_of_the_wait_starts_nothing_beside_the_fallback() {
    let executor = of_one();
    let gauge = Arc::new(Gauge::default());
    let stand_in = |_ctx: CriticContext| async {
        tokio::time::sleep(ms(10)).await;
        Ok(CriticOutput::clean())
    };
    let waiter = gauged("waiter", 50, &gauge, Stage::CoreAnalysis);
    let waiter = plan([waiter.queue_timeout(ms(100)).fallback(stand_in)]);
    let waiting = {
        let executor = executor.clone();
        async move { executor.run(&waiter, RunInput::new("x")).await.unwrap() }
    };
    let report = polled_after_its_grant(&executor, 100, waiting).await;
    let source = AnswerSource::Fallback;
    assert_eq!(report.critics()[0].status, Status::Succeeded { source });
    assert_eq!((report.critics()[0].attempts.len(), report.elapsed()), (0, ms(110)));
    assert_eq!(gauge.calls.load(std::sync::atomic::Ordering::SeqCst), 0);
    settled(&executor).await;
}

fn with_breaker(spec: CriticSpec) -> ExecutionPlan {
    plan([spec.breaker(BreakerPolicy::consecutive(1))])
}

/// Verifies: CRIT-140
#[tokio::test(start_paused = true)]
async fn an_attempt_let_through_by_one_breaker_counts_in_no_later_one() {
    let executor = Executor::default();
    let slow = with_breaker(failing("api", 100, || CriticError::transient("down")));
    let old = executor.run(&slow, RunInput::new("x"));
    let change = async {
        tokio::time::sleep(ms(10)).await;
        executor.run(&plan([clean("api", 0)]), RunInput::new("x")).await.unwrap();
        executor.run(&with_breaker(clean("api", 0)), RunInput::new("x")).await.unwrap();
    };
    let (report, ()) = tokio::join!(old, change);
    assert_eq!(report.unwrap().critics()[0].status.as_str(), "failed");
    let state = &executor.critic_states()[0];
    assert_eq!((&*state.name, state.breaker), ("api", Some(BreakerState::Closed)));
}
