//! What is tried again, when, and what that costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use critic_executor::{
    BreakerPolicy, BreakerState, CriticContext, CriticError, CriticOutput, CriticSpec,
    ExecutionPlan, Executor, ExecutorSettings, Finding, Jitter, MicroDollars, OnExhausted,
    RetryBudget, RetryPolicy, RunInput, RunOptions, TripRule,
};

use crate::support::{clean, failing, found, hanging, ms, plan, run, statuses};

fn exact(attempts: u32) -> RetryPolicy {
    RetryPolicy { jitter: Jitter::None, ..RetryPolicy::attempts(attempts) }
}

fn flaky(name: &str) -> CriticSpec {
    failing(name, 0, || CriticError::transient("no"))
}

/// Verifies: CRIT-130, CRIT-131
#[tokio::test(start_paused = true)]
async fn delays_grow_up_to_the_cap_and_equal_jitter_keeps_half_of_each() {
    let capped = RetryPolicy { base: ms(100), multiplier: 3.0, cap: ms(500), ..exact(5) };
    let report = run(&plan([flaky("capped").retry(capped)])).await;
    let delays: Vec<_> = report.critics()[0].attempts.iter().map(|attempt| attempt.delay).collect();
    assert_eq!(delays, [Some(ms(100)), Some(ms(300)), Some(ms(500)), Some(ms(500)), None]);

    let equal = RetryPolicy { jitter: Jitter::Equal, base: ms(100), ..RetryPolicy::attempts(2) };
    let (plan, executor) = (plan([flaky("equal").retry(equal)]), Executor::default());
    let mut delays = Vec::new();
    for seed in 0..100 {
        let options = RunOptions::new().seed(seed);
        let report = executor.run_with(&plan, RunInput::new("x"), options).await.unwrap();
        delays.push(report.critics()[0].attempts[0].delay.unwrap());
        tokio::time::sleep(ms(100)).await;
    }
    assert!(delays.iter().all(|delay| (ms(50)..=ms(100)).contains(delay)), "{delays:?}");
    let low = delays.iter().filter(|delay| **delay < ms(75)).count();
    assert!((25..=75).contains(&low), "{low} of 100 are in the lower half");
}

/// Verifies: CRIT-130
#[tokio::test(start_paused = true)]
async fn timeouts_of_attempts_are_tried_again_and_invalid_outputs_only_if_asked_for() {
    let report = run(&plan([
        hanging("late").attempt_timeout(ms(10)).retry(exact(3)),
        hanging("late once")
            .attempt_timeout(ms(10))
            .retry(RetryPolicy { on_attempt_timeout: false, ..exact(3) }),
        found("invalid", 0, Finding::new(2.0)).retry(exact(3)),
        found("invalid again", 0, Finding::new(2.0))
            .retry(RetryPolicy { on_invalid: true, ..exact(3) }),
        flaky("never").retry(RetryPolicy { on_transient: false, ..exact(3) }),
    ]))
    .await;
    let attempts: Vec<_> = report.critics().iter().map(|c| (&*c.name, c.attempts.len())).collect();
    let expected =
        [("invalid", 1), ("invalid again", 3), ("late", 3), ("late once", 1), ("never", 1)];
    assert_eq!(attempts, expected);
}

/// Verifies: CRIT-134
#[tokio::test(start_paused = true)]
async fn a_retry_waits_in_the_place_of_its_first_arrival() {
    let executor =
        Executor::new(ExecutorSettings { global_limit: Some(1), ..ExecutorSettings::default() });
    let retry = RetryPolicy { base: ms(10), ..exact(2) };
    let early = plan([flaky("early").retry(retry)]);
    let later = plan([clean("later", 40)]);
    let start = |plan: &ExecutionPlan, after: u64| {
        let (executor, plan) = (executor.clone(), plan.clone());
        async move {
            tokio::time::sleep(ms(after)).await;
            executor.run(&plan, RunInput::new("x")).await.unwrap()
        }
    };
    // The first attempt fails at once. When its retry is due, one of the later ones works and two wait.
    let (early, first, second, third) =
        tokio::join!(start(&early, 0), start(&later, 1), start(&later, 2), start(&later, 3));
    assert_eq!(first.elapsed(), ms(40));
    assert_eq!(early.elapsed(), ms(41), "it goes before those who came after its first attempt");
    assert_eq!((second.elapsed(), third.elapsed()), (ms(79), ms(118)));
}

/// Verifies: CRIT-135
#[tokio::test(start_paused = true)]
async fn a_spent_retry_budget_makes_the_last_error_final() {
    let budget = RetryBudget { ratio: 0.5, per_second: 0.0, window: ms(10_000) };
    let spec = flaky("flaky").retry(RetryPolicy { base: ms(1), ..exact(2) }).retry_budget(budget);
    let (plan, executor) = (plan([spec]), Executor::default());
    let mut attempts = Vec::new();
    for _ in 0..8 {
        let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
        assert_eq!(statuses(&report), [("flaky", "failed")]);
        attempts.push(report.critics()[0].attempts.len());
    }
    assert_eq!(attempts, [1, 2, 1, 2, 1, 2, 1, 2], "one retry for every two first attempts");
    assert_eq!(executor.incidents().retry_budget_exhausted, 4);
    assert_eq!(executor.critic_states()[0].retry_budget_exhausted, 4);
    tokio::time::sleep(ms(20_000)).await;
    let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
    assert_eq!(report.critics()[0].attempts.len(), 1, "what is past counts no more");
}

/// Verifies: CRIT-140
#[tokio::test(start_paused = true)]
async fn a_breaker_opens_when_half_of_enough_recent_calls_failed() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let critic = move |ctx: CriticContext| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match ctx.input() {
                "good" => Ok(CriticOutput::clean()),
                _ => Err(CriticError::transient("down")),
            }
        }
    };
    let trip = TripRule::FailureRate { window: 20, min_calls: 10, ratio: 0.5 };
    assert_eq!(BreakerPolicy::default().trip, trip);
    let plan = plan([CriticSpec::new("api", critic).breaker(BreakerPolicy::default())]);
    for (inputs, is_open) in [
        ("bbbbbbbbb", false),
        ("bbbbbbbbbb", true),
        ("ggggggbbbb", false),
        ("gggggbbbbb", true),
        // Twelve good ones and eleven bad ones, of which the window holds nine and eleven.
        ("ggggggggggggbbbbbbbbbbb", true),
        ("gggggggggggggggbbbbbbbbb", false),
        ("gbgbgbgbgg", false),
    ] {
        let executor = Executor::default();
        for letter in inputs.chars() {
            let input = RunInput::new(if letter == 'g' { "good" } else { "bad" });
            executor.run(&plan, input).await.unwrap();
        }
        let expected = if is_open { BreakerState::Open } else { BreakerState::Closed };
        assert_eq!(executor.critic_states()[0].breaker, Some(expected), "{inputs}");
    }
}

/// Regression 27.
///
/// Verifies: CRIT-140
#[tokio::test(start_paused = true)]
async fn a_success_starts_the_count_of_failures_in_a_row_anew() {
    let critic = |ctx: CriticContext| async move {
        match ctx.input() {
            "good" => Ok(CriticOutput::clean()),
            _ => Err(CriticError::transient("down")),
        }
    };
    let plan = plan([CriticSpec::new("api", critic).breaker(BreakerPolicy::consecutive(3))]);
    let executor = Executor::default();
    for input in ["bad", "bad", "good", "bad", "bad", "good", "bad", "bad"] {
        let report = executor.run(&plan, RunInput::new(input)).await.unwrap();
        assert_ne!(report.critics()[0].status.as_str(), "circuit_open");
    }
    assert_eq!(executor.critic_states()[0].breaker, Some(BreakerState::Closed));
    executor.run(&plan, RunInput::new("bad")).await.unwrap();
    assert_eq!(executor.critic_states()[0].breaker, Some(BreakerState::Open));
}

/// Verifies: CRIT-142
#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_not_tried_again_and_costs_no_token() {
    let executor = Executor::default();
    let spec = flaky("api").breaker(BreakerPolicy::consecutive(1)).retry(exact(5));
    let spec = spec.rate_limit(critic_executor::RateLimit::per_second(0.001).burst(2));
    let plan = plan([spec]);
    let first = executor.run(&plan, RunInput::new("x")).await.unwrap();
    assert_eq!((statuses(&first)[0].1, first.critics()[0].attempts.len()), ("circuit_open", 1));
    let second = executor.run(&plan, RunInput::new("x")).await.unwrap();
    assert_eq!((second.critics()[0].attempts.len(), second.elapsed()), (0, ms(0)));
    let state = &executor.critic_states()[0];
    assert_eq!((state.in_use, state.next_token), (0, Some(ms(0))), "a token is left");
}

/// Verifies: CRIT-200
#[tokio::test(start_paused = true)]
async fn every_attempt_costs_what_it_reports_or_its_estimate() {
    let critic = |ctx: CriticContext| async move {
        match ctx.attempt() {
            1 => Err(CriticError::transient("no").with_cost(MicroDollars(3))),
            2 => Err(CriticError::transient("no")),
            _ => Ok(CriticOutput::clean().with_cost(MicroDollars(500))),
        }
    };
    let spec = CriticSpec::new("paid", critic).cost(MicroDollars(40)).retry(exact(3));
    let report = run(&plan([spec])).await;
    let costs: Vec<_> = report.critics()[0].attempts.iter().map(|a| a.cost.0).collect();
    assert_eq!((costs, report.critics()[0].cost.0), (vec![3, 40, 500], 543));
    assert_eq!((report.cost().total.spent.0, report.cost().total.wasted.0), (543, 43));
}

/// Verifies: CRIT-202
#[tokio::test(start_paused = true)]
async fn a_run_may_stop_when_its_budget_does_not_suffice() {
    let plan = |on_exhausted| {
        ExecutionPlan::builder()
            .critics([
                clean("a", 10).cost(MicroDollars(10)),
                clean("b", 10).cost(MicroDollars(20)),
                clean("free", 50),
            ])
            .budget(MicroDollars(15), on_exhausted)
            .build()
            .unwrap()
    };
    let report = run(&plan(OnExhausted::StopRun)).await;
    assert_eq!(report.cancelled(), Some(&critic_executor::CancelReason::BudgetExhausted));
    assert_eq!(report.critic("free").unwrap().status.as_str(), "cancelled");
    let report = run(&plan(OnExhausted::SkipCritic)).await;
    let expected = [("a", "succeeded"), ("b", "rejected"), ("free", "succeeded")];
    assert_eq!((statuses(&report), report.cancelled()), (expected.to_vec(), None));
}

/// Verifies: CRIT-202
#[tokio::test(start_paused = true)]
async fn what_costs_nothing_does_not_wait_for_what_others_reserved_beyond_the_budget() {
    let dear = |_ctx: CriticContext| async {
        tokio::time::sleep(ms(10)).await;
        Ok(CriticOutput::clean().with_cost(MicroDollars(9)))
    };
    let plan = ExecutionPlan::builder()
        .critics([
            CriticSpec::new("dearer than told", dear).cost(MicroDollars(5)),
            clean("slow", 50).cost(MicroDollars(5)),
            clean("free", 10).requires(["dearer than told"]),
        ])
        .budget(MicroDollars(10), OnExhausted::SkipCritic)
        .build()
        .unwrap();
    let report = run(&plan).await;
    let free = report.critic("free").unwrap();
    assert_eq!((free.status.as_str(), free.queue_time), ("succeeded", ms(0)));
    assert_eq!(report.cost().total.spent, MicroDollars(14));
}
