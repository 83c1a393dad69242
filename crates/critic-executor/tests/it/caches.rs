//! Answers that were given before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use critic_executor::{
    AnswerCache, AnswerSource, CacheKey, Critic, CriticContext, CriticError, CriticOutput,
    CriticSpec, Executor, Finding, MicroDollars, RateLimit, RiskLevel, RunInput, Status,
};

use crate::support::{clean, failing, found, ms, plan, statuses, violation};

type CacheError = Box<dyn std::error::Error + Send + Sync>;

/// A cache in memory that can be told to fail.
#[derive(Default)]
struct Memory {
    kept: Mutex<HashMap<CacheKey, CriticOutput>>,
    is_broken: AtomicUsize,
}

#[async_trait]
impl AnswerCache for Memory {
    async fn get(&self, key: &CacheKey) -> Result<Option<CriticOutput>, CacheError> {
        match self.is_broken.load(Ordering::SeqCst) {
            0 => Ok(self.kept.lock().unwrap().get(key).cloned()),
            1 => Err("the cache is down".into()),
            _ => panic!("a cache may panic"),
        }
    }

    async fn put(&self, key: &CacheKey, output: &CriticOutput) -> Result<(), CacheError> {
        self.kept.lock().unwrap().insert(*key, output.clone());
        Ok(())
    }
}

fn caching() -> (Arc<Memory>, Executor) {
    let memory = Arc::new(Memory::default());
    let cache: Arc<dyn AnswerCache> = Arc::<Memory>::clone(&memory);
    (memory, Executor::builder().cache(cache).build())
}

/// Lets what is to be stored be stored.
async fn stored() {
    tokio::time::sleep(ms(1)).await;
}

const HIT: Status = Status::Succeeded { source: AnswerSource::Cache };

/// Verifies: CRIT-183
#[tokio::test(start_paused = true)]
async fn a_hit_takes_no_attempt_no_token_no_permit_and_no_money() {
    let (_, executor) = caching();
    let spec = found("judge", 50, violation(0.7)).cost(MicroDollars(30));
    let plan = plan([spec.rate_limit(RateLimit::per_second(0.001)).concurrency(1)]);
    let first = executor.run(&plan, RunInput::new("x")).await.unwrap();
    stored().await;
    let again = executor.run(&plan, RunInput::new("x")).await.unwrap();
    let (first, hit) = (&first.critics()[0], &again.critics()[0]);
    assert_eq!((&hit.status, hit.attempts.len(), hit.queue_time), (&HIT, 0, ms(0)));
    assert_eq!((hit.finding(), hit.contribution), (first.finding(), first.contribution));
    assert_eq!((again.elapsed(), hit.cost), (ms(0), MicroDollars::ZERO));
    let saved = again.cost().total;
    assert_eq!((saved.spent.0, saved.saved_by_cache.0), (0, 30));
    assert_eq!(again.decision().verdict, critic_executor::Verdict::Escalate);
}

/// Regression 31.
///
/// Verifies: CRIT-183
#[tokio::test(start_paused = true)]
async fn an_empty_finding_is_a_hit_and_an_error_or_a_panic_is_a_miss() {
    let (memory, executor) = caching();
    let plan = plan([clean("clean", 5)]);
    executor.run(&plan, RunInput::new("x")).await.unwrap();
    stored().await;
    let hit = executor.run(&plan, RunInput::new("x")).await.unwrap();
    assert_eq!(hit.critics()[0].status, HIT);
    for broken in [1, 2] {
        memory.is_broken.store(broken, Ordering::SeqCst);
        let miss = executor.run(&plan, RunInput::new("x")).await.unwrap();
        assert_eq!(miss.critics()[0].status, Status::Succeeded { source: AnswerSource::Critic });
        assert_eq!(executor.incidents().cache_errors, broken as u64);
    }
}

/// Verifies: CRIT-183, CRIT-184
#[tokio::test(start_paused = true)]
async fn what_is_in_the_cache_is_validated_as_if_the_critic_had_said_it() {
    let (memory, executor) = caching();
    let plan = plan([clean("clean", 5)]);
    executor.run(&plan, RunInput::new("x")).await.unwrap();
    stored().await;
    for output in memory.kept.lock().unwrap().values_mut() {
        output.finding.severity = 3.0;
    }
    let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
    assert_eq!(report.critics()[0].status, Status::Succeeded { source: AnswerSource::Critic });
    assert_eq!(report.elapsed(), ms(5));
}

/// Regression 31.
///
/// Verifies: CRIT-184
#[tokio::test(start_paused = true)]
async fn only_answers_of_the_critics_themselves_are_kept() {
    let (memory, executor) = caching();
    let stand_in = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
    let dead = || failing("dead", 1, || CriticError::permanent("no"));
    let plan = plan([
        dead(),
        CriticSpec::new("helped", |_ctx: CriticContext| async {
            Err::<CriticOutput, _>(CriticError::permanent("no"))
        })
        .fallback(stand_in),
        found("invalid", 1, Finding::new(9.0)),
        clean("late", 50).attempt_timeout(ms(10)),
    ]);
    for _ in 0..2 {
        let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
        stored().await;
        let expected = [
            ("dead", "failed"),
            ("helped", "succeeded"),
            ("invalid", "invalid"),
            ("late", "timed_out"),
        ];
        assert_eq!(statuses(&report), expected);
        assert!(report.is_degraded(), "the second fallback was asked, too");
    }
    assert!(memory.kept.lock().unwrap().is_empty());
}

/// Answers with its setting.
struct Set(f64);

#[async_trait]
impl Critic for Set {
    async fn evaluate(&self, _ctx: &CriticContext) -> Result<CriticOutput, CriticError> {
        Ok(Finding::new(self.0).into())
    }

    fn settings(&self) -> serde_json::Value {
        self.0.into()
    }
}

/// Verifies: CRIT-184
#[tokio::test(start_paused = true)]
async fn whatever_an_answer_depends_on_is_in_its_key_and_nothing_else() {
    let (memory, executor) = caching();
    let base = || RunInput::new("in").output("out").context("tier", 1).context("noise", 1);
    let spec = |setting: f64| CriticSpec::new("set", Set(setting)).context_keys(["tier"]);
    let upstream = |severity: f64| found("upstream", 0, Finding::new(severity));
    let plain = plan([spec(0.1)]);
    let mut keys = 0;
    let mut hits = Vec::new();
    let cases = [
        (plain.clone(), base(), 1),
        (plain.clone(), base(), 0),
        (plain.clone(), base().context("noise", 2), 0),
        (plain.clone(), base().trace_id("t").risk(RiskLevel::Low), 0),
        (plan([spec(0.1).priority(1).attempt_timeout(ms(9))]), base(), 0),
        (plain.clone(), base().context("tier", 2), 1),
        (plain.clone(), RunInput::new("in").output("out"), 1),
        (plain.clone(), RunInput::new("in2").output("out").context("tier", 1), 1),
        (plain.clone(), RunInput::new("in").context("tier", 1), 1),
        (plan([spec(0.2)]), base(), 1),
        (plan([CriticSpec::new("other", Set(0.1)).context_keys(["tier"])]), base(), 1),
        // The upstream critic is stored, too; its settings are the same, so only its output differs.
        (plan([upstream(0.3), spec(0.1).requires(["upstream"])]), base(), 2),
        (plan([upstream(0.3), spec(0.1).requires(["upstream"])]), base(), 0),
    ];
    for (plan, input, added) in cases {
        let report = executor.run(&plan, input).await.unwrap();
        stored().await;
        keys += added;
        assert_eq!(memory.kept.lock().unwrap().len(), keys, "case {}", hits.len());
        hits.push(report.critics().iter().all(|critic| critic.status == HIT));
    }
    let expected =
        [false, true, true, true, true, false, false, false, false, false, false, false, true];
    assert_eq!(hits, expected);
    // Another output of the upstream critic makes another key for whom depends on it.
    memory.kept.lock().unwrap().clear();
    for severity in [0.3, 0.4] {
        let fresh = Executor::builder().cache(Arc::<Memory>::clone(&memory)).build();
        memory.kept.lock().unwrap().retain(|_, output| output.finding.severity < 0.2);
        let plan = plan([upstream(severity), spec(0.1).requires(["upstream"])]);
        let report = fresh.run(&plan, base()).await.unwrap();
        stored().await;
        let source = AnswerSource::Critic;
        assert_eq!(report.critic("set").unwrap().status, Status::Succeeded { source });
    }
}
