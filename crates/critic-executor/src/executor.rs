use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod attempt;
mod driver;
mod hook_board;
mod node;
mod options;
mod settings;
mod shared;
mod snapshot;
mod timers;
mod trace;

pub use options::{RunCanceller, RunOptions};
pub use settings::ExecutorSettings;
pub use snapshot::{ExecutorSnapshot, PermitUse, RunningAttempt};

use driver::{Driver, DriverStart};
#[cfg(feature = "metrics")]
pub(crate) use hook_board::HookCounters;
#[cfg(feature = "metrics")]
pub(crate) use shared::Counters;
pub(crate) use shared::ExecShared;

use hook_board::HookBoard;
use shared::{Event, RunShared};
use trace::RunTrace;

use crate::admission::breaker::BreakerState;
use crate::cache::AnswerCache;
use crate::context::RunScope;
use crate::cost::{Cost, CostSummary};
use crate::foresight::DryRun;
use crate::hooks::{HookDelivery, Hooks, RunInfo};
use crate::input::RunInput;
use crate::judgement::Judgement;
use crate::money::MicroDollars;
use crate::plan::{ExecutionPlan, RunTimeout};
use crate::report::{CriticReport, RunReport, StageTiming};
use crate::stage::Stage;
use crate::status::{AnswerSource, CancelReason, Status};

/// Why a run could not start. Whatever happens later is in its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// All places for runs are taken, and so are all places in their queue.
    #[error("the executor's run queue is full; try again later")]
    Rejected,
    /// The executor was shut down.
    #[error("the executor is shut down")]
    Shutdown,
}

/// What belongs to runs at this moment. All of it is zero, at the latest a grace and a cleanup limit after the
/// last run has ended; blocking calls that never return keep their permits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// Tasks: attempts, cleanups, hooks, and the timer for tokens.
    pub tasks: usize,
    /// Permits taken.
    pub permits: usize,
    /// Critics waiting for a permit.
    pub queued: usize,
    /// Timers for tokens.
    pub timers: usize,
    /// Runs that hold something.
    pub runs: usize,
    /// Blocking calls that go on after their attempts have ended.
    pub detached_blocking: usize,
}

/// What went wrong without changing a result, since the executor was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Incidents {
    /// Results that came after their deadline or after a cancellation, and were dropped.
    pub late_results: u64,
    /// Hooks that failed, panicked or took too long.
    pub hook_errors: u64,
    /// Events that no hook was told of, because its queue was full.
    pub hook_events_dropped: u64,
    /// Cleanups that panicked or took too long.
    pub cleanup_errors: u64,
    /// Calls of the cache that failed.
    pub cache_errors: u64,
    /// Retries that the retry budget did not allow.
    pub retry_budget_exhausted: u64,
}

/// The state of what critics of one name share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriticState {
    /// The critics' name.
    pub name: Arc<str>,
    /// Attempts outstanding.
    pub in_use: usize,
    /// How many may be.
    pub limit: Option<usize>,
    /// The time until there is a token; zero if there is one, `None` without a rate limit.
    pub next_token: Option<Duration>,
    /// The breaker, if there is one.
    pub breaker: Option<BreakerState>,
    /// Outstanding probes of a half-open breaker.
    pub probes: u32,
    /// Retries that the retry budget did not allow.
    pub retry_budget_exhausted: u64,
}

/// Runs plans. It owns the limits, queues, token buckets and breakers, which hold over all its runs: one executor
/// serves a whole process. Clones are the same executor.
///
/// A critic may run another plan on the executor that runs it, and holds its own permit meanwhile. Where such critics
/// take all permits, what they run waits until their deadlines pass: nested plans want an executor of their own, or
/// fewer outer critics at once ([`CriticSpec::concurrency`](crate::CriticSpec::concurrency)) than permits.
///
/// ```
/// use critic_executor::{CriticContext, CriticOutput, CriticSpec, ExecutionPlan, Executor, Finding, RunInput, Verdict};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let short = |ctx: CriticContext| async move {
///     let severity = if ctx.input().len() > 20 { 0.7 } else { 0.0 };
///     Ok(Finding::new(severity).into())
/// };
/// let plan = ExecutionPlan::build([CriticSpec::new("short", short)]).unwrap();
/// let executor = Executor::default();
/// let report = executor.run(&plan, RunInput::new("a text of more than twenty bytes")).await.unwrap();
/// assert_eq!(report.decision().verdict, Verdict::Escalate);
/// assert_eq!(report.decision().coverage.ratio(), 1.0);
/// # });
/// ```
#[derive(Clone)]
pub struct Executor {
    pub(crate) shared: Arc<ExecShared>,
}

/// Collects what an executor is made of.
#[derive(Default)]
pub struct ExecutorBuilder {
    settings: ExecutorSettings,
    hooks: HookBoard,
    cache: Option<Arc<dyn AnswerCache>>,
    #[cfg(feature = "metrics")]
    metrics: Option<crate::metrics::ExecutorMetrics>,
}

impl ExecutorBuilder {
    /// Sets the limits.
    #[must_use]
    pub fn settings(mut self, settings: ExecutorSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Adds hooks.
    #[must_use]
    pub fn hooks(mut self, hooks: Arc<dyn Hooks>, delivery: HookDelivery) -> Self {
        self.hooks.add(hooks, delivery);
        self
    }

    /// Sets where answers of earlier runs are.
    #[must_use]
    pub fn cache(mut self, cache: Arc<dyn AnswerCache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Counts into these metrics: feature `metrics`.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics(mut self, metrics: &crate::metrics::ExecutorMetrics) -> Self {
        self.metrics = Some(metrics.clone());
        self
    }

    /// Makes the executor.
    #[must_use]
    pub fn build(self) -> Executor {
        #[cfg_attr(not(feature = "metrics"), expect(unused_mut, reason = "metrics are set below"))]
        let mut shared = ExecShared::new(self.settings, self.hooks, self.cache);
        #[cfg(feature = "metrics")]
        {
            shared.metrics.clone_from(&self.metrics);
        }
        let executor = Executor { shared: Arc::new(shared) };
        #[cfg(feature = "metrics")]
        if let Some(metrics) = &self.metrics {
            metrics.watch(&executor.shared);
        }
        executor
    }
}

impl Default for Executor {
    fn default() -> Self {
        Self::new(ExecutorSettings::default())
    }
}

impl Executor {
    /// An executor with limits, and neither hooks nor cache.
    #[must_use]
    pub fn new(settings: ExecutorSettings) -> Self {
        Self::builder().settings(settings).build()
    }

    /// An executor to configure.
    #[must_use]
    pub fn builder() -> ExecutorBuilder {
        ExecutorBuilder::default()
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &ExecutorSettings {
        &self.shared.settings
    }

    /// Runs a plan over an input. Must be awaited within a tokio runtime with time enabled.
    ///
    /// Dropping the future cancels everything of the run.
    ///
    /// # Errors
    /// Only if the run could not start; whatever happens later is in the report.
    pub async fn run(
        &self,
        plan: &ExecutionPlan,
        input: impl Into<Arc<RunInput>>,
    ) -> Result<RunReport, RunError> {
        self.run_with(plan, input, RunOptions::new()).await
    }

    /// Runs a plan over an input, with something different for this run.
    ///
    /// # Errors
    /// Only if the run could not start; whatever happens later is in the report.
    pub async fn run_with(
        &self,
        plan: &ExecutionPlan,
        input: impl Into<Arc<RunInput>>,
        mut options: RunOptions,
    ) -> Result<RunReport, RunError> {
        let mut registration = options.registration.take();
        let admitted = self.admit(plan, input.into(), options);
        #[cfg(feature = "metrics")]
        if let Some(metrics) = &self.shared.metrics {
            match &admitted {
                Ok(_) => metrics.run_started(),
                Err(RunError::Rejected) => metrics.run_refused("rejected"),
                Err(RunError::Shutdown) => metrics.run_refused("shutdown"),
            }
        }
        let mut driver = admitted?;
        let deadline = driver.deadline_ns.map(|deadline_ns| self.shared.to_instant(deadline_ns));
        let info = (!self.shared.hooks.is_empty()).then(|| RunInfo {
            run_id: Arc::clone(&driver.scope.run_id),
            input: Arc::clone(&driver.scope.input),
        });
        if let Some(info) = &info {
            let events = plan.len().saturating_mul(16).clamp(64, 65_536);
            let hooks =
                self.shared.hooks.start(info, events, &self.shared.tracker, &driver.shared.handle);
            hooks.before(&self.shared.hooks, deadline).await;
            driver.hooks = Some(hooks);
        }
        poll_fn(|cx| driver.poll(cx)).await;
        let hooks = driver.hooks.take();
        let trace = driver.trace.take();
        let report = self.report(driver);
        #[cfg(feature = "metrics")]
        if let Some(metrics) = &self.shared.metrics {
            metrics.run_ended(&report);
        }
        if let Some(trace) = trace {
            trace.end(&report);
        }
        if let Some(registration) = &mut registration {
            registration.end(report.cancelled().cloned());
        }
        match hooks {
            None => Ok(report),
            Some(hooks) => {
                let report = Arc::new(report);
                hooks.after(&self.shared.hooks, &report, deadline).await;
                Ok(Arc::unwrap_or_clone(report))
            }
        }
    }

    /// What a run of a plan over an input would do, as far as that can be told without calling a critic: whose
    /// gates let them run, who is gated, and whose gates depend on what others will find. Conditions of policies
    /// are asked where all of their evidence is known.
    ///
    /// ```
    /// use critic_executor::{
    ///     CriticContext, CriticOutput, CriticSpec, ExecutionPlan, Executor, Policy, RiskLevel, RunInput, Stage,
    /// };
    ///
    /// let fine = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
    /// let plan = ExecutionPlan::build([
    ///     CriticSpec::new("words", fine).stage(Stage::FastCritics),
    ///     CriticSpec::new("judge", fine).policy(Policy::on_high_risk()),
    /// ])?;
    /// let told = |risk| Executor::default().dry_run(&plan, &RunInput::new("text").risk(risk)).to_string();
    /// assert!(told(RiskLevel::High).contains("judge: runs: the risk is high, at least high"));
    /// assert!(told(RiskLevel::Low).contains("judge: depends on words"));
    /// # Ok::<(), critic_executor::PlanErrors>(())
    /// ```
    #[must_use]
    pub fn dry_run(&self, plan: &ExecutionPlan, input: &RunInput) -> DryRun {
        DryRun::of(plan, input)
    }

    fn admit(
        &self,
        plan: &ExecutionPlan,
        input: Arc<RunInput>,
        options: RunOptions,
    ) -> Result<Driver, RunError> {
        let handle = Handle::current();
        let number = self.shared.next_run.fetch_add(1, Ordering::Relaxed);
        let timeout = match plan.run_timeout() {
            RunTimeout::Executor => self.shared.settings.run_timeout,
            RunTimeout::After(timeout) => Some(timeout),
            RunTimeout::Unlimited => None,
        };
        let queue_limit = self.shared.settings.run_queue_limit;
        let started_ns = self.shared.now_ns();
        let run_id = options.run_id.unwrap_or_else(|| format!("run-{number}").into());
        let (shared, resources, is_admitted) = self.shared.with_core(|core, now_ns| {
            if core.is_shut_down {
                return Err(RunError::Shutdown);
            }
            let is_admitted = core.may_run() && core.run_queue.is_empty();
            if !is_admitted && core.run_queue.len() >= queue_limit {
                return Err(RunError::Rejected);
            }
            let shared = core.take_slot(|slot| {
                RunShared::new(
                    slot,
                    Arc::clone(&run_id),
                    handle,
                    Arc::clone(&self.shared),
                    plan.clone(),
                )
            });
            let resources = core.bind(plan, now_ns);
            core.admission.open_run(shared.slot, plan.budget(), now_ns);
            if is_admitted {
                core.active_runs += 1;
            } else {
                core.run_queue.push_back(Arc::clone(&shared));
            }
            Ok((shared, resources, is_admitted))
        })?;
        let trace = RunTrace::start(&run_id, plan.len());
        Ok(Driver::new(DriverStart {
            exec: Arc::clone(&self.shared),
            plan: plan.clone(),
            scope: Arc::new(RunScope {
                input,
                run_id,
                token: CancellationToken::new(),
                _left: options.left,
            }),
            shared,
            cleanups: options.cleanups,
            resources,
            canceller: options.canceller,
            seed: options.seed,
            is_gating: !options.is_ungated,
            is_admitted,
            started_ns,
            timeout,
            trace,
        }))
    }

    fn report(&self, mut driver: Driver) -> RunReport {
        let (outcomes, mut gates) = driver.take_outcomes();
        driver.end();
        let plan = driver.plan.clone();
        let judgement = Judgement::of(&plan.inner, outcomes.iter().flatten());
        let mut cost = CostSummary::default();
        let mut critics = Vec::with_capacity(outcomes.len());
        for (index, outcome) in (0..).zip(outcomes.into_iter().flatten()) {
            let spec = &plan.inner.node(index).spec;
            let node = &mut driver.nodes[index as usize];
            let saved = |applies: bool| if applies { spec.cost } else { MicroDollars::ZERO };
            let is_hit = outcome.status == Status::Succeeded { source: AnswerSource::Cache };
            let spent = Cost {
                spent: node.cost,
                wasted: node.wasted,
                saved_by_gating: saved(outcome.status.is_benign() && !outcome.status.is_answer()),
                saved_by_cache: saved(is_hit),
            };
            cost.total.add(&spent);
            cost.stages[spec.stage.index()].add(&spent);
            cost.critics.push((Arc::clone(&spec.name), spent));
            let execution: Duration = node.attempts.iter().map(|attempt| attempt.duration).sum();
            critics.push(CriticReport {
                name: Arc::clone(&spec.name),
                stage: spec.stage,
                contribution: plan.inner.total_contribution(index, &outcome),
                status: outcome.status,
                attempts: std::mem::take(&mut node.attempts),
                queue_time: Duration::from_nanos(node.queue_ns),
                rate_limit_wait: Duration::from_nanos(node.token_wait_ns),
                execution_time: execution,
                cost: node.cost,
                gate: gates.get_mut(index as usize).and_then(Option::take),
                output: outcome.output,
                warnings: std::mem::take(&mut node.warnings),
            });
        }
        let since_start = |ns: u64| Duration::from_nanos(ns.saturating_sub(driver.started_ns));
        let now_ns = self.shared.now_ns();
        let stages = Stage::ALL.iter().zip(&driver.stages).filter_map(|(stage, times)| {
            let closed = since_start(times.closed_ns.unwrap_or(now_ns));
            Some(StageTiming { stage: *stage, opened: since_start(times.opened_ns?), closed })
        });
        RunReport {
            run_id: Arc::clone(&driver.scope.run_id),
            critics,
            decision: judgement.decision,
            deciding: judgement.deciding,
            edits: judgement.edits,
            cost,
            stages: stages.collect(),
            elapsed: since_start(now_ns),
            cancelled: driver.cancelled.clone(),
            is_degraded: judgement.is_degraded,
            is_short_circuited: driver.is_short_circuited,
            input: Arc::clone(&driver.scope.input),
            seed: driver.seed,
            is_gating: driver.is_gating,
            plan,
        }
    }

    /// What belongs to runs at this moment.
    #[must_use]
    pub fn activity(&self) -> Activity {
        let tasks = self.shared.tracker.len();
        self.shared.with_core(|core, _| Activity {
            tasks,
            permits: core.admission.in_use(),
            queued: core.admission.queue_len(),
            timers: usize::from(core.admission.next_timer_ns().is_some()),
            runs: core.runs.iter().flatten().count(),
            detached_blocking: core.admission.detached_blocking(),
        })
    }

    /// What went wrong without changing a result.
    #[must_use]
    pub fn incidents(&self) -> Incidents {
        let counters = &self.shared.counters;
        let hooks = &self.shared.hooks.counters;
        Incidents {
            late_results: counters.late_results.load(Ordering::Relaxed),
            hook_errors: hooks.errors.load(Ordering::Relaxed),
            hook_events_dropped: hooks.dropped.load(Ordering::Relaxed),
            cleanup_errors: counters.cleanup_errors.load(Ordering::Relaxed),
            cache_errors: counters.cache_errors.load(Ordering::Relaxed),
            retry_budget_exhausted: counters.retry_budget_exhausted.load(Ordering::Relaxed),
        }
    }

    /// What critics of each name share, by name.
    #[must_use]
    pub fn critic_states(&self) -> Vec<CriticState> {
        self.shared.with_core(|core, now_ns| core.critic_states(now_ns))
    }

    /// Changes how many attempts may be outstanding. Raising admits waiters at once; lowering stops nobody.
    pub fn set_global_limit(&self, limit: Option<usize>) {
        self.shared.with_core(|core, now_ns| core.admission.set_global_limit(limit, now_ns));
    }

    /// Changes how many attempts of a stage may be outstanding.
    pub fn set_stage_limit(&self, stage: Stage, limit: Option<usize>) {
        self.shared.with_core(|core, now_ns| core.admission.set_stage_limit(stage, limit, now_ns));
    }

    /// Changes how many attempts of critics of a name may be outstanding, whatever their plans say. False if no
    /// plan that ran here names it.
    pub fn set_critic_limit(&self, name: &str, limit: Option<usize>) -> bool {
        self.shared.with_core(|core, now_ns| core.admission.set_critic_limit(name, limit, now_ns))
    }

    /// Changes how many runs there may be at once.
    pub fn set_max_concurrent_runs(&self, limit: Option<usize>) {
        self.shared.with_core(|core, _| {
            core.max_runs = limit;
            core.admit_runs();
        });
    }

    /// Holds a critic's breaker open. False if it has none.
    pub fn force_breaker_open(&self, name: &str) -> bool {
        self.shared.with_core(|core, now_ns| core.admission.force_breaker(name, Some(true), now_ns))
    }

    /// Holds a critic's breaker closed. False if it has none.
    pub fn force_breaker_closed(&self, name: &str) -> bool {
        self.shared
            .with_core(|core, now_ns| core.admission.force_breaker(name, Some(false), now_ns))
    }

    /// Closes a critic's breaker, forgets its failures, and lets it decide again. False if it has none.
    pub fn reset_breaker(&self, name: &str) -> bool {
        self.shared.with_core(|core, now_ns| core.admission.force_breaker(name, None, now_ns))
    }

    /// Refuses new runs, lets running ones end for so long, and cancels the rest. Returns the ids of the runs that
    /// were cut. Blocking calls that never return are left behind.
    pub async fn shutdown(&self, grace: Duration) -> Vec<Arc<str>> {
        self.shared.with_core(|core, _| core.is_shut_down = true);
        let deadline = Instant::now() + grace;
        self.wait_for_runs(deadline).await;
        let rest: Vec<_> =
            self.shared.with_core(|core, _| core.runs.iter().flatten().map(Arc::clone).collect());
        let open = rest.iter().filter(|run| run.is_open());
        let cut = open.map(|run| Arc::clone(&run.run_id)).collect();
        for run in rest {
            run.push(Event::Cancel(CancelReason::Shutdown));
        }
        let settings = &self.shared.settings;
        self.wait_for_runs(Instant::now() + settings.grace + settings.cleanup_limit).await;
        cut
    }

    async fn wait_for_runs(&self, deadline: Instant) {
        loop {
            let ended = self.shared.run_ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if self.shared.with_core(|core, _| core.active_runs == 0 && core.run_queue.is_empty()) {
                return;
            }
            if tokio::time::timeout_at(deadline, ended).await.is_err() {
                return;
            }
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("activity", &self.activity()).finish_non_exhaustive()
    }
}
