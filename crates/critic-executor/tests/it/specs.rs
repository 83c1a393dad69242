//! What a critic is made of, and what it is without anybody saying so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use critic_executor::{
    BreakerPolicy, Critic, CriticContext, CriticError, CriticOutput, CriticSpec, DependencyKind,
    ExecutionHint, ExecutionPlan, Executor, FailureMode, Jitter, MicroDollars, Policy, RateLimit,
    RateLimitMode, RetryPolicy, RunInput, SeverityRule, Stage, StageMode, TripRule,
};

use crate::support::{clean, failing, found, ms, plan, statuses, violation};

/// Verifies: CRIT-004
#[test]
fn a_spec_carries_everything_that_a_plan_is_told_of_a_critic() {
    let spec = clean("judge", 1)
        .stage(Stage::DeepAnalysis)
        .priority(2)
        .requires(["words"])
        .after(["length"])
        .policy(Policy::OnViolation)
        .evidence(["words"])
        .attempt_timeout(ms(1))
        .total_timeout(ms(2))
        .queue_timeout(ms(3))
        .retry(RetryPolicy::attempts(4))
        .rate_limit(RateLimit::per_second(5.0).burst(6).reject())
        .concurrency(7)
        .breaker(BreakerPolicy::consecutive(8))
        .cost(MicroDollars(9))
        .failure_mode(FailureMode::FailOpen)
        .validators(["shape"])
        .hint(ExecutionHint::Blocking)
        .tag("slow");
    let plan = ExecutionPlan::builder()
        .critics([clean("words", 1), clean("length", 1), spec])
        .validator("shape", |_: &CriticOutput, _: &RunInput| Vec::new())
        .build()
        .unwrap();
    let kept = plan.spec("judge").unwrap();
    assert_eq!((&*kept.name, kept.stage, kept.priority), ("judge", Stage::DeepAnalysis, 2));
    let upstream: Vec<_> = kept.depends_on.iter().map(|d| (&*d.name, d.kind)).collect();
    let (requires, after) = (DependencyKind::Requires, DependencyKind::After);
    assert_eq!(upstream, [("words", requires), ("length", after)]);
    assert_eq!((kept.policy.name(), kept.evidence.as_ref().unwrap().len()), ("on_violation", 1));
    let timeouts = [kept.attempt_timeout, kept.total_timeout, kept.queue_timeout];
    assert_eq!(timeouts, [Some(ms(1)), Some(ms(2)), Some(ms(3))]);
    assert_eq!(kept.retry.max_attempts, 4);
    let rate = kept.rate_limit.unwrap();
    assert_eq!((rate.per_second, rate.burst, rate.mode), (5.0, 6, RateLimitMode::Reject));
    assert_eq!((kept.concurrency, kept.cost), (Some(7), MicroDollars(9)));
    assert_eq!(kept.breaker.unwrap().trip, TripRule::Consecutive(8));
    assert_eq!((kept.failure_mode, kept.hint), (FailureMode::FailOpen, ExecutionHint::Blocking));
    assert_eq!((kept.validators.len(), kept.tags.len()), (1, 1));
}

/// Verifies: CRIT-005
#[test]
fn a_spec_that_says_nothing_has_the_documented_defaults() {
    let spec = clean("plain", 0);
    assert_eq!((spec.stage, spec.priority), (Stage::CoreAnalysis, 5));
    assert_eq!((spec.policy.name(), spec.evidence), ("always", None));
    assert_eq!(spec.attempt_timeout, Some(Duration::from_secs(10)));
    assert_eq!((spec.total_timeout, spec.queue_timeout), (None, None));
    assert_eq!(spec.retry.max_attempts, 1);
    assert_eq!((spec.rate_limit, spec.concurrency, spec.breaker), (None, None, None));
    assert_eq!((spec.cost, spec.failure_mode), (MicroDollars::ZERO, FailureMode::FailClosed));
    assert_eq!(spec.hint, ExecutionHint::Spawn);
    assert!(spec.fallback.is_none() && !spec.is_lenient);
    assert!(spec.depends_on.is_empty() && spec.validators.is_empty() && spec.tags.is_empty());
    assert!(matches!(spec.severity_rule, SeverityRule::Plan));
}

/// Verifies: CRIT-130
#[test]
fn a_retry_policy_that_says_nothing_has_the_documented_defaults() {
    let retry = RetryPolicy::default();
    assert_eq!((retry.base, retry.multiplier), (ms(200), 2.0));
    assert_eq!((retry.cap, retry.jitter), (Duration::from_secs(30), Jitter::Full));
    assert!(retry.on_transient && retry.on_rate_limited && retry.on_attempt_timeout);
    assert!(!retry.on_invalid);
}

/// Verifies: CRIT-006
#[tokio::test(start_paused = true)]
async fn there_are_six_ordered_stages_and_each_may_be_empty() {
    let names = Stage::ALL.map(Stage::as_str);
    let expected = [
        "pre_validation",
        "fast_critics",
        "core_analysis",
        "deep_analysis",
        "post_processing",
        "validation",
    ];
    assert_eq!(names, expected);
    assert!(Stage::ALL.is_sorted() && Stage::ALL.map(Stage::index) == [0, 1, 2, 3, 4, 5]);
    for left_out in Stage::ALL {
        let stages = Stage::ALL.into_iter().filter(|stage| *stage != left_out);
        let critics = stages.map(|stage| clean(stage.as_str(), 10).stage(stage));
        let plan =
            ExecutionPlan::builder().mode(StageMode::Strict).critics(critics).build().unwrap();
        let report = Executor::default().run(&plan, RunInput::new("x")).await.unwrap();
        assert_eq!((report.decision().coverage.answered.len(), report.elapsed()), (5, ms(50)));
        let order: Vec<_> = report.critics().iter().map(|critic| critic.stage).collect();
        assert!(order.is_sorted() && !order.contains(&left_out));
    }
}

/// Verifies: CRIT-027
#[tokio::test(start_paused = true)]
async fn a_name_says_nothing_about_a_critic() {
    let names = ["pii_fast", "high-risk judge", "PreValidation", "always", "critical!", "x"];
    let critics = names.map(|name| clean(name, 10));
    for spec in &critics {
        assert_eq!((spec.stage, spec.priority), (Stage::CoreAnalysis, 5));
        assert_eq!(spec.policy.name(), "always");
    }
    let report = Executor::default().run(&plan(critics), RunInput::new("x")).await.unwrap();
    assert_eq!(report.elapsed(), ms(10), "nobody waits for anybody");
    assert_eq!(report.decision().coverage.answered.len(), names.len());
    for name in names {
        let alone = plan([found(name, 1, violation(0.3))]);
        let report = Executor::default().run(&alone, RunInput::new("x")).await.unwrap();
        assert_eq!(report.decision().verdict, critic_executor::Verdict::Allow, "{name}");
    }
}

/// Counts how often a plan asks for its settings, which building does for digest and cache key.
struct Asked(Arc<AtomicUsize>);

#[async_trait]
impl Critic for Asked {
    async fn evaluate(&self, _ctx: &CriticContext) -> Result<CriticOutput, CriticError> {
        tokio::time::sleep(ms(10)).await;
        Ok(CriticOutput::clean())
    }

    fn settings(&self) -> serde_json::Value {
        self.0.fetch_add(1, Ordering::SeqCst);
        serde_json::json!("asked")
    }
}

/// Verifies: CRIT-020
#[tokio::test(start_paused = true)]
async fn a_plan_is_built_once_and_used_by_any_number_of_runs_at_once() {
    fn is_shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let asked = Arc::new(AtomicUsize::new(0));
    let plan = plan([
        CriticSpec::new("asked", Asked(Arc::clone(&asked))),
        failing("dead", 1, || CriticError::permanent("no")),
    ]);
    is_shared(&plan);
    let at_build = asked.load(Ordering::SeqCst);
    let (digest, executors) = (plan.digest(), [Executor::default(), Executor::default()]);
    let runs = (0..40).map(|index: usize| {
        let (executor, plan) = (executors[index % 2].clone(), plan.clone());
        async move { executor.run(&plan, RunInput::new("x")).await.unwrap() }
    });
    let reports = futures_util::future::join_all(runs).await;
    for report in &reports {
        assert_eq!(statuses(report), [("asked", "succeeded"), ("dead", "failed")]);
        assert_eq!(report.record(), reports[0].record());
    }
    assert_eq!(asked.load(Ordering::SeqCst), at_build, "a run validates nothing again");
    assert_eq!(plan.digest(), digest);
}
