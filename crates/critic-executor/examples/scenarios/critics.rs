//! Critics of known time, cost and findings, and the plans and executors that the scenarios are made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use critic_executor::{
    BreakerPolicy, CriticContext, CriticError, CriticOutput, CriticSpec, ExecutionPlan, Executor,
    ExecutorSettings, FailureMode, Finding, Jitter, MicroDollars, OnExhausted, PlanErrors, Policy,
    RetryPolicy, Stage, StageMode, Violation,
};

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn dollars(dollars: f64) -> MicroDollars {
    MicroDollars::from_dollars(dollars)
}

/// A finding of this severity; any severity above zero comes with a violation.
fn finding(severity: f64) -> Finding {
    let found = Finding::new(severity);
    if severity > 0.0 {
        found.with_violation(Violation::new("example", "something was found"))
    } else {
        found
    }
}

/// A critic that takes so long and finds this much.
fn critic(name: String, millis: u64, severity: f64) -> CriticSpec {
    CriticSpec::new(name, move |_ctx: CriticContext| async move {
        tokio::time::sleep(ms(millis)).await;
        Ok(finding(severity).into())
    })
}

/// CRIT-280: two fast critics, and eight behind a gate that nothing opens.
pub(crate) fn low_risk() -> Result<ExecutionPlan, PlanErrors> {
    let fast = (0..2).map(|index| {
        critic(format!("fast-{index}"), 50, 0.0).stage(Stage::FastCritics).cost(dollars(0.005))
    });
    let deep = (0..8).map(|index| {
        let cost = dollars(if index == 0 { 0.07 } else { 0.06 });
        let deep =
            critic(format!("deep-{index}"), 2500 - 100 * index, 0.0).stage(Stage::DeepAnalysis);
        deep.policy(Policy::OnViolation).cost(cost)
    });
    ExecutionPlan::build(fast.chain(deep))
}

/// CRIT-281: what the fast critics find opens the gates of all others.
pub(crate) fn high_risk(mode: StageMode) -> Result<ExecutionPlan, PlanErrors> {
    let names = ["fast-0", "fast-1"];
    let fast = names.map(|name| {
        critic(name.to_owned(), 50, 0.7).stage(Stage::FastCritics).cost(dollars(0.005))
    });
    let gated = |spec: CriticSpec, cost| {
        spec.policy(Policy::OnViolation).evidence(names).cost(dollars(cost))
    };
    let core = (0..3).map(|index| gated(critic(format!("core-{index}"), 400, 0.0), 0.05));
    let deep = (0..5).map(|index| {
        gated(critic(format!("deep-{index}"), 1200, 0.0).stage(Stage::DeepAnalysis), 0.08)
    });
    ExecutionPlan::builder().mode(mode).critics(fast).critics(core).critics(deep).build()
}

/// CRIT-282: a call that succeeds so often, by a number that the run's id and the attempt decide alone.
pub(crate) fn flaky(success: f64, attempts: u32) -> Result<ExecutionPlan, PlanErrors> {
    let call = move |ctx: CriticContext| async move {
        let seed = ctx.run_id().parse::<u64>().map_err(CriticError::from)?;
        if fraction(seed * 64 + u64::from(ctx.attempt())) < success {
            Ok(CriticOutput::clean())
        } else {
            Err(CriticError::transient("the service is not available"))
        }
    };
    ExecutionPlan::build([CriticSpec::new("flaky", call).retry(RetryPolicy::attempts(attempts))])
}

/// An evenly spread number in 0 to 1 for each seed (the finaliser of SplitMix64).
fn fraction(seed: u64) -> f64 {
    let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// CRIT-283: two attempts that hang, and a third that answers after 30 ms.
pub(crate) fn hangs_twice(run_timeout: Duration) -> Result<ExecutionPlan, PlanErrors> {
    let call = |ctx: CriticContext| async move {
        if ctx.attempt() < 3 {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(ms(30)).await;
        Ok(CriticOutput::clean())
    };
    let retry = RetryPolicy { base: ms(2000), jitter: Jitter::None, ..RetryPolicy::attempts(3) };
    let judge = CriticSpec::new("judge", call).attempt_timeout(ms(1000)).retry(retry);
    ExecutionPlan::builder().critic(judge).run_timeout(run_timeout).build()
}

/// A service that fails whatever is called while more calls are outstanding than it can take.
#[derive(Default)]
pub(crate) struct Service {
    all: Calls,
    deep: Calls,
}

#[derive(Default)]
struct Calls {
    outstanding: AtomicUsize,
    peak: AtomicUsize,
}

impl Calls {
    fn enter(&self) -> usize {
        let outstanding = self.outstanding.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(outstanding, Ordering::SeqCst);
        outstanding
    }

    fn leave(&self) {
        self.outstanding.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service {
    /// Calls that it takes at once, and deep ones among them.
    pub(crate) const MOST: (usize, usize) = (10, 2);

    /// The most calls that were outstanding at once, and deep ones among them.
    pub(crate) fn peaks(&self) -> (usize, usize) {
        (self.all.peak.load(Ordering::SeqCst), self.deep.peak.load(Ordering::SeqCst))
    }

    async fn call(&self, time: Duration, is_deep: bool) -> Result<CriticOutput, CriticError> {
        let deep = is_deep.then_some(&self.deep);
        let outstanding = (self.all.enter(), deep.map_or(0, Calls::enter));
        tokio::time::sleep(time).await;
        self.all.leave();
        deep.into_iter().for_each(Calls::leave);
        if outstanding.0 > Self::MOST.0 || outstanding.1 > Self::MOST.1 {
            return Err(CriticError::transient("the service is overloaded"));
        }
        Ok(CriticOutput::clean())
    }
}

/// CRIT-284, CRIT-285: ten critics that all call one service; the slower they are, the less urgent.
pub(crate) fn crowd(service: &Arc<Service>) -> Result<ExecutionPlan, PlanErrors> {
    let kinds = [
        ("fast", 2, 50, Stage::FastCritics, 1),
        ("core", 5, 100, Stage::CoreAnalysis, 5),
        ("deep", 3, 200, Stage::DeepAnalysis, 9),
    ];
    let mut builder = ExecutionPlan::builder().run_timeout(ms(60_000));
    for (kind, count, millis, stage, priority) in kinds {
        for index in 0..count {
            let service = Arc::clone(service);
            let call = move |_ctx: CriticContext| {
                let service = Arc::clone(&service);
                async move { service.call(ms(millis), stage == Stage::DeepAnalysis).await }
            };
            let spec = CriticSpec::new(format!("{kind}-{index}"), call);
            builder = builder.critic(spec.stage(stage).priority(priority));
        }
    }
    builder.build()
}

/// No limit of any kind, as where each request starts all of its calls at once.
pub(crate) fn unlimited() -> Executor {
    Executor::new(ExecutorSettings {
        global_limit: None,
        queue_limit: None,
        ..ExecutorSettings::default()
    })
}

/// As many calls at once as the service takes, and so many critics waiting.
pub(crate) fn limited(queue: usize) -> Executor {
    let mut settings = ExecutorSettings {
        global_limit: Some(Service::MOST.0),
        queue_limit: Some(queue),
        ..ExecutorSettings::default()
    };
    settings.stage_limits[Stage::DeepAnalysis.index()] = Some(Service::MOST.1);
    Executor::new(settings)
}

/// CRIT-286: every way in which a critic can be missing.
pub(crate) fn dead(mode: FailureMode) -> Result<ExecutionPlan, PlanErrors> {
    let failing = |name: &'static str, error: fn() -> CriticError| {
        CriticSpec::new(name, move |_ctx: CriticContext| async move { Err(error()) })
    };
    let hanging = CriticSpec::new("hanging", |_ctx: CriticContext| std::future::pending());
    let panicking = CriticSpec::new("panicking", |_ctx: CriticContext| async {
        tokio::task::yield_now().await;
        Err(CriticError::permanent(match std::hint::black_box(None::<&str>) {
            Some(text) => text,
            None => std::panic::panic_any("a critic may panic"),
        }))
    });
    let critics = [
        failing("failing", || CriticError::permanent("no such model")),
        failing("refusing", || CriticError::refused("the judge refuses")),
        hanging.attempt_timeout(ms(100)),
        panicking,
        failing("broken", || CriticError::permanent("never called"))
            .breaker(BreakerPolicy::consecutive(1)),
        critic("costly".to_owned(), 1, 0.0).cost(dollars(1.0)),
        critic("crowded-out".to_owned(), 1, 0.0).priority(10),
    ];
    ExecutionPlan::builder()
        .critics(critics.map(|spec| spec.failure_mode(mode)))
        .budget(dollars(0.5), OnExhausted::SkipCritic)
        .build()
}

/// Room for the four critics of [`dead`] that are called, none for one that waits; the breaker stands open.
pub(crate) async fn dead_executor(plan: &ExecutionPlan) -> Executor {
    let settings = ExecutorSettings {
        global_limit: Some(4),
        queue_limit: Some(0),
        ..ExecutorSettings::default()
    };
    let executor = Executor::new(settings);
    // A run that is given up at once makes the executor know the plan's critics.
    let run = executor.run(plan, critic_executor::RunInput::new(""));
    drop(tokio::time::timeout(Duration::ZERO, run).await);
    tokio::time::sleep(ms(250)).await;
    executor.force_breaker_open("broken");
    executor
}

/// CRIT-287: what the deep critics find never exceeds what the fast ones do.
pub(crate) fn mixed() -> Result<ExecutionPlan, PlanErrors> {
    let judge = |name: String, millis: u64, severity: f64| {
        CriticSpec::new(name, move |ctx: CriticContext| async move {
            tokio::time::sleep(ms(millis)).await;
            Ok(finding(if ctx.input() == "high" { severity } else { 0.0 }).into())
        })
    };
    let fast = (0..2).map(|index| {
        judge(format!("fast-{index}"), 50, 0.7).stage(Stage::FastCritics).cost(dollars(0.005))
    });
    let deep = (0..8).map(|index| {
        let deep = judge(format!("deep-{index}"), 1000, 0.65).stage(Stage::DeepAnalysis);
        deep.policy(Policy::OnViolation).cost(dollars(0.06))
    });
    ExecutionPlan::build(fast.chain(deep))
}
