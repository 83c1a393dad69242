use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use critic_executor::{
    CriticContext, CriticOutput, CriticSpec, ExecutionHint, ExecutionPlan, Executor,
    ExecutorMetrics, ExecutorSettings, Policy, RunInput, Stage,
};
use dagx::{DagRunner, task_fn};
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

/// Something that runs a graph of independent nodes, or another piece of work that has a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    JoinSet,
    Spawn,
    Inline,
    SpawnMetrics,
    SpawnTraced,
    Dagx,
    /// All nodes but one stand behind a gate that does not open.
    Gated,
    /// Nodes of 100 runs wait for ten permits.
    Waiters,
    /// Only the grants of permits to such nodes.
    Grants,
    /// Building a plan in which each node waits for three others.
    Planning,
}

/// One run of a graph that was made before.
pub(crate) type Run = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What an executor is measured with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    Nobody,
    Metrics,
    MetricsAndSpans,
}

impl Contestant {
    /// Those that run the same graph.
    pub(crate) const SIDE_BY_SIDE: [Self; 6] = [
        Self::JoinSet,
        Self::Spawn,
        Self::Inline,
        Self::SpawnMetrics,
        Self::SpawnTraced,
        Self::Dagx,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::JoinSet => "JoinSet",
            Self::Spawn => "critic-executor, Spawn",
            Self::Inline => "critic-executor, Inline",
            Self::SpawnMetrics => "critic-executor, Spawn, metrics",
            Self::SpawnTraced => "critic-executor, Spawn, metrics and spans",
            Self::Dagx => "dagx",
            Self::Gated => "gated critics",
            Self::Waiters => "waiting critics, whole runs",
            Self::Grants => "waiting critics, grants alone",
            Self::Planning => "planned critics",
        }
    }

    /// Makes the graph once; what comes back runs it.
    pub(crate) fn graph(self, nodes: usize) -> Run {
        let critics = |hint| (0..nodes).map(move |index| trivial(index).hint(hint));
        match self {
            Self::JoinSet => Box::new(move || Box::pin(join_set(nodes))),
            Self::Spawn => executor(critics(ExecutionHint::Spawn), Watched::Nobody),
            Self::Inline => executor(critics(ExecutionHint::Inline), Watched::Nobody),
            Self::SpawnMetrics => executor(critics(ExecutionHint::Spawn), Watched::Metrics),
            Self::SpawnTraced => executor(critics(ExecutionHint::Spawn), Watched::MetricsAndSpans),
            // A graph of dagx runs once, so making it is part of each run.
            Self::Dagx => Box::new(move || Box::pin(dagx(nodes))),
            Self::Gated => {
                let gated =
                    |index| trivial(index).stage(Stage::DeepAnalysis).policy(Policy::OnViolation);
                let fast = trivial(0).stage(Stage::FastCritics);
                executor([fast].into_iter().chain((1..nodes).map(gated)), Watched::Nobody)
            }
            Self::Waiters => waiters(nodes),
            Self::Grants => unreachable!("grants are measured within runs"),
            Self::Planning => Box::new(move || {
                let requires =
                    |index: usize| (1..=3).filter_map(move |back| index.checked_sub(back * 7));
                let names = |index| requires(index).map(|other| format!("critic-{other}"));
                let critics = (0..nodes).map(|index| trivial(index).requires(names(index)));
                std::hint::black_box(plan(critics));
                Box::pin(std::future::ready(()))
            }),
        }
    }
}

/// What nodes return, so that nobody can leave them out.
fn answer() -> CriticOutput {
    std::hint::black_box(CriticOutput::clean())
}

async fn join_set(nodes: usize) {
    let mut tasks = JoinSet::new();
    for _ in 0..nodes {
        tasks.spawn(async { answer() });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("nothing here panics");
    }
}

fn executor(critics: impl IntoIterator<Item = CriticSpec>, watched: Watched) -> Run {
    let plan = plan(critics);
    // The default limits, but for graphs that the queue would not hold.
    let settings =
        ExecutorSettings { queue_limit: Some(plan.len().max(1000)), ..ExecutorSettings::default() };
    let mut builder = Executor::builder().settings(settings);
    if watched != Watched::Nobody {
        builder = builder.metrics(&ExecutorMetrics::register(&mut Registry::default()));
    }
    let executor = builder.build();
    let input = Arc::new(RunInput::new("a text"));
    let dispatch = (watched == Watched::MetricsAndSpans)
        .then(|| Dispatch::new(tracing_subscriber::registry()));
    Box::new(move || {
        let (executor, plan, input) = (executor.clone(), plan.clone(), Arc::clone(&input));
        let run = async move {
            let report =
                executor.run(&plan, input).await.expect("an executor that is not shut down");
            let coverage = &report.decision().coverage;
            assert_eq!(coverage.answered.len() + coverage.gated.len(), plan.len());
        };
        match &dispatch {
            None => Box::pin(run),
            Some(dispatch) => Box::pin(run.with_subscriber(dispatch.clone())),
        }
    })
}

/// A hundred runs at once, each of a hundredth of the nodes.
fn waiters(nodes: usize) -> Run {
    let plan = plan((0..nodes / 100).map(trivial));
    let settings = ExecutorSettings { queue_limit: Some(nodes), ..ExecutorSettings::default() };
    let executor = Executor::new(settings);
    Box::new(move || {
        let (executor, plan) = (executor.clone(), plan.clone());
        Box::pin(async move {
            let mut runs = JoinSet::new();
            for _ in 0..100 {
                let (executor, plan) = (executor.clone(), plan.clone());
                runs.spawn(async move { executor.run(&plan, RunInput::new("a text")).await });
            }
            while let Some(ended) = runs.join_next().await {
                let report = ended.expect("nothing here panics").expect("the executor runs");
                assert_eq!(report.decision().coverage.answered.len(), plan.len());
            }
        })
    })
}

/// A hundred runs of which nothing can start, once all of their nodes wait.
pub(crate) async fn all_waiting(nodes: usize) -> (Executor, JoinSet<()>) {
    let plan = plan((0..nodes / 100).map(trivial));
    let executor = Executor::new(ExecutorSettings {
        global_limit: Some(0),
        queue_limit: Some(nodes),
        ..ExecutorSettings::default()
    });
    let mut runs = JoinSet::new();
    for _ in 0..100 {
        let (executor, plan) = (executor.clone(), plan.clone());
        runs.spawn(async move {
            let report = executor.run(&plan, RunInput::new("a text")).await;
            assert_eq!(report.expect("the executor runs").decision().coverage.ratio(), 1.0);
        });
    }
    while executor.activity().queued < nodes {
        tokio::task::yield_now().await;
    }
    (executor, runs)
}

/// Runs one after the other.
pub(crate) async fn repeated(run: std::sync::Arc<Run>, times: usize) {
    for _ in 0..times {
        run().await;
    }
}

fn trivial(index: usize) -> CriticSpec {
    let critic = |_ctx: CriticContext| async { Ok(answer()) };
    CriticSpec::new(format!("critic-{index}"), critic)
}

fn plan(critics: impl IntoIterator<Item = CriticSpec>) -> ExecutionPlan {
    ExecutionPlan::build(critics).expect("names differ, and all else is a default")
}

async fn dagx(nodes: usize) {
    let graph = DagRunner::new();
    for _ in 0..nodes {
        graph.add_task(task_fn(|(): ()| async { drop(answer()) }));
    }
    let handle = tokio::runtime::Handle::current();
    let spawn = |future| drop(handle.spawn(future));
    graph.run(spawn).await.expect("a graph without edges has no cycle");
}
