use crate::{
    replica_table::ReplicaSlots,
    slab::{Key, Slab},
    task::Need,
};

/// The replica that a task with `need` starts on now: of those that it may use, the one with the smallest
/// share of busy slots, then the first in `serving`. `None` where none has a slot for it.
///
/// `waited_for` are replicas that a task wants to itself and that empty for it.
pub(crate) fn choose(
    replicas: &Slab<ReplicaSlots>,
    serving: &[Key<ReplicaSlots>],
    need: &Need,
    waited_for: &[Key<ReplicaSlots>],
) -> Option<Key<ReplicaSlots>> {
    let has_slot = |replica: &Key<ReplicaSlots>| {
        let slots = &replicas[*replica];
        slots.busy < slots.slots
            && slots.alone.is_none()
            && (slots.busy == 0 || !need.alone)
            && !waited_for.contains(replica)
    };
    least_busy(replicas, usable(replicas, serving, need).filter(has_slot))
}

/// The replica that empties for a task that wants one to itself, where none is idle: the least busy one.
/// As nothing starts there while the task waits, the smallest share of busy slots never grows, and the
/// task gets its turn; it would wait for ever behind a steady stream of others.
pub(crate) fn to_empty(
    replicas: &Slab<ReplicaSlots>,
    serving: &[Key<ReplicaSlots>],
    need: &Need,
) -> Option<Key<ReplicaSlots>> {
    let least = least_busy(replicas, usable(replicas, serving, need))?;
    (replicas[least].busy > 0).then_some(least)
}

/// Replicas that are open for a task with `need`, now or when they have a slot: avoided ones only where
/// no other is open.
fn usable<'a>(
    replicas: &'a Slab<ReplicaSlots>,
    serving: &'a [Key<ReplicaSlots>],
    need: &'a Need,
) -> impl Iterator<Item = Key<ReplicaSlots>> {
    let open = serving.iter().copied().filter(|replica| replicas[*replica].slots > 0);
    let is_avoided =
        |replica: Key<ReplicaSlots>| need.avoid.binary_search(&replicas[replica].id).is_ok();
    let all_avoided = !need.avoid.is_empty() && open.clone().all(is_avoided);
    open.filter(move |replica| all_avoided || !is_avoided(*replica))
}

/// The first one with the smallest `busy / slots`.
fn least_busy(
    replicas: &Slab<ReplicaSlots>,
    candidates: impl Iterator<Item = Key<ReplicaSlots>>,
) -> Option<Key<ReplicaSlots>> {
    candidates.min_by(|one, other| {
        let (one, other) = (&replicas[*one], &replicas[*other]);
        let share = u64::from(one.busy) * u64::from(other.slots);
        share.cmp(&(u64::from(other.busy) * u64::from(one.slots)))
    })
}
