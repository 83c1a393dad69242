use std::cmp::{Ordering, Reverse};

use crate::{
    Base, Cursor, Decision, Filter, FilterSet, NoCapacity, Outcome, Pool, Replica, ReplicaKey,
    Request, Strategy, WishMode,
    judge::{BUSY, judge_all, may_pass, prefer},
    snapshot::{Placed, Snapshot},
};

/// Chooses where a task with `request` goes (ORCH-111). `cursor` is where `round-robin` stands.
#[must_use]
pub fn decide<'a>(
    snapshot: &'a Snapshot,
    request: &Request,
    strategy: Strategy,
    cursor: &Cursor,
) -> Decision<'a> {
    let mut failed = Vec::new();
    judge_all(snapshot, request, &mut failed);
    if request.wish.mode == WishMode::Prefer {
        prefer(snapshot, request, &mut failed);
    }
    let chosen = choose(snapshot, request, strategy, cursor, &failed);
    let outcome = match chosen {
        Some((_, replica)) => Outcome::Assign { replica: &replica.key },
        None => without_replica(snapshot, request, &failed),
    };
    Decision {
        outcome,
        strategy,
        snapshot_version: snapshot.version(),
        is_pinned: request.wish.mode == WishMode::Pin,
        is_fallback: chosen.is_some_and(|(placed, _)| !request.wish.prefers(&placed.pool)),
        snapshot,
        failed,
    }
}

/// The replica that is to empty for a task that wants one to itself: the one with the smallest share of
/// busy slots of those that could take it. `None` where that one is idle, or there is none.
///
/// As nothing else starts there while the task waits, the smallest share never grows, and the task gets
/// its turn; it would wait for ever behind a steady stream of others.
#[must_use]
pub fn to_empty<'a>(snapshot: &'a Snapshot, request: &Request) -> Option<&'a ReplicaKey> {
    let mut failed = Vec::new();
    judge_all(snapshot, request, &mut failed);
    let usable = failed
        .iter()
        .zip(snapshot.places())
        .filter_map(|(failed, (_, replica))| replica.filter(|_| failed.without(BUSY).is_empty()));
    // Of equals the first, whose key is the smallest.
    let least = usable.min_by(|one, other| by_load(one, other))?;
    (least.busy > 0).then_some(&least.key)
}

/// A replica that passed every filter, and its pool.
fn choose<'a>(
    snapshot: &'a Snapshot,
    request: &Request,
    strategy: Strategy,
    cursor: &Cursor,
    failed: &[FilterSet],
) -> Option<(&'a Placed, &'a Replica)> {
    let mut passed = failed.iter().zip(snapshot.places()).filter_map(|(failed, place)| {
        let (placed, replica) = place;
        failed.is_empty().then_some((placed, replica?))
    });
    if let (Strategy::SessionSticky(_), Some(last)) = (strategy, &request.last)
        && let Some(found) = passed.clone().find(|(_, replica)| replica.key == *last)
    {
        return Some(found);
    }
    // Of equals the first one is taken, as places stand in order of keys (ORCH-118).
    match strategy.base() {
        Base::RoundRobin => {
            let is_behind =
                |replica: &Replica| cursor.0.as_ref().is_some_and(|after| replica.key > *after);
            let next = passed.clone().find(|(_, replica)| is_behind(replica));
            next.or_else(|| passed.next())
        }
        Base::LeastLoaded => passed.min_by(|(one_pool, one), (other_pool, other)| {
            by_load(one, other).then_with(|| by_free(one_pool, other_pool))
        }),
        Base::VramAware => passed.min_by(|(one_pool, one), (other_pool, other)| {
            by_free(one_pool, other_pool).then_with(|| one.busy.cmp(&other.busy))
        }),
    }
}

/// The smallest share of busy slots first.
fn by_load(one: &Replica, other: &Replica) -> Ordering {
    let share = u64::from(one.busy) * u64::from(other.slots);
    share.cmp(&(u64::from(other.busy) * u64::from(one.slots)))
}

/// The most free memory first; what nobody knows comes last.
fn by_free(one: &Placed, other: &Placed) -> Ordering {
    Reverse(one.free_bytes).cmp(&Reverse(other.free_bytes))
}

fn without_replica<'a>(
    snapshot: &'a Snapshot,
    request: &Request,
    failed: &[FilterSet],
) -> Outcome<'a> {
    if failed.is_empty() {
        return Outcome::NoCapacity { reason: NoCapacity::NoCandidate };
    }
    // A slot that frees soon is worth more than another copy of the model.
    if failed.iter().any(|failed| failed.without(BUSY).is_empty()) {
        return Outcome::NoCapacity { reason: NoCapacity::Busy };
    }
    if let Some(placed) = to_prepare(snapshot, failed) {
        let Pool { node, id, .. } = &placed.pool;
        let loadable = placed.pool.loadable.iter().find(|one| one.model == request.model);
        let model = &loadable.expect("what may not be loaded is rejected").model;
        return Outcome::Prepare { node, pool: id, model };
    }
    let reason = if failed.iter().any(|failed| may_pass(*failed)) {
        NoCapacity::NotReady
    } else {
        NoCapacity::Unfit
    };
    Outcome::NoCapacity { reason }
}

/// The pool with the most free memory of those that lack nothing but the model.
fn to_prepare<'a>(snapshot: &'a Snapshot, failed: &[FilterSet]) -> Option<&'a Placed> {
    const ABSENT: FilterSet = FilterSet::of(&[Filter::ModelAbsent]);
    let places = failed.iter().zip(snapshot.places());
    let able = places.filter(|(failed, _)| **failed == ABSENT).map(|(_, (placed, _))| placed);
    able.min_by(|one, other| by_free(one, other))
}
