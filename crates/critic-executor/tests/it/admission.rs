//! Who starts when, and what retries, limits and ends of runs do to it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use critic_executor::{
    BreakerPolicy, BreakerState, CancelReason, CriticContext, CriticError, CriticOutput,
    CriticSpec, ExecutionPlan, Executor, ExecutorSettings, Jitter, RateLimit, RetryPolicy,
    RunCanceller, RunError, RunInput, RunOptions, Stage, Status, Verdict,
};
use tokio::time::Instant;

use crate::support::{
    Gauge, clean, failing, found, gauged, hanging, ms, panicking, plan, run, settled, statuses,
    violation,
};

fn narrow(limit: usize) -> Executor {
    Executor::new(ExecutorSettings { global_limit: Some(limit), ..ExecutorSettings::default() })
}

/// Verifies: CRIT-084, CRIT-085
#[tokio::test(start_paused = true)]
async fn the_most_urgent_starts_first_and_equals_start_in_plan_order() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let spec = |name: &'static str, priority| {
        let order = Arc::clone(&order);
        let critic = move |_ctx: CriticContext| {
            order.lock().unwrap().push(name);
            async {
                tokio::time::sleep(ms(10)).await;
                Ok(CriticOutput::clean())
            }
        };
        CriticSpec::new(name, critic).priority(priority)
    };
    let plan = plan([
        spec("late", 9),
        spec("first-of-equals", 4),
        spec("urgent", 1),
        spec("second-of-equals", 4),
        spec("holder", 5).stage(Stage::PreValidation),
    ]);
    let report = narrow(1).run(&plan, RunInput::new("x")).await.unwrap();
    assert_eq!(
        *order.lock().unwrap(),
        ["holder", "urgent", "first-of-equals", "second-of-equals", "late"]
    );
    assert_eq!(report.decision().verdict, Verdict::Allow);
    assert_eq!(report.elapsed(), ms(50));
}

/// Verifies: CRIT-102
#[tokio::test(start_paused = true)]
async fn a_waiter_stopped_by_its_own_limit_stops_nobody_else() {
    let executor = narrow(2);
    let plan =
        plan([clean("narrow", 100).concurrency(1).priority(1), clean("free", 10).priority(9)]);
    let runs = (0..3).map(|_| executor.run(&plan, RunInput::new("x")));
    let reports = futures_util::future::join_all(runs).await;
    let free = reports.iter().map(|report| report.as_ref().unwrap().critic("free").unwrap());
    assert!(free.into_iter().all(|critic| critic.queue_time <= ms(20)));
}

/// Verifies: CRIT-220, CRIT-009
#[tokio::test(start_paused = true)]
async fn the_wait_for_tokens_is_told_apart_from_the_wait_for_permits() {
    let executor = narrow(1);
    let api = plan([clean("api", 10).rate_limit(RateLimit::per_second(10.0))]);
    let holder = plan([clean("holder", 300)]);
    let first = executor.run(&api, RunInput::new("x")).await.unwrap();
    assert_eq!(first.critics()[0].rate_limit_wait, ms(0));
    let (_, second) = tokio::join!(
        executor.run(&holder, RunInput::new("x")),
        executor.run(&api, RunInput::new("x"))
    );
    let second = second.unwrap();
    // The bucket had no token until 100 ms, the permit was taken until 310.
    assert_eq!(second.critics()[0].rate_limit_wait, ms(90));
    assert_eq!(second.critics()[0].queue_time, ms(300));
    let third = executor.run(&api, RunInput::new("x")).await.unwrap();
    assert_eq!(third.critics()[0].rate_limit_wait, ms(90));
    assert_eq!(third.critics()[0].queue_time, ms(90));
}

/// Verifies: CRIT-108
#[tokio::test(start_paused = true)]
async fn runs_beyond_the_run_queue_are_rejected_before_anything_of_them_runs() {
    let settings = ExecutorSettings {
        max_concurrent_runs: Some(1),
        run_queue_limit: 1,
        ..ExecutorSettings::default()
    };
    let executor = Executor::new(settings);
    let gauge = Arc::new(Gauge::default());
    let plan = plan([gauged("only", 100, &gauge, Stage::CoreAnalysis)]);
    let runs = (0..3).map(|_| executor.run(&plan, RunInput::new("x")));
    let reports = futures_util::future::join_all(runs).await;
    let elapsed: Vec<_> =
        reports.iter().map(|report| report.as_ref().map(|report| report.elapsed())).collect();
    assert_eq!(elapsed, [Ok(ms(100)), Ok(ms(200)), Err(&RunError::Rejected)]);
    assert_eq!((gauge.calls.load(Ordering::SeqCst), gauge.peak()), (2, 1));
    settled(&executor).await;
}

/// Verifies: CRIT-109
#[tokio::test(start_paused = true)]
async fn limits_change_while_running_and_interrupt_nobody() {
    let executor = narrow(1);
    let gauge = Arc::new(Gauge::default());
    let plan =
        plan((0..6).map(|index| gauged(&format!("c-{index}"), 100, &gauge, Stage::CoreAnalysis)));
    let change = async {
        tokio::time::sleep(ms(50)).await;
        executor.set_global_limit(Some(4));
        tokio::time::sleep(ms(1)).await;
        assert_eq!(gauge.now(), 4);
        executor.set_global_limit(Some(1));
        tokio::time::sleep(ms(1)).await;
        assert_eq!(gauge.now(), 4);
    };
    let (report, ()) = tokio::join!(executor.run(&plan, RunInput::new("x")), change);
    let report = report.unwrap();
    assert_eq!(report.decision().coverage.answered.len(), 6);
    assert_eq!((gauge.peak(), report.elapsed()), (4, ms(350)));
}

/// Verifies: CRIT-089
#[tokio::test(start_paused = true)]
async fn an_early_stop_cancels_the_rest_and_says_so() {
    let plan = ExecutionPlan::builder()
        .critics([
            found("bad", 10, violation(1.0)),
            hanging("running"),
            clean("never", 1).stage(Stage::PostProcessing),
        ])
        .early_stop(Verdict::Block)
        .build()
        .unwrap();
    let report = run(&plan).await;
    let reached = Status::Cancelled { reason: CancelReason::VerdictReached };
    assert_eq!(report.critic("running").unwrap().status, reached);
    assert_eq!(report.critic("never").unwrap().status, reached);
    assert!(report.is_short_circuited());
    assert_eq!((report.decision().verdict, report.elapsed()), (Verdict::Block, ms(10)));
    assert_eq!(report.decision().coverage.not_needed.len(), 2);
}

/// Verifies: CRIT-130
#[tokio::test(start_paused = true)]
async fn only_what_may_pass_is_tried_again() {
    let retry = RetryPolicy { jitter: Jitter::None, ..RetryPolicy::attempts(3) };
    let report = run(&plan([
        failing("transient", 0, || CriticError::transient("no")).retry(retry),
        failing("limited", 0, || CriticError::rate_limited(None, "no")).retry(retry),
        failing("permanent", 0, || CriticError::permanent("no")).retry(retry),
        failing("refused", 0, || CriticError::refused("no")).retry(retry),
        failing("invalid", 0, || CriticError::invalid("no")).retry(retry),
        panicking("panic").retry(retry),
    ]))
    .await;
    let attempts: Vec<_> = report.critics().iter().map(|c| (&*c.name, c.attempts.len())).collect();
    assert_eq!(
        attempts,
        [
            ("invalid", 1),
            ("limited", 3),
            ("panic", 1),
            ("permanent", 1),
            ("refused", 1),
            ("transient", 3)
        ]
    );
    let delays: Vec<_> =
        report.critic("transient").unwrap().attempts.iter().map(|a| a.delay).collect();
    assert_eq!(delays, [Some(ms(200)), Some(ms(400)), None]);
}

/// Verifies: CRIT-131, CRIT-132
#[tokio::test(start_paused = true)]
async fn full_jitter_fills_its_range_and_a_seed_repeats_it() {
    let retry = RetryPolicy { base: ms(100), ..RetryPolicy::attempts(2) };
    let (plan, executor) = (
        plan([failing("flaky", 0, || CriticError::transient("no")).retry(retry)]),
        Executor::default(),
    );
    let mut delays = Vec::new();
    for round in 0..2 {
        for seed in 0..200 {
            let options = RunOptions::new().seed(seed);
            let report = executor.run_with(&plan, RunInput::new("x"), options).await.unwrap();
            delays.push(report.critics()[0].attempts[0].delay.unwrap());
            tokio::time::sleep(ms(100 + round)).await;
        }
    }
    assert_eq!(delays[..200], delays[200..]);
    assert!(delays.iter().all(|delay| *delay <= ms(100)));
    for quarter in 0..4 {
        let range = ms(quarter * 25)..ms(quarter * 25 + 25);
        let here = delays[..200].iter().filter(|delay| range.contains(delay)).count();
        assert!((25..=75).contains(&here), "{here} of 200 in {range:?}");
    }
}

/// Verifies: CRIT-133
#[tokio::test(start_paused = true)]
async fn a_retry_waits_as_long_as_it_was_told_or_not_at_all() {
    let retry = RetryPolicy { jitter: Jitter::None, base: ms(10), ..RetryPolicy::attempts(2) };
    let limited = || {
        failing("limited", 0, || CriticError::rate_limited(Some(Duration::from_secs(2)), "slow"))
            .retry(retry)
    };
    let report = run(&plan([limited()])).await;
    assert_eq!((report.critics()[0].attempts.len(), report.elapsed()), (2, ms(2000)));
    let report = run(&plan([limited().total_timeout(ms(2000))])).await;
    assert_eq!((report.critics()[0].attempts.len(), report.elapsed()), (1, ms(0)));
    assert_eq!(statuses(&report), [("limited", "failed")]);
}

/// Verifies: CRIT-134
#[tokio::test(start_paused = true)]
async fn nothing_is_held_while_a_retry_waits() {
    let executor = narrow(1);
    let retry = RetryPolicy { jitter: Jitter::None, base: ms(100), ..RetryPolicy::attempts(2) };
    let plan = plan([
        failing("again", 10, || CriticError::transient("no")).retry(retry).priority(1),
        clean("other", 50).priority(9),
    ]);
    let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
    assert_eq!(report.critic("other").unwrap().queue_time, ms(10));
    assert_eq!(report.elapsed(), ms(120));
}

/// Verifies: CRIT-141
#[tokio::test(start_paused = true)]
async fn a_breaker_counts_only_failures_of_the_service() {
    let errors: [fn() -> CriticError; 4] = [
        || CriticError::permanent("no"),
        || CriticError::invalid("no"),
        || CriticError::refused("no"),
        || CriticError::rate_limited(None, "no"),
    ];
    for error in errors {
        let (plan, executor) = (
            plan([failing("api", 0, error).breaker(BreakerPolicy::consecutive(1))]),
            Executor::default(),
        );
        executor.run(&plan, RunInput::new("x")).await.unwrap();
        assert_eq!(executor.critic_states()[0].breaker, Some(BreakerState::Closed));
    }
    for spec in [
        failing("api", 0, || CriticError::transient("no")),
        panicking("api"),
        hanging("api").attempt_timeout(ms(10)),
    ] {
        let (plan, executor) =
            (plan([spec.breaker(BreakerPolicy::consecutive(1))]), Executor::default());
        executor.run(&plan, RunInput::new("x")).await.unwrap();
        assert_eq!(executor.critic_states()[0].breaker, Some(BreakerState::Open));
    }
}

/// Regression 27.
///
/// Verifies: CRIT-143
#[tokio::test(start_paused = true)]
async fn so_many_probes_pass_at_once_and_those_cut_short_give_their_place_back() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let critic = move |_ctx: CriticContext| {
        let is_first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if is_first {
                return Err(CriticError::transient("down"));
            }
            tokio::time::sleep(ms(1000)).await;
            Ok(CriticOutput::clean())
        }
    };
    let plan = plan([CriticSpec::new("api", critic).breaker(BreakerPolicy::consecutive(1))]);
    let executor = Executor::default();
    executor.run(&plan, RunInput::new("x")).await.unwrap();
    tokio::time::sleep(ms(30_000)).await;
    for _ in 0..3 {
        let runs = (0..8).map(|_| executor.run(&plan, RunInput::new("x")));
        let all = futures_util::future::join_all(runs);
        // Three pass, the others end at once, and all three are dropped.
        assert!(tokio::time::timeout(ms(100), all).await.is_err());
        settled(&executor).await;
        assert_eq!(executor.critic_states()[0].probes, 0);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1 + 3 * 3);
    let runs = (0..8).map(|_| executor.run(&plan, RunInput::new("x")));
    let reports = futures_util::future::join_all(runs).await;
    let answers = reports.iter().filter(|r| r.as_ref().unwrap().critics()[0].status.is_answer());
    assert_eq!(answers.count(), 3);
    assert_eq!(executor.critic_states()[0].breaker, Some(BreakerState::Closed));
}

/// Verifies: CRIT-151
#[tokio::test(start_paused = true)]
async fn the_first_reason_to_cancel_is_the_one_reported() {
    let canceller = RunCanceller::new();
    assert!(canceller.cancel(CancelReason::User("first".into())));
    assert!(!canceller.cancel(CancelReason::User("second".into())));
    let options = RunOptions::new().canceller(&canceller);
    let executor = Executor::default();
    let report =
        executor.run_with(&plan([hanging("slow")]), RunInput::new("x"), options).await.unwrap();
    let first = CancelReason::User("first".into());
    assert_eq!(report.cancelled(), Some(&first));
    assert_eq!(report.critics()[0].status, Status::Cancelled { reason: first });
}

/// Verifies: CRIT-159
#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_runs_end_in_time_and_cuts_the_rest() {
    let executor = Executor::default();
    let (quick, slow) = (plan([clean("quick", 50)]), plan([hanging("slow")]));
    let start = Instant::now();
    let shutdown = async {
        tokio::time::sleep(ms(10)).await;
        let cut = executor.shutdown(ms(100)).await;
        let refused = executor.run(&quick, RunInput::new("x")).await.err();
        (cut, refused)
    };
    let (quick_report, slow_report, ended) = tokio::join!(
        executor.run(&quick, RunInput::new("x")),
        executor.run(&slow, RunInput::new("x")),
        shutdown
    );
    assert_eq!(ended, (vec!["run-2".into()], Some(RunError::Shutdown)));
    assert_eq!(statuses(&quick_report.unwrap()), [("quick", "succeeded")]);
    let slow_report = slow_report.unwrap();
    assert_eq!(slow_report.cancelled(), Some(&CancelReason::Shutdown));
    assert_eq!(slow_report.elapsed(), ms(110));
    assert!(start.elapsed() <= ms(320));
    settled(&executor).await;
}

/// Verifies: CRIT-144
#[tokio::test(start_paused = true)]
async fn a_breaker_can_be_held_open_held_closed_and_reset() {
    let critic = failing("api", 0, || CriticError::transient("down"));
    let plan = plan([critic.breaker(BreakerPolicy::consecutive(1))]);
    let executor = Executor::default();
    let status = || async {
        executor.run(&plan, RunInput::new("x")).await.unwrap().critics()[0].status.as_str()
    };
    assert_eq!(status().await, "failed");
    assert_eq!(status().await, "circuit_open");
    assert!(executor.force_breaker_closed("api"));
    for _ in 0..3 {
        assert_eq!(status().await, "failed");
    }
    assert!(executor.force_breaker_open("api"));
    tokio::time::sleep(ms(60_000)).await;
    assert_eq!(status().await, "circuit_open");
    assert!(executor.reset_breaker("api"));
    assert_eq!(executor.critic_states()[0].breaker, Some(BreakerState::Closed));
    assert_eq!(status().await, "failed");
    assert_eq!(status().await, "circuit_open");
    assert!(!executor.reset_breaker("unknown"));
}

/// Verifies: CRIT-127, CRIT-157
#[tokio::test(start_paused = true)]
async fn no_critic_turns_a_run_into_an_error() {
    let executor = Executor::default();
    let plan = plan([
        panicking("panic"),
        failing("failed", 0, || CriticError::permanent("no")),
        hanging("slow").attempt_timeout(ms(10)),
        clean("fine", 1),
    ]);
    for _ in 0..2 {
        let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
        let expected = [
            ("failed", "failed"),
            ("fine", "succeeded"),
            ("panic", "failed"),
            ("slow", "timed_out"),
        ];
        assert_eq!(statuses(&report), expected);
        let Status::Failed { kind, message } = &report.critic("panic").unwrap().status else {
            panic!("a panic is a failure")
        };
        assert_eq!((kind.as_str(), message.contains("a critic may panic")), ("panic", true));
    }
    settled(&executor).await;
}

/// Verifies: CRIT-185
#[tokio::test(start_paused = true)]
async fn a_fallback_stands_in_after_failures_and_timeouts() {
    let stand_in = |ctx: CriticContext| async move {
        assert!(ctx.failure().is_some());
        Ok(CriticOutput::clean())
    };
    let report = run(&plan([
        failing("failed", 0, || CriticError::permanent("no")).fallback(stand_in),
        hanging("slow").attempt_timeout(ms(10)).fallback(stand_in),
    ]))
    .await;
    let source = critic_executor::AnswerSource::Fallback;
    assert!(report.critics().iter().all(|c| c.status == Status::Succeeded { source }));
    assert!(report.is_degraded());
    assert_eq!(report.elapsed(), ms(10));
}

/// Verifies: CRIT-051, CRIT-049
#[tokio::test(start_paused = true)]
async fn an_empty_plan_allows_and_a_missed_quorum_escalates() {
    let report = run(&plan([])).await;
    assert_eq!(report.decision().verdict, Verdict::Allow);
    let quorum = |answers| {
        let builder =
            ExecutionPlan::builder().quorum(answers).critics([clean("one", 0), clean("two", 0)]);
        builder
            .critic(
                failing("dead", 0, || CriticError::permanent("no"))
                    .failure_mode(critic_executor::FailureMode::Ignore),
            )
            .build()
            .unwrap()
    };
    assert_eq!(run(&quorum(2)).await.decision().verdict, Verdict::Allow);
    let report = run(&quorum(3)).await;
    assert_eq!(report.decision().verdict, Verdict::Escalate);
    assert!(report.deciding().iter().any(|d| d.reason.to_lowercase().contains("quorum")));
}

/// Verifies: CRIT-154
#[tokio::test(start_paused = true)]
async fn a_cut_attempt_keeps_its_permit_for_the_grace_and_no_longer() {
    let executor = narrow(1);
    let late = plan([hanging("slow").attempt_timeout(ms(50))]);
    let report = executor.run(&late, RunInput::new("x")).await.unwrap();
    assert_eq!(report.elapsed(), ms(50));
    assert_eq!(executor.activity().permits, 1);
    let next = plan([clean("next", 0)]);
    let report = executor.run(&next, RunInput::new("x")).await.unwrap();
    assert_eq!(report.elapsed(), ms(100));
    let hint = critic_executor::ExecutionHint::Inline;
    let inline = plan([hanging("inline").attempt_timeout(ms(50)).hint(hint)]);
    executor.run(&inline, RunInput::new("x")).await.unwrap();
    let report = executor.run(&next, RunInput::new("x")).await.unwrap();
    assert_eq!(report.elapsed(), ms(0));
    settled(&executor).await;
}

/// Verifies: CRIT-080, CRIT-081
#[tokio::test(start_paused = true)]
async fn what_is_ready_starts_together_and_a_barrier_holds_the_rest() {
    let stages = [Stage::PreValidation, Stage::CoreAnalysis, Stage::PostProcessing];
    let critics = stages.iter().enumerate().flat_map(|(stage, of)| {
        (0..3).map(move |index| clean(&format!("c-{stage}-{index}"), 10 * (index + 1)).stage(*of))
    });
    let report = run(&plan(critics)).await;
    let times: Vec<_> =
        report.stages().iter().map(|timing| (timing.stage, timing.opened)).collect();
    for (index, stage) in (0..).zip(stages) {
        assert!(times.contains(&(stage, ms(30 * index))), "{times:?}");
    }
    assert_eq!(report.elapsed(), ms(90));
}

#[tokio::test(start_paused = true)]
async fn an_invalid_output_is_no_answer() {
    let bad = || found("strict", 0, critic_executor::Finding::new(7.0));
    let report = run(&plan([bad()])).await;
    let Status::Invalid { errors } = &report.critics()[0].status else {
        panic!("a severity of 7 is out of range")
    };
    assert!(errors.iter().any(|error| error.pointer.ends_with("/severity")), "{errors:?}");
    assert!(report.critics()[0].output.is_none());
    assert_eq!(report.decision().coverage.answered.len(), 0);
}

/// Verifies: CRIT-110
#[tokio::test(start_paused = true)]
async fn waiters_that_are_cut_leave_the_queue_at_once() {
    let executor = narrow(1);
    let waiting = plan((0..20).map(|index| hanging(&format!("w-{index}"))));
    let run = executor.run(&waiting, RunInput::new("x"));
    let mut run = Box::pin(run);
    assert!(tokio::time::timeout(ms(10), &mut run).await.is_err());
    assert_eq!(executor.activity().queued, 19);
    drop(run);
    assert_eq!(executor.activity().queued, 0);
    settled(&executor).await;
}

/// Verifies: CRIT-202, CRIT-200
#[tokio::test(start_paused = true)]
async fn an_attempt_the_budget_cannot_pay_is_rejected_and_reservations_are_waited_for() {
    use critic_executor::{MicroDollars, OnExhausted, RejectReason};
    let priced = |name: &str| clean(name, 10).cost(MicroDollars(10));
    let plan = ExecutionPlan::builder()
        .critics(["a", "b", "c"].map(priced))
        .budget(MicroDollars(25), OnExhausted::SkipCritic)
        .build()
        .unwrap();
    let report = run(&plan).await;
    assert_eq!(statuses(&report), [("a", "succeeded"), ("b", "succeeded"), ("c", "rejected")]);
    let rejected = Status::Rejected { reason: RejectReason::Budget };
    assert_eq!(report.critic("c").unwrap().status, rejected);
    assert_eq!(report.cost().total.spent, MicroDollars(20));
    // The third waited until what the first two had reserved was spent.
    assert_eq!(report.critic("c").unwrap().queue_time, ms(10));
    assert_eq!(report.decision().verdict, Verdict::Escalate);
}
