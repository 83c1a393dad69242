//! What is counted, as families that the embedder registers. Runs are counted when they end, all at once, so that
//! nothing is paid per event; what changes between is looked up when a page is written.

mod critic_series;
mod families;
mod sampled;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};
use prometheus_client::registry::Registry;

use critic_series::CriticSeries;
use families::{Families, Labels};
use sampled::Sources;

use crate::admission::BreakerChange;
use crate::executor::ExecShared;
use crate::plan::{ExecutionPlan, PlanInner};
use crate::report::RunReport;
use crate::status::{CancelReason, Status, TimeoutScope};

/// Critics that are told apart by their names; what comes after them is `other`.
const CRITIC_NAMES_MAX: usize = 1000;

/// What stands for all further names.
const OTHER: &str = "other";

/// The metrics of executors and pipelines: feature `metrics`. Clones are the same metrics.
///
/// Families are registered once, under the prefix `critic_executor_`; any number of executors can count into them.
/// Labels are bounded: no id and no text is one, and after the first 1,000 names of critics the rest is `other`.
///
/// ```
/// use critic_executor::{CriticContext, CriticOutput, CriticSpec, ExecutionPlan, Executor, ExecutorMetrics, RunInput};
/// use prometheus_client::{encoding::text::encode, registry::Registry};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let mut registry = Registry::default();
/// let metrics = ExecutorMetrics::register(&mut registry);
/// let executor = Executor::builder().metrics(&metrics).build();
///
/// let fine = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
/// let plan = ExecutionPlan::build([CriticSpec::new("length", fine)]).unwrap();
/// executor.run(&plan, RunInput::new("text")).await.unwrap();
///
/// let mut page = String::new();
/// encode(&mut page, &registry).unwrap();
/// assert!(page.contains(r#"critic_executor_verdicts_total{verdict="allow"} 1"#));
/// # });
/// ```
#[derive(Clone)]
pub struct ExecutorMetrics {
    shared: Arc<Shared>,
}

struct Shared {
    families: Families,
    names: Arc<CriticNames>,
    sources: Arc<Sources>,
    plans: Mutex<HashMap<u64, PlanSeries>>,
}

struct PlanSeries {
    plan: Weak<PlanInner>,
    critics: Arc<[CriticSeries]>,
}

impl ExecutorMetrics {
    /// Adds the families to a registry. Call it once per registry.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("critic_executor");
        let names = Arc::new(CriticNames::default());
        let sources = Arc::new(Sources::new(Arc::clone(&names)));
        let families = Families::register(registry);
        registry.register_collector(Box::new(Arc::clone(&sources)));
        let plans = Mutex::default();
        Self { shared: Arc::new(Shared { families, names, sources, plans }) }
    }

    /// Has the gauges of an executor looked up from now on, for as long as it lives.
    pub(crate) fn watch(&self, executor: &Arc<ExecShared>) {
        self.shared.sources.add(executor);
    }

    pub(crate) fn run_started(&self) {
        self.shared.families.runs_in_flight.inc();
    }

    /// Counts a run that could not start.
    pub(crate) fn run_refused(&self, outcome: &'static str) {
        self.families().runs.get_or_create(&labels([("outcome", outcome)])).inc();
    }

    /// Counts a run that gave a report.
    pub(crate) fn run_ended(&self, report: &RunReport) {
        let families = self.families();
        let outcome = match report.cancelled() {
            None | Some(CancelReason::VerdictReached) => "completed",
            Some(CancelReason::Deadline(_)) => "timed_out",
            Some(_) => "cancelled",
        };
        self.run_over(outcome, report.elapsed(), report.cancelled());
        let verdict = report.decision().verdict.as_str();
        families.verdicts.get_or_create(&labels([("verdict", verdict)])).inc();
        for timing in report.stages() {
            let stage = labels([("stage", timing.stage.as_str())]);
            let duration = timing.closed.saturating_sub(timing.opened).as_secs_f64();
            families.stage_duration.get_or_create(&stage).observe(duration);
        }
        let series = self.series(report.plan());
        let costs = report.cost().critics.iter().map(|(_, cost)| cost);
        for ((critic, cost), series) in report.critics().iter().zip(costs).zip(&*series) {
            series.ended(families, critic, cost);
        }
    }

    /// Counts a run whose future was dropped; `status_of` a critic that had ended by then.
    pub(crate) fn run_dropped<'a>(
        &self,
        plan: &ExecutionPlan,
        elapsed: Duration,
        status_of: impl Fn(u32) -> Option<&'a Status>,
    ) {
        self.run_over("dropped", elapsed, Some(&CancelReason::CallerDropped));
        let cancelled = Status::Cancelled { reason: CancelReason::CallerDropped };
        for (index, series) in (0..).zip(&*self.series(plan)) {
            series.executed(self.families(), status_of(index).unwrap_or(&cancelled));
        }
    }

    fn run_over(&self, outcome: &'static str, elapsed: Duration, reason: Option<&CancelReason>) {
        let families = self.families();
        families.runs_in_flight.dec();
        let outcome = labels([("outcome", outcome)]);
        families.runs.get_or_create(&outcome).inc();
        families.run_duration.get_or_create(&outcome).observe(elapsed.as_secs_f64());
        match reason {
            Some(CancelReason::Deadline(scope)) => families.timed_out(*scope),
            Some(reason) => {
                let reason = labels([("reason", reason.as_str())]);
                families.cancellations.get_or_create(&reason).inc();
            }
            None => {}
        }
    }

    /// Counts a retry that the critic's retry budget did not allow.
    pub(crate) fn retry_refused(&self, critic: &Arc<str>, kind: &'static str) {
        let labels = vec![("critic", self.shared.names.label(critic)), ("kind", kind.into())];
        self.families().retry_budget_exhausted.get_or_create(&labels).inc();
    }

    pub(crate) fn breaker_changed(&self, change: &BreakerChange) {
        let critic = self.shared.names.label(&change.critic);
        let labels = vec![("critic", critic), ("state", change.to.as_str().into())];
        self.families().circuit_transitions.get_or_create(&labels).inc();
    }

    /// Counts a node of a pipeline.
    pub(crate) fn node_ended(&self, node: &Arc<str>, status: &'static str, elapsed: Duration) {
        let node = self.shared.names.label(node);
        let labels = vec![("node", Arc::clone(&node)), ("status", status.into())];
        self.families().node_duration.get_or_create(&labels).observe(elapsed.as_secs_f64());
        if status == "timed_out" {
            self.families().node_timeouts.get_or_create(&vec![("node", node)]).inc();
        }
    }

    /// Counts a run of a pipeline, by the pipeline's name, which is not its run's id.
    pub(crate) fn pipeline_ended(&self, name: &Arc<str>, status: &'static str, elapsed: Duration) {
        let name = self.shared.names.label(name);
        let labels = vec![("pipeline", Arc::clone(&name)), ("status", status.into())];
        self.families().pipeline_duration.get_or_create(&labels).observe(elapsed.as_secs_f64());
        if status == "timed_out" {
            self.families().pipeline_timeouts.get_or_create(&vec![("pipeline", name)]).inc();
        }
    }

    fn families(&self) -> &Families {
        &self.shared.families
    }

    /// The series of a plan's critics, in plan order, looked up once per plan.
    fn series(&self, plan: &ExecutionPlan) -> Arc<[CriticSeries]> {
        let mut plans = lock(&self.shared.plans);
        if let Some(known) = plans.get(&plan.inner.id) {
            return Arc::clone(&known.critics);
        }
        plans.retain(|_, known| known.plan.strong_count() > 0);
        let names = &self.shared.names;
        let critics: Arc<[CriticSeries]> =
            plan.specs().map(|spec| CriticSeries::new(names.label(&spec.name), spec)).collect();
        let known = PlanSeries { plan: Arc::downgrade(&plan.inner), critics: Arc::clone(&critics) };
        plans.insert(plan.inner.id, known);
        critics
    }
}

impl fmt::Debug for ExecutorMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutorMetrics").finish_non_exhaustive()
    }
}

/// Names of critics, first come, first kept.
#[derive(Debug, Default)]
struct CriticNames {
    known: Mutex<HashSet<Arc<str>>>,
}

impl CriticNames {
    /// The name as a label.
    fn label(&self, name: &Arc<str>) -> Arc<str> {
        let mut known = lock(&self.known);
        if known.contains(name) {
            return Arc::clone(name);
        }
        if known.len() >= CRITIC_NAMES_MAX {
            return OTHER.into();
        }
        known.insert(Arc::clone(name));
        Arc::clone(name)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.map(|(label, value)| (label, Arc::from(value))).into()
}

impl Families {
    fn timed_out(&self, scope: TimeoutScope) {
        self.timeouts.get_or_create(&labels([("scope", scope.as_str())])).inc();
    }
}

/// A series that is looked up when it is first used, so that a family has no series that never counted.
type Lazy<M> = std::sync::OnceLock<M>;

/// What a lazily looked up series is of.
type LazyCounter = Lazy<Counter>;
type LazyHistogram = Lazy<Histogram>;
