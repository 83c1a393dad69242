//! Cost of one decision over many replicas: a node for each hundred, a pool for each four of them.

use std::hint::black_box;

use divan::{AllocProfiler, Bencher};
use placement::{
    Base, Continuation, Cursor, Features, Node, Pool, Replica, ReplicaKey, Request, Snapshot,
    Strategy, Wish, WishMode, decide,
};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const NODES: usize = 10;
const PER_POOL: usize = 4;

/// Replicas with half of their slots taken; every third one holds another model.
fn snapshot(replicas: usize) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for number in 0..replicas {
        let node = format!("node-{:02}", number * NODES / replicas);
        let pool = format!("pool-{:03}", number / PER_POOL);
        snapshot.put_node(Node::online(node.as_str()));
        let features = Features(0b111);
        snapshot
            .put_pool(Pool { features, ..Pool::new(node.as_str(), pool.as_str()) })
            .expect("its node is there");
        let model = if number.is_multiple_of(3) { "sha256:other" } else { "sha256:model" };
        let key = ReplicaKey::new(node, pool, format!("{}", number % PER_POOL));
        let busy = u32::try_from(number % 8).expect("it is small");
        snapshot
            .put_replica(Replica { busy, ..Replica::ready(key, model, 8) })
            .expect("its pool is there");
    }
    snapshot
}

fn request() -> Request {
    Request { features: Features(0b101), ctx_tokens: Some(4096), ..Request::new("sha256:model") }
}

/// A decision by each strategy.
#[divan::bench(args = [1, 100, 1_000])]
fn least_loaded(bencher: Bencher<'_, '_>, replicas: usize) {
    run(bencher, replicas, &request(), Strategy::default());
}

#[divan::bench(args = [1_000])]
fn round_robin(bencher: Bencher<'_, '_>, replicas: usize) {
    run(bencher, replicas, &request(), Strategy::Plain(Base::RoundRobin));
}

#[divan::bench(args = [1_000])]
fn vram_aware(bencher: Bencher<'_, '_>, replicas: usize) {
    run(bencher, replicas, &request(), Strategy::Plain(Base::VramAware));
}

/// A task that prefers some pools, failed on some replicas, and was begun.
#[divan::bench(args = [1_000])]
fn wishful(bencher: Bencher<'_, '_>, replicas: usize) {
    let some = |number: usize| format!("pool-{number:03}").into();
    let wish = Wish {
        mode: WishMode::Prefer,
        prefer_pools: (0..4).map(some).collect(),
        avoid_pools: (8..12).map(some).collect(),
        ..Wish::default()
    };
    let failed_on = vec![ReplicaKey::new("node-00", "pool-000", "1")];
    let goes_on = Continuation {
        by: Features(0b100),
        by_same_engine: Features(0b1000),
        engine: "".into(),
        engine_version: "".into(),
        sampler_profile: "".into(),
    };
    let request = Request { wish, failed_on, goes_on: Some(goes_on), ..request() };
    run(bencher, replicas, &request, Strategy::default());
}

fn run(bencher: Bencher<'_, '_>, replicas: usize, request: &Request, strategy: Strategy) {
    let snapshot = snapshot(replicas);
    let cursor = Cursor(Some(ReplicaKey::new("node-05", "pool-125", "0")));
    bencher.bench_local(|| {
        let decision = decide(black_box(&snapshot), black_box(request), strategy, &cursor);
        black_box(decision.outcome);
        decision.candidates().filter(|one| one.failed.is_empty()).count()
    });
}
