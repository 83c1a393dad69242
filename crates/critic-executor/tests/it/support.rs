//! Critics of known behaviour.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use critic_executor::{
    CriticContext, CriticError, CriticOutput, CriticSpec, ExecutionPlan, Executor, Finding,
    MicroDollars, RunInput, RunReport, Stage, Violation,
};

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A critic that takes so long and finds nothing.
pub(crate) fn clean(name: &str, millis: u64) -> CriticSpec {
    found(name, millis, Finding::clean())
}

/// A critic that takes so long and finds this.
pub(crate) fn found(name: &str, millis: u64, finding: Finding) -> CriticSpec {
    CriticSpec::new(name, move |_ctx: CriticContext| {
        let finding = finding.clone();
        async move {
            tokio::time::sleep(ms(millis)).await;
            Ok(CriticOutput::from(finding))
        }
    })
}

/// A critic that takes so long and fails with an error made anew each time.
pub(crate) fn failing(name: &str, millis: u64, error: fn() -> CriticError) -> CriticSpec {
    CriticSpec::new(name, move |_ctx: CriticContext| async move {
        tokio::time::sleep(ms(millis)).await;
        Err(error())
    })
}

/// A critic that never ends.
pub(crate) fn hanging(name: &str) -> CriticSpec {
    CriticSpec::new(name, |_ctx: CriticContext| async {
        std::future::pending::<()>().await;
        Ok(CriticOutput::clean())
    })
}

/// A critic that panics.
pub(crate) fn panicking(name: &str) -> CriticSpec {
    async fn die() -> Result<CriticOutput, CriticError> {
        tokio::task::yield_now().await;
        panic!("a critic may panic")
    }
    CriticSpec::new(name, |_ctx: CriticContext| die())
}

pub(crate) fn violation(severity: f64) -> Finding {
    Finding::new(severity).with_violation(Violation::new("bad", "is bad"))
}

pub(crate) fn dollars(dollars: f64) -> MicroDollars {
    MicroDollars::from_dollars(dollars)
}

pub(crate) fn plan(critics: impl IntoIterator<Item = CriticSpec>) -> ExecutionPlan {
    ExecutionPlan::build(critics).unwrap()
}

pub(crate) async fn run(plan: &ExecutionPlan) -> RunReport {
    Executor::default().run(plan, RunInput::new("text")).await.unwrap()
}

pub(crate) fn statuses(report: &RunReport) -> Vec<(&str, &'static str)> {
    report.critics().iter().map(|critic| (&*critic.name, critic.status.as_str())).collect()
}

/// Runs until nothing of any run is left, or the grace and cleanup limit have passed.
pub(crate) async fn settled(executor: &Executor) {
    let settings = executor.settings();
    tokio::time::sleep(settings.grace + settings.cleanup_limit + ms(1)).await;
    assert_eq!(executor.activity(), critic_executor::Activity::default());
}

/// How many calls are outstanding, and how many ever were at once.
#[derive(Default)]
pub(crate) struct Gauge {
    now: AtomicUsize,
    peak: AtomicUsize,
    pub(crate) calls: AtomicUsize,
}

impl Gauge {
    pub(crate) fn enter(self: &Arc<Self>) -> InGauge {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(now, Ordering::SeqCst);
        InGauge(Arc::clone(self))
    }

    pub(crate) fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::SeqCst)
    }
}

pub(crate) struct InGauge(Arc<Gauge>);

impl Drop for InGauge {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A critic that is counted while it works.
pub(crate) fn gauged(name: &str, millis: u64, gauge: &Arc<Gauge>, stage: Stage) -> CriticSpec {
    let gauge = Arc::clone(gauge);
    let critic = move |_ctx: CriticContext| {
        let gauge = Arc::clone(&gauge);
        async move {
            let _inside = gauge.enter();
            tokio::time::sleep(ms(millis)).await;
            Ok(CriticOutput::clean())
        }
    };
    CriticSpec::new(name, critic).stage(stage)
}
