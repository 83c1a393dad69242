//! CRIT-260 to CRIT-264, each for itself, with allocations.

use critic_executor::{
    CriticContext, CriticOutput, CriticSpec, ExecutionHint, ExecutionPlan, Executor, Policy,
    RunInput, Stage,
};
use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime starts")
}

fn trivial(name: String) -> CriticSpec {
    CriticSpec::new(name, |_ctx: CriticContext| async { Ok(CriticOutput::clean()) })
}

fn build(critics: impl IntoIterator<Item = CriticSpec>) -> ExecutionPlan {
    ExecutionPlan::build(critics).expect("the plans of benchmarks are right")
}

fn bench_run(bencher: Bencher<'_, '_>, executor: &Executor, plan: &ExecutionPlan) {
    let runtime = runtime();
    bencher.counter(ItemsCount::new(plan.len())).bench_local(|| {
        let (executor, plan) = (executor.clone(), plan.clone());
        let run = runtime.spawn(async move { executor.run(&plan, RunInput::new("text")).await });
        runtime.block_on(run).expect("nothing panics").expect("the executor runs").elapsed()
    });
}

/// What CRIT-260 compares with.
#[divan::bench(args = [10, 1000])]
fn join_set(bencher: Bencher<'_, '_>, tasks: usize) {
    let runtime = runtime();
    bencher.counter(ItemsCount::new(tasks)).bench_local(|| {
        let all = async move {
            let mut set = JoinSet::new();
            for _ in 0..tasks {
                set.spawn(async { CriticOutput::clean() });
            }
            while set.join_next().await.is_some() {}
        };
        runtime.block_on(runtime.spawn(all)).expect("nothing panics");
    });
}

/// CRIT-260, CRIT-261: trivial critics, default limits, the plan reused.
#[divan::bench(args = [10, 100, 1000, 10_000])]
fn spawn(bencher: Bencher<'_, '_>, critics: usize) {
    let critics = (0..critics).map(|index| trivial(format!("c{index}")));
    bench_run(bencher, &roomy(), &build(critics));
}

/// CRIT-260, CRIT-261.
#[divan::bench(args = [10, 100, 1000, 10_000])]
fn inline(bencher: Bencher<'_, '_>, critics: usize) {
    let inline = |index| trivial(format!("c{index}")).hint(ExecutionHint::Inline);
    bench_run(bencher, &roomy(), &build((0..critics).map(inline)));
}

/// The default limits, but for the queue, which is to hold the largest plan.
fn roomy() -> Executor {
    let settings = critic_executor::ExecutorSettings {
        queue_limit: Some(20_000),
        ..critic_executor::ExecutorSettings::default()
    };
    Executor::new(settings)
}

/// CRIT-262: 10,000 critics, 30,000 edges.
#[divan::bench]
fn plan_with_thirty_thousand_edges(bencher: Bencher<'_, '_>) {
    let specs = || -> Vec<CriticSpec> {
        let requires = |index: usize| (1..=3).filter_map(move |back| index.checked_sub(back * 7));
        let names = |index| requires(index).map(|other| format!("c{other}"));
        (0..10_000).map(|index| trivial(format!("c{index}")).requires(names(index))).collect()
    };
    bencher.with_inputs(specs).bench_local_values(build);
}

/// CRIT-263: all but one critic gated.
#[divan::bench(args = [1000, 10_000])]
fn gated(bencher: Bencher<'_, '_>, critics: usize) {
    let gated =
        |index| trivial(format!("c{index}")).stage(Stage::DeepAnalysis).policy(Policy::OnViolation);
    let fast = trivial("fast".to_owned()).stage(Stage::FastCritics);
    bench_run(
        bencher,
        &Executor::default(),
        &build([fast].into_iter().chain((0..critics).map(gated))),
    );
}

/// CRIT-264: 10,000 critics of 100 runs wait for ten permits.
#[divan::bench]
fn ten_thousand_waiters(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let (executor, plan) = (roomy(), build((0..100).map(|index| trivial(format!("c{index}")))));
    bencher.counter(ItemsCount::new(10_000_usize)).bench_local(|| {
        let mut runs = JoinSet::new();
        for _ in 0..100 {
            let (executor, plan) = (executor.clone(), plan.clone());
            let run = async move { executor.run(&plan, RunInput::new("text")).await };
            runs.spawn_on(run, runtime.handle());
        }
        runtime.block_on(async { while runs.join_next().await.is_some() {} });
    });
}
