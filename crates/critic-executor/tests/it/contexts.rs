//! What a critic sees of its run, and what it cannot see or change.

use std::sync::{Arc, Mutex};

use critic_executor::{
    CancelReason, CriticContext, CriticOutput, CriticSpec, Executor, Finding, RetryPolicy,
    RiskLevel, RunCanceller, RunInput, RunOptions, Stage,
};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{clean, failing, found, hanging, ms, plan, settled, violation};

/// Verifies: CRIT-003, CRIT-002
#[tokio::test(start_paused = true)]
async fn a_critic_sees_the_outputs_it_depends_on_and_no_others() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let looks = {
        let seen = Arc::clone(&seen);
        move |ctx: CriticContext| {
            let names: Vec<String> = ctx.dependencies().map(|(name, _)| name.to_owned()).collect();
            let severity = ctx.dependency("needed").map(|output| output.finding.severity);
            let others = ["earlier", "beside", "dead", "unknown"].map(|name| ctx.dependency(name));
            let others = others.iter().filter(|other| other.is_some()).count();
            seen.lock().unwrap().push((names, severity, others));
            async { Ok(CriticOutput::clean()) }
        }
    };
    let plan = plan([
        found("earlier", 1, violation(0.2)).stage(Stage::PreValidation),
        found("beside", 1, violation(0.3)),
        found("needed", 5, violation(0.4)),
        failing("dead", 1, || critic_executor::CriticError::permanent("no")),
        CriticSpec::new("looks", looks).requires(["needed"]).after(["dead"]),
    ]);
    Executor::default().run(&plan, RunInput::new("x")).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [(vec!["needed".to_owned()], Some(0.4), 0)]);
}

/// Verifies: CRIT-002
#[tokio::test(start_paused = true)]
async fn each_attempt_knows_its_number_its_run_and_its_deadline() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let counts = {
        let seen = Arc::clone(&seen);
        move |ctx: CriticContext| {
            let left = ctx.deadline() - Instant::now();
            assert_eq!(ctx.remaining(), left);
            let who = format!("{} of {}", ctx.critic_name(), ctx.run_id());
            seen.lock().unwrap().push((ctx.attempt(), left, who));
            async {
                tokio::time::sleep(ms(10)).await;
                Err::<CriticOutput, _>(critic_executor::CriticError::transient("again"))
            }
        }
    };
    let retry = RetryPolicy {
        jitter: critic_executor::Jitter::None,
        base: ms(20),
        multiplier: 1.0,
        ..RetryPolicy::attempts(3)
    };
    let spec = CriticSpec::new("counts", counts).attempt_timeout(ms(50)).total_timeout(ms(100));
    let options = RunOptions::new().run_id("order 7");
    let plan = plan([spec.retry(retry)]);
    Executor::default().run_with(&plan, RunInput::new("x"), options).await.unwrap();
    let who = "counts of order 7".to_owned();
    // The third attempt starts after 60 of the critic's 100 milliseconds.
    let expected = [(1, ms(50), who.clone()), (2, ms(50), who.clone()), (3, ms(40), who)];
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// Verifies: CRIT-007
#[tokio::test(start_paused = true)]
async fn all_critics_of_all_runs_share_one_input_that_nobody_changes() {
    let input = RunInput::new("in").output("out").risk(RiskLevel::Critical).trace_id("t-1");
    let input = Arc::new(input.context("tier", "free").context("limits", json!({"words": [1, 2]})));
    let before = RunInput::clone(&input);
    let given = Arc::clone(&input);
    let looks = move |ctx: CriticContext| {
        assert!(Arc::ptr_eq(ctx.run_input(), &given), "it is shared, not cloned");
        assert_eq!((ctx.input(), ctx.output()), ("in", Some("out")));
        assert_eq!(ctx.run_input().risk_level(), Some(RiskLevel::Critical));
        assert_eq!(ctx.run_input().trace(), Some("t-1"));
        assert_eq!(ctx.run_input().context_value("limits").unwrap()["words"][1], 2);
        async { Ok(violation(0.5).into()) }
    };
    let plan = plan(["a", "b"].map(|name| CriticSpec::new(name, looks.clone())));
    let executor = Executor::default();
    for _ in 0..3 {
        let report = executor.run(&plan, Arc::clone(&input)).await.unwrap();
        assert_eq!(report.decision().coverage.answered.len(), 2, "{:?}", report.decision());
    }
    assert_eq!(*input, before);
    assert!(RiskLevel::Low < RiskLevel::Medium && RiskLevel::High < RiskLevel::Critical);
    assert!(RiskLevel::Medium < RiskLevel::High);
}

/// Verifies: CRIT-008
#[tokio::test(start_paused = true)]
async fn an_input_that_was_used_before_gives_the_same_as_a_fresh_one() {
    let fresh = || RunInput::new("text").context("key", 1).risk(RiskLevel::Low);
    let counting = |ctx: CriticContext| async move {
        let words = ctx.run_input().context_map().len() + ctx.dependencies().count();
        Ok(CriticOutput::from(Finding::new(words as f64 / 10.0)).with_data(words))
    };
    let first = CriticSpec::new("first", counting).stage(Stage::FastCritics);
    let second = CriticSpec::new("second", counting).requires(["first"]);
    let third = clean("third", 1).policy(critic_executor::Policy::OnViolation);
    let plans = [
        plan([first.clone(), second.clone(), third.clone()]),
        plan([found("first", 1, violation(0.95)), third]),
        plan([second.after(["first"]), first]),
    ];
    let (reused, executor) = (Arc::new(fresh()), Executor::default());
    for round in 0..3 {
        for plan in &plans {
            let again = executor.run(plan, Arc::clone(&reused)).await.unwrap().record();
            let alone = Executor::default().run(plan, fresh()).await.unwrap().record();
            assert_eq!(again.to_json(), alone.to_json(), "round {round}");
        }
    }
    assert_eq!(reused.digest(), fresh().digest());
}

/// Verifies: CRIT-150
#[tokio::test(start_paused = true)]
async fn a_cancelled_attempt_cancels_neither_its_run_nor_its_siblings() {
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let watched = |name: &str, millis: u64, cancels: bool| {
        let tokens = Arc::clone(&tokens);
        CriticSpec::new(name, move |ctx: CriticContext| {
            let token = ctx.cancellation();
            tokens.lock().unwrap().push(token.clone());
            if cancels {
                token.cancel();
            }
            async move {
                tokio::time::sleep(ms(millis)).await;
                Ok(CriticOutput::clean())
            }
        })
    };
    let executor = Executor::default();
    let siblings = plan([watched("suicidal", 5, true), watched("sibling", 10, false)]);
    let report = executor.run(&siblings, RunInput::new("x")).await.unwrap();
    assert!(report.cancelled().is_none());
    assert_eq!(report.decision().coverage.answered.len(), 2);

    // One attempt runs out of time: its token is cancelled, its sibling's is not.
    tokens.lock().unwrap().clear();
    let late = plan([watched("late", 500, false).attempt_timeout(ms(20)), hanging("other")]);
    let canceller = RunCanceller::new();
    let options = RunOptions::new().canceller(&canceller);
    let watch = async {
        tokio::time::sleep(ms(30)).await;
        assert!(tokens.lock().unwrap()[0].is_cancelled());
        assert!(!canceller.token().is_cancelled());
        canceller.cancel(CancelReason::User("enough".into()));
    };
    let run = executor.run_with(&late, RunInput::new("x"), options);
    let (report, ()) = tokio::join!(run, watch);
    let report = report.unwrap();
    assert_eq!(report.critic("late").unwrap().status.as_str(), "timed_out");
    assert_eq!(report.critic("other").unwrap().status.as_str(), "cancelled");
    settled(&executor).await;
}

/// Verifies: CRIT-150
#[tokio::test(start_paused = true)]
async fn cancelling_a_run_cancels_the_token_of_every_attempt() {
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let listens = |name: &str| {
        let tokens = Arc::clone(&tokens);
        CriticSpec::new(name, move |ctx: CriticContext| {
            let token = ctx.cancellation();
            tokens.lock().unwrap().push(token.clone());
            async move {
                token.cancelled().await;
                assert!(ctx.is_cancelled());
                Ok(CriticOutput::clean())
            }
        })
    };
    let canceller = RunCanceller::new();
    let options = RunOptions::new().canceller(&canceller);
    let executor = Executor::default();
    let plan = plan(["a", "b", "c"].map(listens));
    let run = executor.run_with(&plan, RunInput::new("x"), options);
    let stop = async {
        tokio::time::sleep(ms(10)).await;
        canceller.cancel(CancelReason::Shutdown);
    };
    let (report, ()) = tokio::join!(run, stop);
    assert_eq!(report.unwrap().elapsed(), ms(10));
    assert_eq!(tokens.lock().unwrap().iter().filter(|token| token.is_cancelled()).count(), 3);
    settled(&executor).await;
}
