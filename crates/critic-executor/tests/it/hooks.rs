//! What hooks hear, and that they can do no harm.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use critic_executor::{
    BreakerPolicy, BreakerState, CriticError, ExecutionPlan, Executor, HookDelivery, HookError,
    HookEvent, Hooks, Jitter, Policy, RetryPolicy, RunInfo, RunInput, RunReport, Stage, StageMode,
};

use crate::support::{clean, failing, found, hanging, ms, plan, settled, statuses, violation};

/// Writes down what it hears, run by run.
#[derive(Default)]
struct Listener(Mutex<HashMap<String, Vec<String>>>);

impl Listener {
    fn hear(&self, run: &RunInfo, what: String) {
        self.0.lock().unwrap().entry(run.run_id.to_string()).or_default().push(what);
    }

    fn of(&self, run: &str) -> Vec<String> {
        self.0.lock().unwrap().get(run).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl Hooks for Listener {
    async fn before_run(&self, run: &RunInfo) -> Result<(), HookError> {
        self.hear(run, "before".into());
        Ok(())
    }

    async fn on_event(&self, run: &RunInfo, event: &HookEvent) -> Result<(), HookError> {
        let what = match event {
            HookEvent::StageOpened(stage) => format!("opened {stage}"),
            HookEvent::StageClosed(stage) => format!("closed {stage}"),
            HookEvent::GateDecided { critic, decision } => {
                format!("gate {critic} {}", decision.reason)
            }
            HookEvent::CriticReady { critic } => format!("ready {critic}"),
            HookEvent::CriticStarted { critic } => format!("started {critic}"),
            HookEvent::RetryScheduled { critic, attempt, delay } => {
                format!("retry {critic} {attempt} {delay:?}")
            }
            HookEvent::CriticFinished { critic, status } => {
                format!("finished {critic} {}", status.as_str())
            }
            HookEvent::BreakerChanged { critic, from, to } => {
                format!("breaker {critic} {} {}", from.as_str(), to.as_str())
            }
            other => format!("{other:?}"),
        };
        self.hear(run, what);
        Ok(())
    }

    async fn after_run(&self, run: &RunInfo, report: &RunReport) -> Result<(), HookError> {
        self.hear(run, format!("after {}", report.decision().verdict.as_str()));
        Ok(())
    }
}

fn listening() -> (Arc<Listener>, Executor) {
    let listener = Arc::new(Listener::default());
    let hooks: Arc<dyn Hooks> = Arc::<Listener>::clone(&listener);
    (listener, Executor::builder().hooks(hooks, HookDelivery::default()).build())
}

/// Verifies: CRIT-180
#[tokio::test(start_paused = true)]
async fn hooks_hear_everything_of_a_run_in_its_order() {
    let (listener, executor) = listening();
    let retry = RetryPolicy { jitter: Jitter::None, ..RetryPolicy::attempts(2) };
    let plan = ExecutionPlan::builder()
        .mode(StageMode::Strict)
        .critics([
            clean("fast", 1).stage(Stage::FastCritics),
            failing("flaky", 1, || CriticError::transient("no")).retry(retry),
            clean("gated", 1)
                .stage(Stage::DeepAnalysis)
                .policy(Policy::OnUncertainty { uncertainty_from: 0.5 }),
        ])
        .build()
        .unwrap();
    executor.run(&plan, RunInput::new("x")).await.unwrap();
    let expected = [
        "before",
        "opened pre_validation",
        "closed pre_validation",
        "opened fast_critics",
        "ready fast",
        "started fast",
        "finished fast succeeded",
        "closed fast_critics",
        "opened core_analysis",
        "ready flaky",
        "started flaky",
        "retry flaky 2 200ms",
        "finished flaky failed",
        "closed core_analysis",
        "opened deep_analysis",
        "gate gated no answer is uncertain, but `flaky` is missing",
        "ready gated",
        "started gated",
        "finished gated succeeded",
        "closed deep_analysis",
        "opened post_processing",
        "closed post_processing",
        "opened validation",
        "closed validation",
        "after escalate",
    ];
    assert_eq!(listener.of("run-1"), expected);
}

/// Verifies: CRIT-182, CRIT-180
#[tokio::test(start_paused = true)]
async fn every_critic_starts_before_it_retries_and_finishes_exactly_once_however_it_ends() {
    let (listener, executor) = listening();
    let retry = RetryPolicy::attempts(3);
    let plan = ExecutionPlan::builder()
        .critics([
            clean("fast", 1).stage(Stage::FastCritics),
            clean("gated", 1).policy(Policy::OnViolation),
            clean("skipped", 1).requires(["gated"]),
            failing("flaky", 1, || CriticError::transient("no")).retry(retry),
            hanging("late").attempt_timeout(ms(3)),
            hanging("cut"),
            clean("never", 1).stage(Stage::Validation),
        ])
        .run_timeout(ms(60_000))
        .stage_timeout(Stage::CoreAnalysis, ms(5000))
        .fail_fast()
        .build()
        .unwrap();
    let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
    let heard = listener.of("run-1");
    for (name, status) in statuses(&report) {
        let of: Vec<_> = heard
            .iter()
            .filter_map(|what| {
                let mut words = what.split(' ');
                let (kind, whom) = (words.next()?, words.next()?);
                (whom == name && matches!(kind, "started" | "retry" | "finished")).then_some(kind)
            })
            .collect();
        assert_eq!((of.first(), of.last()), (Some(&"started"), Some(&"finished")), "{name}");
        let middle = &of[1..of.len() - 1];
        assert!(middle.iter().all(|kind| *kind == "retry"), "{name}: {of:?}");
        assert!(heard.contains(&format!("finished {name} {status}")), "{name}: {heard:?}");
    }
    assert_eq!(report.critics().len(), 7);
    assert_eq!(report.critic("gated").unwrap().status.as_str(), "gated");
}

/// Verifies: CRIT-144, CRIT-180
#[tokio::test(start_paused = true)]
async fn hooks_hear_of_breakers_that_change() {
    let (listener, executor) = listening();
    let healthy = Arc::new(AtomicUsize::new(0));
    let flag = Arc::clone(&healthy);
    let critic = move |_ctx: critic_executor::CriticContext| {
        let is_healthy = flag.load(Ordering::SeqCst) == 1;
        async move {
            match is_healthy {
                true => Ok(critic_executor::CriticOutput::clean()),
                false => Err(CriticError::transient("down")),
            }
        }
    };
    let spec = critic_executor::CriticSpec::new("api", critic);
    let policy = BreakerPolicy { successes: 1, ..BreakerPolicy::consecutive(1) };
    let plan = plan([spec.breaker(policy)]);
    executor.run(&plan, RunInput::new("x")).await.unwrap();
    healthy.store(1, Ordering::SeqCst);
    tokio::time::sleep(policy.open).await;
    executor.run(&plan, RunInput::new("x")).await.unwrap();
    assert_eq!(executor.critic_states()[0].breaker, Some(BreakerState::Closed));
    let heard: Vec<_> = ["run-1", "run-2"].iter().flat_map(|run| listener.of(run)).collect();
    let changes: Vec<_> = heard.iter().filter(|what| what.starts_with("breaker")).collect();
    assert_eq!(
        changes,
        ["breaker api closed open", "breaker api open half_open", "breaker api half_open closed"]
    );
}

/// How a hook misbehaves.
#[derive(Clone, Copy, PartialEq)]
enum Ill {
    Fails,
    Panics,
    Hangs,
}

struct IllBehaved(Ill, AtomicUsize);

impl IllBehaved {
    async fn misbehave(&self) -> Result<(), HookError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        match self.0 {
            Ill::Fails => Err("a hook may fail".into()),
            Ill::Panics => panic!("a hook may panic"),
            Ill::Hangs => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Hooks for IllBehaved {
    async fn before_run(&self, _run: &RunInfo) -> Result<(), HookError> {
        self.misbehave().await
    }

    async fn on_event(&self, _run: &RunInfo, _event: &HookEvent) -> Result<(), HookError> {
        self.misbehave().await
    }

    async fn after_run(&self, _run: &RunInfo, _report: &RunReport) -> Result<(), HookError> {
        self.misbehave().await
    }
}

/// Verifies: CRIT-181, CRIT-157
#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_panics_or_hangs_changes_nothing_but_a_counter() {
    let plan = plan([clean("fine", 20), found("bad", 10, violation(0.7))]);
    let alone = Executor::default().run(&plan, RunInput::new("x")).await.unwrap();
    for ill in [Ill::Fails, Ill::Panics, Ill::Hangs] {
        for delivery in [HookDelivery::default(), HookDelivery::Detached { capacity: 100 }] {
            let hooks = Arc::new(IllBehaved(ill, AtomicUsize::new(0)));
            let calls = Arc::clone(&hooks);
            let executor = Executor::builder().hooks(hooks, delivery).build();
            let start = tokio::time::Instant::now();
            let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
            assert_eq!(report.record(), alone.record());
            let is_held_up = ill == Ill::Hangs && delivery == HookDelivery::default();
            // Before, the events that are left, and after: 50 ms each at most.
            let longest = if is_held_up { ms(20 + 150) } else { ms(20) };
            assert!(start.elapsed() <= longest, "{:?}", start.elapsed());
            tokio::time::sleep(ms(3_600_000)).await;
            let incidents = executor.incidents();
            assert!(calls.1.load(Ordering::SeqCst) > 2);
            assert_eq!(incidents.hook_errors, calls.1.load(Ordering::SeqCst) as u64);
            settled(&executor).await;
        }
    }
}

/// Verifies: CRIT-181
#[tokio::test(start_paused = true)]
async fn a_detached_hook_with_a_full_channel_loses_events_and_they_are_counted() {
    let hooks = Arc::new(IllBehaved(Ill::Hangs, AtomicUsize::new(0)));
    let executor = Executor::builder().hooks(hooks, HookDelivery::Detached { capacity: 2 }).build();
    let plan = plan((0..20).map(|index| clean(&format!("c-{index}"), 1)));
    let start = tokio::time::Instant::now();
    let report = executor.run(&plan, RunInput::new("x")).await.unwrap();
    assert_eq!(report.decision().coverage.answered.len(), 20);
    assert_eq!(start.elapsed(), ms(2), "nobody waits for it");
    // Twelve of the stages, three of each critic, and the run itself; two are in the channel, one is being heard.
    let all = 12 + 3 * 20 + 2;
    let dropped = executor.incidents().hook_events_dropped;
    assert!((all - 4..=all - 2).contains(&dropped), "{dropped}");
}

/// Verifies: CRIT-180
#[tokio::test(start_paused = true)]
async fn hooks_that_define_nothing_hear_nothing_and_disturb_nobody() {
    struct Silent;
    impl Hooks for Silent {}
    let executor = Executor::builder().hooks(Arc::new(Silent), HookDelivery::default()).build();
    let report = executor.run(&plan([clean("fine", 5)]), RunInput::new("x")).await.unwrap();
    assert_eq!((report.elapsed(), executor.incidents().hook_errors), (ms(5), 0));
}
