use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use critic_executor::{
    CriticContext, CriticError, CriticOutput, ErrorKind, Executor, Finding, HookDelivery,
    HookError, Hooks, RunInfo, RunInput, RunReport, SimpleError, SimpleOrchestrator, Verdict,
};
use tokio::time::Instant;

use crate::support::{ms, statuses};

async fn sleepy(_ctx: CriticContext) -> Result<CriticOutput, CriticError> {
    tokio::time::sleep(ms(50)).await;
    Ok(CriticOutput::clean())
}

async fn broken(_ctx: CriticContext) -> Result<CriticOutput, CriticError> {
    Err(CriticError::new(ErrorKind::Permanent, "broken"))
}

async fn dying(_ctx: CriticContext) -> Result<CriticOutput, CriticError> {
    tokio::task::yield_now().await;
    panic!("a critic may panic")
}

async fn endless(_ctx: CriticContext) -> Result<CriticOutput, CriticError> {
    std::future::pending().await
}

/// Verifies: CRIT-231
#[tokio::test(start_paused = true)]
async fn many_critics_take_as_long_as_one() {
    let simple = (0..40).fold(SimpleOrchestrator::new(), |simple, index| {
        simple.critic(format!("critic-{index}"), sleepy)
    });
    let started = Instant::now();
    let report = simple.run(RunInput::new("text")).await.unwrap();
    assert_eq!(started.elapsed(), ms(50));
    assert_eq!(report.decision().coverage.answered.len(), 40);
}

fn mixed() -> SimpleOrchestrator {
    SimpleOrchestrator::new()
        .timeout(ms(200))
        .critic("broken", broken)
        .critic("dying", dying)
        .critic("endless", endless)
        .critic_with_fallback("helped", broken, |_ctx: CriticContext| async {
            Ok(Finding::new(0.95).into())
        })
        .critic("sleepy", sleepy)
}

/// Verifies: CRIT-231, CRIT-232
#[tokio::test(start_paused = true)]
async fn critics_fail_alone_and_the_plan_gives_the_same_results() {
    let started = Instant::now();
    let report = mixed().run(RunInput::new("text")).await.unwrap();
    assert!(started.elapsed() <= ms(310), "the timeout and the grace: {:?}", started.elapsed());
    let expected = [
        ("broken", "failed"),
        ("dying", "failed"),
        ("helped", "succeeded"),
        ("sleepy", "succeeded"),
    ];
    let ended = statuses(&report);
    for pair in expected {
        assert!(ended.contains(&pair), "{pair:?} in {ended:?}");
    }
    assert_eq!(report.decision().verdict, Verdict::Block);
    assert!(report.is_degraded(), "a fallback answered");

    let plan = mixed().into_plan().unwrap();
    let same = Executor::default().run(&plan, RunInput::new("text")).await.unwrap();
    assert_eq!(same.decision(), report.decision());
    assert_eq!(same.record(), report.record());
}

/// Verifies: CRIT-231
#[tokio::test(start_paused = true)]
async fn hooks_see_every_run_and_what_cannot_be_planned_is_an_error() {
    #[derive(Default)]
    struct Counting(AtomicUsize);
    #[async_trait]
    impl Hooks for Counting {
        async fn after_run(&self, _run: &RunInfo, report: &RunReport) -> Result<(), HookError> {
            self.0.fetch_add(report.critics().len(), Ordering::Relaxed);
            Ok(())
        }
    }
    let counting = Arc::new(Counting::default());
    let hooks: Arc<dyn Hooks> = Arc::<Counting>::clone(&counting);
    let simple =
        SimpleOrchestrator::new().critic("a", sleepy).hooks(hooks, HookDelivery::default());
    for _ in 0..2 {
        simple.run(RunInput::new("text")).await.unwrap();
    }
    assert_eq!(counting.0.load(Ordering::Relaxed), 2);

    let twice = simple.critic("a", sleepy).run(RunInput::new("text")).await;
    assert!(matches!(twice, Err(SimpleError::Plan(_))), "{twice:?}");
    let zero = SimpleOrchestrator::new().timeout(Duration::ZERO).run(RunInput::new("text")).await;
    assert!(matches!(zero, Err(SimpleError::Plan(_))), "{zero:?}");
}

/// Verifies: CRIT-233
#[test]
fn run_blocking_answers_outside_a_runtime_and_refuses_inside_one() {
    let fine = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
    let simple = SimpleOrchestrator::new().critic("fine", fine);
    for _ in 0..2 {
        let report = simple.run_blocking(RunInput::new("text")).unwrap();
        assert_eq!(report.decision().verdict, Verdict::Allow);
    }
    let one = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let many = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    for runtime in [&one, &many] {
        let refused = runtime.block_on(async { simple.run_blocking(RunInput::new("text")) });
        assert!(matches!(refused, Err(SimpleError::InsideRuntime)), "{refused:?}");
    }
}
