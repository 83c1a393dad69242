use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Runtime;

use crate::allocations::Allocated;
use crate::contestant::{self, Contestant};

/// Nodes of the graphs.
pub(crate) const SIZES: [usize; 3] = [10, 100, 1000];

/// Nodes of what is measured alone.
pub(crate) const MANY: usize = 10_000;

/// Rounds whose median counts.
const ROUNDS: usize = 21;

/// Nodes per contestant and round, in as many runs as that takes.
const NODES_PER_ROUND: usize = 20_000;

/// What one contestant needs for one graph.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) nodes: usize,
    /// Nanoseconds per node, the median of all rounds.
    pub(crate) node_ns: f64,
    /// Allocations per node; unknown where they are not ours to count.
    pub(crate) allocations: Option<f64>,
    /// Bytes per node that were held at once, at most.
    pub(crate) peak_bytes: Option<f64>,
}

/// Measures contestants in turns on graphs of one size.
pub(crate) fn all(runtime: &Runtime, contestants: &[Contestant], nodes: usize) -> Vec<Measured> {
    let graphs: Vec<_> = contestants.iter().map(|contestant| contestant.graph(nodes)).collect();
    let runs = NODES_PER_ROUND.div_ceil(nodes);
    let repeat = |run: &dyn Fn() -> _| {
        // As a task of its own, like in a server: the thread that waits here is no worker.
        let runs: Vec<_> = (0..runs).map(|_| run()).collect();
        let all = runtime.spawn(async move {
            for run in runs {
                let run: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = run;
                run.await;
            }
        });
        runtime.block_on(all).expect("nothing here panics");
    };
    let allocated: Vec<_> = graphs
        .iter()
        .map(|run| {
            repeat(run);
            Allocated::by(|| {
                runtime.block_on(runtime.spawn(run())).expect("nothing here panics");
            })
        })
        .collect();
    let mut rounds = vec![Vec::with_capacity(ROUNDS); contestants.len()];
    for _ in 0..ROUNDS {
        for (run, times) in graphs.iter().zip(&mut rounds) {
            let start = now();
            repeat(run);
            times.push(now().duration_since(start).as_nanos() as f64 / (runs * nodes) as f64);
        }
    }
    let measured = contestants.iter().zip(&mut rounds).zip(allocated);
    measured
        .map(|((contestant, times), allocated)| Measured {
            name: contestant.name().to_owned(),
            nodes,
            node_ns: median(times),
            allocations: Some(allocated.count as f64 / nodes as f64),
            peak_bytes: Some(allocated.peak_bytes as f64 / nodes as f64),
        })
        .collect()
}

/// What granting a permit costs while 10,000 critics of 100 runs wait for one: a limit of none is lifted, and the
/// time that takes is what all grants take.
pub(crate) fn grants(runtime: &Runtime) -> Measured {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let waiting = runtime.block_on(runtime.spawn(contestant::all_waiting(MANY)));
            let (executor, mut runs) = waiting.expect("nothing here panics");
            let start = now();
            executor.set_global_limit(None);
            let node_ns = now().duration_since(start).as_nanos() as f64 / MANY as f64;
            runtime.block_on(async { while runs.join_next().await.is_some() {} });
            node_ns
        })
        .collect();
    Measured {
        name: Contestant::Grants.name().to_owned(),
        nodes: MANY,
        node_ns: median(&mut rounds),
        allocations: None,
        peak_bytes: None,
    }
}

/// The resident memory of this process after 1,000,000 runs, as a multiple of that after 10,000; `None` where the
/// system does not tell it.
pub(crate) fn growth(runtime: &Runtime) -> Option<f64> {
    let run = Arc::new(Contestant::Spawn.graph(3));
    let mut done = 0;
    let mut resident_after = |runs: usize| {
        let tasks = (0..2)
            .map(|_| runtime.spawn(contestant::repeated(Arc::clone(&run), (runs - done) / 2)));
        for task in tasks.collect::<Vec<_>>() {
            runtime.block_on(task).expect("nothing here panics");
        }
        done = runs;
        resident_pages()
    };
    let early = resident_after(10_000)?;
    Some(resident_after(1_000_000)? / early)
}

fn resident_pages() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split(' ').nth(1)?.parse().ok()
}

/// The middle one of an odd number of times.
fn median(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

#[expect(clippy::disallowed_methods, reason = "the clock is what a benchmark reads")]
fn now() -> Instant {
    Instant::now()
}
