use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use critic_executor::{
    CriticContext, CriticOutput, CriticSpec, ExecutionHint, ExecutionPlan, Executor, RunInput,
};
use dagx::{DagRunner, task_fn};
use tokio::task::JoinSet;

/// Something that runs a graph of independent nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    JoinSet,
    Spawn,
    Inline,
    Dagx,
}

/// One run of a graph that was made before.
type Run = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>>>;

impl Contestant {
    pub(crate) const ALL: [Self; 4] = [Self::JoinSet, Self::Spawn, Self::Inline, Self::Dagx];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::JoinSet => "JoinSet",
            Self::Spawn => "critic-executor, Spawn",
            Self::Inline => "critic-executor, Inline",
            Self::Dagx => "dagx",
        }
    }

    /// Makes the graph once; what comes back runs it.
    pub(crate) fn graph(self, nodes: usize) -> Run {
        match self {
            Self::JoinSet => Box::new(move || Box::pin(join_set(nodes))),
            Self::Spawn => executor(nodes, ExecutionHint::Spawn),
            Self::Inline => executor(nodes, ExecutionHint::Inline),
            // A graph of dagx runs once, so making it is part of each run.
            Self::Dagx => Box::new(move || Box::pin(dagx(nodes))),
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

fn executor(nodes: usize, hint: ExecutionHint) -> Run {
    let plan = plan(nodes, hint);
    let executor = Executor::default();
    let input = Arc::new(RunInput::new("a text"));
    Box::new(move || {
        let (executor, plan, input) = (executor.clone(), plan.clone(), Arc::clone(&input));
        Box::pin(async move {
            let report =
                executor.run(&plan, input).await.expect("an executor that is not shut down");
            assert_eq!(report.decision().coverage.answered.len(), plan.len());
        })
    })
}

fn plan(nodes: usize, hint: ExecutionHint) -> ExecutionPlan {
    let critic = |_ctx: CriticContext| async { Ok(answer()) };
    let critics =
        (0..nodes).map(|index| CriticSpec::new(format!("critic-{index}"), critic).hint(hint));
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
