//! The scenarios themselves: each runs in simulated time and says what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use critic_executor::{
    ExecutionPlan, Executor, FailureMode, MicroDollars, RunError, RunInput, RunOptions, RunReport,
    StageMode, Status,
};
use tokio::time::Instant;

use super::critics::{self, Service, ms};

/// What one way of running a scenario came to, over all of its runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// How it was run.
    pub(crate) how: String,
    /// From the first call to the last report.
    pub(crate) elapsed: Duration,
    pub(crate) cost: MicroDollars,
    pub(crate) saved: MicroDollars,
    /// Attempts that were made.
    pub(crate) attempts: usize,
    pub(crate) answered: usize,
    pub(crate) gated: usize,
    pub(crate) missing: usize,
    /// How many runs ended with which verdict.
    pub(crate) verdicts: BTreeMap<&'static str, usize>,
    /// What else is worth knowing.
    pub(crate) note: String,
}

impl Outcome {
    fn new(how: impl Into<String>) -> Self {
        Self { how: how.into(), ..Self::default() }
    }

    fn of(how: impl Into<String>, report: &RunReport) -> Self {
        let mut outcome = Self::new(how);
        outcome.add(report);
        outcome.elapsed = report.elapsed();
        outcome
    }

    fn add(&mut self, report: &RunReport) {
        let decision = report.decision();
        self.cost += report.cost().total.spent;
        self.saved += report.cost().total.saved_by_gating;
        self.attempts += report.critics().iter().map(|critic| critic.attempts.len()).sum::<usize>();
        self.answered += decision.coverage.answered.len();
        self.gated += decision.coverage.gated.len();
        self.missing += decision.coverage.missing.len();
        *self.verdicts.entry(decision.verdict.as_str()).or_default() += 1;
    }
}

/// A scenario and its outcomes.
pub(crate) struct Scenario {
    pub(crate) title: &'static str,
    pub(crate) outcomes: Vec<Outcome>,
}

/// All scenarios, in the order of their requirements.
pub(crate) async fn all() -> Result<Vec<Scenario>, Error> {
    Ok(vec![
        Scenario {
            title: "280  Low risk: 2 fast critics, 8 behind a gate",
            outcomes: gating(&critics::low_risk()?).await?,
        },
        Scenario {
            title: "281  High risk, strict: a barrier after every stage",
            outcomes: gating(&critics::high_risk(StageMode::Strict)?).await?,
        },
        Scenario {
            title: "281  High risk, relaxed: only gates and dependencies order",
            outcomes: gating(&critics::high_risk(StageMode::Relaxed)?).await?,
        },
        Scenario {
            title: "282  A flaky service, 10,000 runs",
            outcomes: vec![
                flaky(0.85, 1).await?,
                flaky(0.85, 2).await?,
                flaky(0.85, 3).await?,
                flaky(0.2, 3).await?,
            ],
        },
        Scenario {
            title: "283  Time-out, 2 s, time-out, 4 s, answer",
            outcomes: vec![hangs_twice(ms(60_000)).await?, hangs_twice(ms(5_000)).await?],
        },
        Scenario {
            title: "284  100 runs of 10 critics call a service that takes 10 calls, 2 deep",
            outcomes: vec![
                crowd("all at once", &critics::unlimited()).await?.into_outcome(),
                crowd("limits of 10 and 2", &critics::limited(1000)).await?.into_outcome(),
            ],
        },
        Scenario {
            title: "285  The same with room for 100 to wait",
            outcomes: vec![crowd("a queue of 100", &critics::limited(100)).await?.into_outcome()],
        },
        Scenario {
            title: "286  Everything dead: error, refusal, time-out, panic, breaker, budget, queue",
            outcomes: vec![
                dead(FailureMode::FailClosed).await?.0,
                dead(FailureMode::FailOpen).await?.0,
            ],
        },
        Scenario {
            title: "287  1,000 requests, 80 % of low risk",
            outcomes: mixed().await?.into_outcomes(),
        },
    ])
}

/// A plan without its gates, then with them.
pub(crate) async fn gating(plan: &ExecutionPlan) -> Result<Vec<Outcome>, RunError> {
    let executor = Executor::default();
    let everything = RunOptions::new().without_gating();
    let all = executor.run_with(plan, RunInput::new("text"), everything).await?;
    let gated = executor.run(plan, RunInput::new("text")).await?;
    Ok(vec![Outcome::of("run everything", &all), Outcome::of("gated", &gated)])
}

pub(crate) type Error = Box<dyn std::error::Error>;

/// 10,000 runs, ten at a time, against a service that answers so often.
pub(crate) async fn flaky(success: f64, attempts: u32) -> Result<Outcome, Error> {
    let (plan, executor) = (critics::flaky(success, attempts)?, Executor::default());
    let mut outcome = Outcome::new(format!("success {success}, attempts {attempts}"));
    let start = Instant::now();
    for tens in 0..1000_u64 {
        let runs = (0..10).map(|one| {
            let seed = tens * 10 + one;
            let options = RunOptions::new().run_id(seed.to_string()).seed(seed);
            executor.run_with(&plan, RunInput::new("text"), options)
        });
        for report in futures_util::future::try_join_all(runs).await? {
            outcome.add(&report);
        }
    }
    outcome.elapsed = start.elapsed();
    let refused = executor.incidents().retry_budget_exhausted;
    let retries = outcome.attempts - 10_000;
    outcome.note = format!("{retries} retries, {refused} refused");
    Ok(outcome)
}

pub(crate) async fn hangs_twice(run_timeout: Duration) -> Result<Outcome, Error> {
    let plan = critics::hangs_twice(run_timeout)?;
    let report = Executor::default().run(&plan, RunInput::new("text")).await?;
    let how = format!("run timeout {} s", run_timeout.as_secs());
    let mut outcome = Outcome::of(how, &report);
    outcome.note = match &report.critics()[0].status {
        Status::TimedOut { scope } => format!("timed out: {}", scope.as_str()),
        status => status.as_str().to_owned(),
    };
    Ok(outcome)
}

/// What a hundred runs came to.
pub(crate) struct Crowd {
    pub(crate) outcome: Outcome,
    pub(crate) reports: Vec<RunReport>,
    /// The most calls of the service at once, and deep ones among them.
    pub(crate) peaks: (usize, usize),
}

pub(crate) async fn crowd(how: &str, executor: &Executor) -> Result<Crowd, Error> {
    let service = Arc::new(Service::default());
    let plan = critics::crowd(&service)?;
    let start = Instant::now();
    let runs = (0..100).map(|_| executor.run(&plan, RunInput::new("text")));
    let reports = futures_util::future::try_join_all(runs).await?;
    let mut outcome = Outcome::new(how);
    reports.iter().for_each(|report| outcome.add(report));
    outcome.elapsed = start.elapsed();
    Ok(Crowd { outcome, reports, peaks: service.peaks() })
}

impl Crowd {
    /// The outcome, with a word on its runs.
    fn into_outcome(mut self) -> Outcome {
        let escalated =
            self.reports.iter().filter(|report| !report.decision().coverage.missing.is_empty());
        let (all, deep) = self.peaks;
        let incomplete = escalated.count();
        self.outcome.note =
            format!("{incomplete} runs incomplete, at most {all} calls at once, {deep} deep");
        self.outcome
    }
}

pub(crate) async fn dead(mode: FailureMode) -> Result<(Outcome, RunReport), Error> {
    let plan = critics::dead(mode)?;
    let executor = critics::dead_executor(&plan).await;
    let report = executor.run(&plan, RunInput::new("text")).await?;
    let mut outcome = Outcome::of(mode.as_str(), &report);
    let degraded = if report.is_degraded() { ", degraded" } else { "" };
    outcome.note = format!("coverage {}{degraded}", report.decision().coverage.ratio());
    Ok((outcome, report))
}

/// What the stream of requests came to, without gates and with them.
pub(crate) struct Mixed {
    pub(crate) outcomes: Vec<Outcome>,
    /// Requests whose verdict the gates changed.
    pub(crate) changed: usize,
}

pub(crate) async fn mixed() -> Result<Mixed, Error> {
    let (plan, executor) = (critics::mixed()?, Executor::default());
    let mut outcomes = vec![Outcome::new("run everything"), Outcome::new("gated")];
    let mut changed = 0;
    for request in 0..1000 {
        let input = Arc::new(RunInput::new(if request % 5 == 0 { "high" } else { "low" }));
        let everything = RunOptions::new().without_gating();
        let all = executor.run_with(&plan, Arc::clone(&input), everything).await?;
        let gated = executor.run(&plan, input).await?;
        changed += usize::from(all.decision().verdict != gated.decision().verdict);
        for (outcome, report) in outcomes.iter_mut().zip([all, gated]) {
            outcome.add(&report);
            outcome.elapsed += report.elapsed();
        }
    }
    Ok(Mixed { outcomes, changed })
}

impl Mixed {
    /// The outcomes, with a word on their verdicts.
    fn into_outcomes(mut self) -> Vec<Outcome> {
        if let Some(gated) = self.outcomes.last_mut() {
            gated.note = format!("{} verdicts changed", self.changed);
        }
        self.outcomes
    }
}
