//! How critics end, and what that makes of the verdict.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use critic_executor::{
    AnswerCache, AnswerSource, BreakerPolicy, CacheKey, CancelReason, Critic, CriticContext,
    CriticError, CriticOutput, CriticSpec, Decider, ErrorKind, ExecutionHint, ExecutionPlan,
    Executor, FailureMode, Finding, Policy, RateLimit, RejectReason, RiskLevel, RunCanceller,
    RunInput, RunOptions, Stage, Status, TimeoutScope, Verdict,
};

use crate::support::{clean, failing, found, hanging, ms, plan, run, violation};

/// Knows one answer, for whoever has these settings.
struct OneAnswer;

#[async_trait]
impl AnswerCache for OneAnswer {
    async fn get(
        &self,
        _key: &CacheKey,
    ) -> Result<Option<CriticOutput>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Some(CriticOutput::clean()))
    }

    async fn put(
        &self,
        _key: &CacheKey,
        _output: &CriticOutput,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

async fn status_of(spec: CriticSpec) -> Status {
    run(&plan([spec])).await.critics()[0].status.clone()
}

/// Verifies: CRIT-040, CRIT-041
#[tokio::test(start_paused = true)]
async fn every_ending_has_its_status_and_only_answers_have_findings() {
    let mut seen = vec![
        status_of(clean("answers", 1)).await,
        status_of(failing("fails", 1, || CriticError::permanent("no"))).await,
        status_of(hanging("late").attempt_timeout(ms(5))).await,
        status_of(found("invalid", 1, Finding::new(2.0))).await,
    ];
    let stand_in = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
    let helped = failing("helped", 1, || CriticError::permanent("no")).fallback(stand_in);
    seen.push(status_of(helped).await);

    let cached = Executor::builder().cache(Arc::new(OneAnswer)).build();
    let report = cached.run(&plan([hanging("cached")]), RunInput::new("x")).await.unwrap();
    seen.push(report.critics()[0].status.clone());

    let gated = run(&plan([
        clean("fast", 1).stage(Stage::FastCritics),
        clean("gated", 1).policy(Policy::OnViolation),
        clean("skipped", 1).requires(["gated"]),
    ]))
    .await;
    seen.extend(gated.critics().iter().skip(1).map(|critic| critic.status.clone()));

    let canceller = RunCanceller::new();
    canceller.cancel(CancelReason::Shutdown);
    let options = RunOptions::new().canceller(&canceller);
    let never = plan([clean("cancelled", 1)]);
    let report = Executor::default().run_with(&never, RunInput::new("x"), options).await.unwrap();
    seen.push(report.critics()[0].status.clone());

    let executor = Executor::default();
    let rated = plan([clean("rated", 1).rate_limit(RateLimit::per_second(1.0).reject())]);
    executor.run(&rated, RunInput::new("x")).await.unwrap();
    let report = executor.run(&rated, RunInput::new("x")).await.unwrap();
    seen.push(report.critics()[0].status.clone());

    let broken = failing("broken", 1, || CriticError::transient("down"));
    let broken = plan([broken.breaker(BreakerPolicy::consecutive(1))]);
    executor.run(&broken, RunInput::new("x")).await.unwrap();
    let report = executor.run(&broken, RunInput::new("x")).await.unwrap();
    seen.push(report.critics()[0].status.clone());
    assert!(report.critics()[0].finding().is_none());

    let (answer, missing, benign) = ((true, true), (false, false), (false, true));
    let classes: Vec<_> =
        seen.iter().map(|s| (s.as_str(), (s.is_answer(), s.is_benign()))).collect();
    let expected = [
        ("succeeded", answer),
        ("failed", missing),
        ("timed_out", missing),
        ("invalid", missing),
        ("succeeded", answer),
        ("succeeded", answer),
        ("gated", benign),
        ("skipped", benign),
        ("cancelled", missing),
        ("rejected", missing),
        ("circuit_open", missing),
    ];
    assert_eq!(classes, expected);
    assert!(seen.iter().all(|status| status.is_missing() != status.is_benign()));
    let sources = [0, 4, 5].map(|index| seen[index].clone());
    let named = [AnswerSource::Critic, AnswerSource::Fallback, AnswerSource::Cache];
    assert_eq!(sources, named.map(|source| Status::Succeeded { source }));
    assert_eq!(seen[2], Status::TimedOut { scope: TimeoutScope::Attempt });
    assert!(matches!(&seen[6], Status::Gated { policy, reason }
        if &**policy == "on_violation" && &**reason == "nothing was found"));
    assert_eq!(seen[8], Status::Cancelled { reason: CancelReason::Shutdown });
    assert_eq!(seen[9], Status::Rejected { reason: RejectReason::RateLimited });
    assert!(matches!(seen[10], Status::CircuitOpen { retry_at }
        if retry_at > tokio::time::Instant::now()));
}

/// Verifies: CRIT-046, CRIT-045
#[tokio::test(start_paused = true)]
async fn one_severe_finding_decides_among_any_number_of_mild_ones() {
    let mild = (0..99).map(|index| clean(&format!("mild-{index}"), 1));
    let report = run(&plan(mild.chain([found("severe", 1, Finding::new(0.95))]))).await;
    assert_eq!(report.decision().verdict, Verdict::Block);
    let mean = report.mean_severity().unwrap();
    assert!((mean - 0.0095).abs() < 1e-9, "{mean}");
    let dead = failing("dead", 1, || CriticError::permanent("no"));
    let dead = run(&plan([dead, found("half", 1, Finding::new(0.5))])).await;
    assert_eq!(dead.mean_severity(), Some(0.5), "who did not answer is no zero");
}

/// Verifies: CRIT-050
#[tokio::test(start_paused = true)]
async fn all_who_decided_are_named_in_plan_order_with_their_reasons() {
    let dead = |name: &str| failing(name, 1, || CriticError::permanent("no"));
    let asks = Finding::clean().with_verdict(Verdict::Escalate);
    let plan = ExecutionPlan::builder()
        .critics([
            dead("z-dead").stage(Stage::PreValidation),
            clean("mild", 1),
            found("asks", 1, asks),
            found("severe", 1, violation(0.7)),
            dead("open").failure_mode(FailureMode::FailOpen),
        ])
        .quorum(5)
        .build()
        .unwrap();
    let report = run(&plan).await;
    assert_eq!(report.decision().verdict, Verdict::Escalate);
    let deciding: Vec<_> = report.deciding().iter().map(|d| (&d.decider, &*d.reason)).collect();
    let critic = |name: &str| Decider::Critic(name.into());
    let expected = [
        (&critic("z-dead"), "no answer: failed"),
        (&critic("asks"), "it asks for this verdict"),
        (&critic("severe"), "severity 0.7 (bad)"),
        (&Decider::Quorum, "3 answers, the quorum is 5"),
    ];
    assert_eq!(deciding, expected);
}

/// Verifies: CRIT-047
#[tokio::test(start_paused = true)]
async fn a_plan_may_block_what_a_missing_critic_would_escalate() {
    let dead = || failing("dead", 1, || CriticError::permanent("no"));
    let builder = || ExecutionPlan::builder().critics([dead(), clean("fine", 1)]);
    let (default, strict) = (builder().build().unwrap(), builder().missing_blocks().build());
    assert_eq!(run(&default).await.decision().verdict, Verdict::Escalate);
    let report = run(&strict.unwrap()).await;
    assert_eq!(report.decision().verdict, Verdict::Block);
    assert_eq!(report.critic("dead").unwrap().contribution, Verdict::Block);
}

/// Verifies: CRIT-062
#[tokio::test(start_paused = true)]
async fn an_unconditional_critic_runs_whatever_came_before_it() {
    let befores = [
        clean("before", 1),
        found("before", 1, violation(0.9)),
        failing("before", 1, || CriticError::permanent("no")),
        hanging("before").attempt_timeout(ms(1)),
    ];
    for before in befores {
        for risk in [None, Some(RiskLevel::Low), Some(RiskLevel::Critical)] {
            let plan = plan([
                before.clone().stage(Stage::FastCritics),
                clean("always", 1).stage(Stage::DeepAnalysis),
            ]);
            let mut input = RunInput::new("x");
            if let Some(risk) = risk {
                input = input.risk(risk);
            }
            let report = Executor::default().run(&plan, input).await.unwrap();
            let always = report.critic("always").unwrap();
            assert!(always.status.is_answer() && always.gate.is_none(), "{:?}", always.status);
            assert!(plan.evidence_of("always").is_empty());
        }
    }
}

/// Verifies: CRIT-009
#[tokio::test(start_paused = true)]
async fn a_report_has_everything_of_every_critic_in_plan_order() {
    let executor = Executor::new(critic_executor::ExecutorSettings {
        global_limit: Some(1),
        ..Default::default()
    });
    let cost = critic_executor::MicroDollars(7);
    let plan = plan([
        clean("z-first", 10).stage(Stage::PreValidation).cost(cost),
        clean("b-gated", 1).policy(Policy::OnViolation),
        failing("a-dead", 20, || CriticError::permanent("no")).cost(cost),
        clean("c-skipped", 1).requires(["a-dead"]),
        found("d-found", 5, violation(0.4)),
    ]);
    let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
    let names: Vec<_> = report.critics().iter().map(|critic| &*critic.name).collect();
    assert_eq!(names, ["z-first", "a-dead", "b-gated", "c-skipped", "d-found"]);
    assert_eq!(names, plan.names().collect::<Vec<_>>());
    let of = |name: &str| report.critic(name).unwrap();
    let dead = of("a-dead");
    assert_eq!((dead.status.as_str(), dead.attempts.len(), dead.cost), ("failed", 1, cost));
    assert_eq!((dead.queue_time, dead.execution_time), (ms(0), ms(20)));
    // The dead one held the only permit for 20 ms.
    let found = of("d-found");
    assert_eq!((found.queue_time, found.execution_time), (ms(20), ms(5)));
    assert_eq!(found.finding().unwrap().violations.len(), 1);
    assert_eq!(&*of("b-gated").gate.as_ref().unwrap().reason, "nothing was found");
    assert_eq!(of("c-skipped").attempts.len(), 0);
    let decision = report.decision();
    assert_eq!((decision.verdict, report.deciding().len()), (Verdict::Escalate, 2));
    assert_eq!((decision.coverage.answered.len(), decision.coverage.missing.len()), (2, 2));
    assert_eq!(report.cost().total.spent.0, 14);
    let timing = report.stages().iter().find(|timing| timing.stage == Stage::CoreAnalysis);
    assert_eq!(timing.map(|timing| (timing.opened, timing.closed)), Some((ms(10), ms(35))));
    assert_eq!(report.elapsed(), ms(35));
    assert_eq!(report.record().critics.len(), 5);
}

/// Panics where an `async fn` cannot: before there is a future.
struct PanicsAtOnce;

impl Critic for PanicsAtOnce {
    fn evaluate<'a, 'b, 'f>(
        &'a self,
        _ctx: &'b CriticContext,
    ) -> Pin<Box<dyn Future<Output = Result<CriticOutput, CriticError>> + Send + 'f>>
    where
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        panic!("at once")
    }
}

/// Verifies: CRIT-157
#[tokio::test(start_paused = true)]
async fn a_critic_that_panics_before_it_gives_a_future_is_a_panic_like_any_other() {
    let hints = [ExecutionHint::Inline, ExecutionHint::Spawn, ExecutionHint::Blocking];
    let at_once =
        |hint: ExecutionHint| CriticSpec::new(format!("{hint:?}"), PanicsAtOnce).hint(hint);
    let report = run(&plan(hints.map(at_once))).await;
    for critic in report.critics() {
        let Status::Failed { kind: ErrorKind::Panic, message } = &critic.status else {
            panic!("{}: {:?}", critic.name, critic.status);
        };
        assert_eq!(&**message, "at once");
    }
    assert!(report.elapsed() < ms(1), "{:?}", report.elapsed());
}
