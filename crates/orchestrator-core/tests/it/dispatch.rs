use std::sync::Arc;

use orchestrator_core::{Action, Event, Lease, Offer, Restored, Slots, TaskState};
use placement::Request;

use crate::house::{
    House, id, of, offer, replica_id, restored, starts, undecided, without_reasons,
};

fn check(actions: &[Action], expected: &[(u64, &str)]) {
    let started = starts(actions);
    let places: Vec<_> = started.iter().map(|(task, at, _)| (*task, at.as_str())).collect();
    assert_eq!(places, expected);
}

fn slots(house: &House, replica: &str) -> Option<(u32, u32)> {
    let slots = house.scheduler.slots(&replica_id(replica));
    slots.map(|Slots { total, busy }| (total, busy))
}

/// Verifies: ORCH-053
#[test]
fn a_queued_task_starts_on_the_event_that_frees_its_slot() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 1);
    check(&house.admit(offer(1)), &[(1, "pool.0")]);
    check(&house.admit(offer(2)), &[]);
    assert_eq!(house.scheduler.state(id(1)), Some(TaskState::Running));
    assert_eq!(house.scheduler.state(id(2)), Some(TaskState::Queued));
    check(&house.finish(1, 1), &[(2, "pool.0")]);
    assert_eq!(house.scheduler.state(id(1)), None);
}

/// Verifies: ORCH-053, ORCH-044
#[test]
fn tasks_without_a_replica_wait_and_start_when_one_comes() {
    let mut house = House::new();
    for number in 1..=3 {
        check(&house.admit(offer(number)), &[]);
    }
    check(&house.serve("pool.0", &["m"], 2), &[(1, "pool.0"), (2, "pool.0")]);
    check(&house.serve("pool.0", &["m"], 3), &[(3, "pool.0")]);
}

/// Verifies: ORCH-044
#[test]
fn the_least_busy_replica_of_the_model_is_chosen_then_the_first() {
    let mut house = House::new();
    house.serve("b.0", &["m"], 2);
    house.serve("a.0", &["m"], 2);
    house.serve("c.0", &["m"], 4);
    house.serve("d.0", &["other"], 9);
    let expected = ["a.0", "b.0", "c.0", "c.0", "a.0", "b.0", "c.0", "c.0"];
    for (number, replica) in (1..).zip(expected) {
        check(&house.admit(offer(number)), &[(number, replica)]);
    }
    check(&house.admit(offer(9)), &[]);
}

/// Verifies: ORCH-044
#[test]
fn a_later_task_passes_an_earlier_one_only_onto_a_slot_that_one_cannot_use() {
    let mut house = House::new();
    house.serve("a.0", &["m"], 1);
    house.serve("b.0", &["m"], 1);
    house.admit(offer(1));
    house.admit(offer(2));
    house.admit(offer(3));
    house.admit(offer(4));
    // 1 failed on a.0 and wants b.0, which is busy: 3 may have the slot of a.0.
    house.requeue(1, 1, (0, &["a.0"], false));
    assert_eq!([1, 3, 4].map(|number| house.position(number)), [Some(0), Some(1), Some(2)]);
    let actions = without_reasons(house.release(1));
    let lease = Lease(3);
    let replica = replica_id("a.0");
    let decision = undecided(&replica);
    assert_eq!(actions, [Action::Dispatch { task: id(3), replica, lease, position: 1, decision }]);
    // The slot of b.0 is for 1, although 4 waits too.
    check(&house.finish(2, 2), &[(1, "b.0")]);
}

/// Verifies: ORCH-044
#[test]
fn an_avoided_replica_serves_where_no_other_is_open() {
    let mut house = House::new();
    house.serve("a.0", &["m"], 1);
    house.serve("b.0", &["m"], 1);
    house.admit(offer(1));
    house.admit(offer(2));
    house.requeue(1, 1, (0, &["a.0"], false));
    check(&house.release(1), &[]);
    check(&house.step(Event::ReplicaGone { replica: replica_id("b.0") }), &[(1, "a.0")]);
}

/// Verifies: ORCH-106
#[test]
fn a_delayed_task_keeps_its_place_but_waits() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 1);
    house.admit(offer(1));
    house.admit(offer(2));
    house.requeue(1, 1, (1000, &[], false));
    check(&house.release(1), &[(2, "pool.0")]);
    assert_eq!(house.position(1), Some(0));
    assert_eq!(house.scheduler.next_wake_ms(), Some(1000));
    house.admit(offer(3));
    assert_eq!(house.position(3), Some(1));
    house.at(999);
    check(&house.finish(2, 2), &[(3, "pool.0")]);
    check(&house.finish(3, 3), &[]);
    check(&house.at(1000), &[(1, "pool.0")]);
}

/// Verifies: ORCH-106
#[test]
fn a_task_that_runs_alone_shares_its_replica_with_nothing() {
    let mut house = House::new();
    house.serve("pool.0", &["m", "other"], 3);
    house.admit(offer(1));
    house.admit(offer(2));
    house.requeue(1, 1, (0, &[], true));
    // While it waits for 2 to end, nothing new starts there, of any model.
    check(&house.release(1), &[]);
    check(&house.admit(offer(3)), &[]);
    check(&house.admit(of("other", 4)), &[]);
    check(&house.finish(2, 2), &[(1, "pool.0")]);
    check(&house.admit(offer(5)), &[]);
    // Over, but its slot is not free yet.
    let lease = Lease(3);
    let next = orchestrator_core::Next::Ended;
    check(&house.step(Event::AttemptEnded { task: id(1), lease, next }), &[]);
    check(&house.release(3), &[(4, "pool.0"), (3, "pool.0"), (5, "pool.0")]);
}

/// Verifies: ORCH-106
#[test]
fn others_start_again_when_a_task_no_longer_waits_to_run_alone() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 2);
    house.admit(offer(1));
    house.admit(offer(2));
    house.requeue(1, 1, (0, &[], true));
    house.release(1);
    check(&house.admit(offer(3)), &[]);
    check(&house.step(Event::Canceled { task: id(1) }), &[(3, "pool.0")]);
}

/// Verifies: ORCH-106
#[test]
fn a_task_that_runs_alone_takes_an_idle_replica_at_once() {
    let mut house = House::new();
    house.serve("a.0", &["m"], 2);
    house.serve("b.0", &["m"], 2);
    house.admit(offer(1));
    let request = Arc::new(Request { alone: true, ..Request::new("m") });
    let alone = Restored { requeued: true, ..restored(Offer { request, ..offer(2) }) };
    check(&house.step(Event::Restored(alone)), &[(2, "b.0")]);
    check(&house.admit(offer(3)), &[(3, "a.0")]);
    check(&house.admit(offer(4)), &[]);
}

/// Verifies: ORCH-053
#[test]
fn a_lease_keeps_its_slot_until_its_release_whatever_is_announced() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 1);
    house.admit(offer(1));
    house.admit(offer(2));
    check(&house.step(Event::ReplicaGone { replica: replica_id("pool.0") }), &[]);
    assert_eq!(slots(&house, "pool.0"), Some((0, 1)));
    check(&house.serve("pool.0", &["m"], 1), &[]);
    let lease = Lease(1);
    let next = orchestrator_core::Next::Ended;
    check(&house.step(Event::AttemptEnded { task: id(1), lease, next }), &[]);
    assert_eq!(slots(&house, "pool.0"), Some((1, 1)));
    check(&house.release(1), &[(2, "pool.0")]);
}

#[test]
fn a_replica_that_shrinks_under_its_leases_gets_nothing_until_there_is_room() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 2);
    for number in 1..=3 {
        house.admit(offer(number));
    }
    check(&house.serve("pool.0", &["m"], 1), &[]);
    assert_eq!(slots(&house, "pool.0"), Some((1, 2)));
    check(&house.finish(1, 1), &[]);
    check(&house.finish(2, 2), &[(3, "pool.0")]);
}

#[test]
fn a_replica_that_is_gone_is_forgotten_with_its_last_lease() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 1);
    house.admit(offer(1));
    house.step(Event::ReplicaGone { replica: replica_id("pool.0") });
    house.finish(1, 1);
    assert_eq!(slots(&house, "pool.0"), None);
    assert_eq!(house.scheduler.models().count(), 0);
}

#[test]
fn unknown_and_repeated_releases_are_ignored_and_counted() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 1);
    house.admit(offer(1));
    house.admit(offer(2));
    check(&house.release(7), &[]);
    assert_eq!(slots(&house, "pool.0"), Some((1, 1)));
    check(&house.finish(1, 1), &[(2, "pool.0")]);
    check(&house.release(1), &[]);
    assert_eq!(slots(&house, "pool.0"), Some((1, 1)));
    assert_eq!(house.scheduler.unknown_releases(), 2);
}

/// Verifies: ORCH-061
#[test]
fn an_attempt_that_is_not_the_current_one_changes_nothing() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 1);
    house.admit(offer(1));
    house.requeue(1, 1, (0, &[], false));
    check(&house.release(1), &[(1, "pool.0")]);
    check(&house.requeue(1, 1, (0, &[], false)), &[]);
    assert_eq!(house.scheduler.state(id(1)), Some(TaskState::Running));
    check(&house.requeue(9, 2, (0, &[], false)), &[]);
    assert_eq!(house.scheduler.total_queued(), 0);
}

#[test]
fn the_slot_may_come_free_before_the_attempt_is_known_to_be_over() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 1);
    house.admit(offer(1));
    house.admit(offer(2));
    check(&house.release(1), &[(2, "pool.0")]);
    assert_eq!(house.scheduler.state(id(1)), Some(TaskState::Running));
    house.requeue(1, 1, (0, &[], false));
    assert_eq!(house.position(1), Some(0));
    check(&house.finish(2, 2), &[(1, "pool.0")]);
}
