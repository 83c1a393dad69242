//! Clusters to decide about.

use placement::{
    Cursor, Node, Outcome, Pool, Replica, ReplicaKey, Request, Snapshot, Strategy, decide,
};

pub(crate) const MODEL: &str = "llama";

/// The replica `0` of a pool on node `n`.
pub(crate) fn key(pool: &str) -> ReplicaKey {
    ReplicaKey::new("n", pool, "0")
}

/// An idle replica with two slots that holds [`MODEL`].
pub(crate) fn ready(pool: &str) -> Replica {
    Replica::ready(key(pool), MODEL, 2)
}

pub(crate) fn pool(id: &str) -> Pool {
    Pool::new("n", id)
}

/// Node `n` with these pools, and one replica each.
pub(crate) fn cluster(pools: impl IntoIterator<Item = (Pool, Replica)>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.put_node(Node::online("n"));
    for (pool, replica) in pools {
        snapshot.put_pool(pool).unwrap();
        snapshot.put_replica(replica).unwrap();
    }
    snapshot
}

/// Pools with these numbers of busy slots, of four each.
pub(crate) fn loaded(pools: &[(&str, u32)]) -> Snapshot {
    cluster(
        pools.iter().map(|(id, busy)| (pool(id), Replica { slots: 4, busy: *busy, ..ready(id) })),
    )
}

pub(crate) fn request() -> Request {
    Request::new(MODEL)
}

/// The pool that gets the task, under the default strategy.
pub(crate) fn chosen<'a>(snapshot: &'a Snapshot, request: &Request) -> Option<&'a str> {
    chosen_by(snapshot, request, Strategy::default(), &Cursor::default())
}

pub(crate) fn chosen_by<'a>(
    snapshot: &'a Snapshot,
    request: &Request,
    strategy: Strategy,
    cursor: &Cursor,
) -> Option<&'a str> {
    match decide(snapshot, request, strategy, cursor).outcome {
        Outcome::Assign { replica } => Some(&replica.pool),
        Outcome::Prepare { .. } | Outcome::NoCapacity { .. } => None,
    }
}

/// The reason codes of each candidate, in order of keys.
pub(crate) fn reasons(snapshot: &Snapshot, request: &Request) -> Vec<Vec<&'static str>> {
    let decision = decide(snapshot, request, Strategy::default(), &Cursor::default());
    decision.candidates().map(|one| one.failed.names().collect()).collect()
}
