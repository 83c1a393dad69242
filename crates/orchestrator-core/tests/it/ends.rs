use orchestrator_core::{Action, EndedBy, Event, Lease, Offer, Slots};

use crate::house::{House, batch, id, model, of, offer, replica_id, starts};

fn ended(number: u64, by: EndedBy, lease: Option<u64>) -> Action {
    Action::Ended { task: id(number), by, lease: lease.map(Lease) }
}

/// Verifies: ORCH-031
#[test]
fn a_queued_task_ends_at_its_deadline() {
    let mut house = House::new();
    house.admit(Offer { deadline_ms: Some(50), ..offer(1) });
    assert_eq!(house.scheduler.next_wake_ms(), Some(50));
    assert_eq!(house.at(49), []);
    assert_eq!(house.at(50), [ended(1, EndedBy::Deadline, None)]);
    assert_eq!(house.at(51), []);
    assert_eq!(house.scheduler.next_wake_ms(), None);
    assert_eq!(house.scheduler.total_queued(), 0);
}

/// Verifies: ORCH-031, ORCH-053
#[test]
fn a_running_task_ends_at_its_deadline_and_its_slot_goes_to_the_next_when_released() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 1);
    house.admit(Offer { deadline_ms: Some(50), ..offer(1) });
    house.admit(offer(2));
    assert_eq!(house.at(50), [ended(1, EndedBy::Deadline, Some(1))]);
    let slots = house.scheduler.slots(&replica_id("pool.0"));
    assert_eq!(slots, Some(Slots { total: 1, busy: 1 }));
    assert_eq!(starts(&house.finish(1, 1)), [(2, "pool.0".to_owned(), 2)]);
}

/// Verifies: ORCH-026, ORCH-031
#[test]
fn the_longest_wait_ends_queued_tasks_only() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 1);
    house.admit(Offer { queue_until_ms: 50, ..offer(1) });
    house.admit(Offer { queue_until_ms: 50, ..offer(2) });
    house.admit(Offer { queue_until_ms: 60, deadline_ms: Some(50), ..offer(3) });
    let both = [ended(2, EndedBy::QueueTimeout, None), ended(3, EndedBy::Deadline, None)];
    assert_eq!(house.at(50), both);
    assert_eq!(house.at(1000), []);
    // Back in the queue, it has waited for too long.
    assert_eq!(house.requeue(1, 1, (0, &[], false)), [ended(1, EndedBy::QueueTimeout, None)]);
}

/// Verifies: ORCH-031
#[test]
fn the_earlier_of_two_ends_that_have_passed_is_the_reason() {
    let mut house = House::new();
    house.admit(Offer { queue_until_ms: 50, deadline_ms: Some(60), ..offer(1) });
    house.admit(Offer { queue_until_ms: 60, deadline_ms: Some(40), ..offer(2) });
    house.admit(Offer { queue_until_ms: 30, deadline_ms: Some(30), ..offer(3) });
    let expected = [
        ended(3, EndedBy::Deadline, None),
        ended(2, EndedBy::Deadline, None),
        ended(1, EndedBy::QueueTimeout, None),
    ];
    assert_eq!(house.at(1000), expected);
}

/// Verifies: ORCH-031
#[test]
fn nothing_starts_at_or_after_its_end() {
    let mut house = House::new();
    house.admit(Offer { deadline_ms: Some(50), ..offer(1) });
    house.admit(offer(2));
    house.now_ms = 50;
    let actions = house.serve("pool.0", &["m"], 1);
    assert_eq!(actions[0], ended(1, EndedBy::Deadline, None));
    assert_eq!(starts(&actions), [(2, "pool.0".to_owned(), 1)]);
}

/// Verifies: ORCH-031
#[test]
fn an_attempt_that_ended_before_the_deadline_was_noticed_counts() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 1);
    house.admit(Offer { deadline_ms: Some(50), ..offer(1) });
    house.now_ms = 60;
    assert_eq!(house.finish(1, 1), []);
}

/// Verifies: ORCH-066
#[test]
fn a_cancel_ends_queued_tasks_at_once_and_tells_running_ones_to_stop() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 1);
    house.admit(offer(1));
    house.admit(offer(2));
    let cancel = |number| Event::Canceled { task: id(number) };
    assert_eq!(house.step(cancel(2)), [ended(2, EndedBy::Cancel, None)]);
    assert_eq!(house.step(cancel(1)), [ended(1, EndedBy::Cancel, Some(1))]);
    // Again, and for a task that never was.
    assert_eq!(house.step(cancel(1)), []);
    assert_eq!(house.step(cancel(9)), []);
    // Its attempt may still report; the slot is busy until the engine lets go.
    assert_eq!(house.requeue(1, 1, (0, &[], false)), []);
    assert_eq!(house.scheduler.total_queued(), 0);
    house.admit(offer(3));
    assert_eq!(starts(&house.release(1)), [(3, "pool.0".to_owned(), 2)]);
    assert_eq!(house.scheduler.unknown_releases(), 0);
}

/// Verifies: ORCH-026
#[test]
fn a_model_that_nothing_can_serve_any_more_ends_its_queue() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 1);
    house.admit(offer(1));
    house.admit(batch(2));
    house.admit(offer(3));
    house.admit(of("other", 4));
    house.step(Event::ReplicaGone { replica: replica_id("pool.0") });
    let unservable = Event::ModelUnservable { model: model("m") };
    let both = [ended(2, EndedBy::Unservable, None), ended(3, EndedBy::Unservable, None)];
    assert_eq!(house.step(unservable.clone()), both);
    assert_eq!(house.position(4), Some(0));
    // Its attempt was at work; waiting again, the task needs to be told again.
    house.requeue(1, 1, (0, &[], false));
    assert_eq!(house.step(unservable), [ended(1, EndedBy::Unservable, None)]);
}

#[test]
fn time_never_runs_backwards() {
    let mut house = House::new();
    house.at(100);
    house.now_ms = 10;
    house.step(Event::Offered(Offer { deadline_ms: Some(50), ..offer(1) }));
    let actions = house.step(Event::Committed { task: id(1) });
    assert_eq!(actions, [ended(1, EndedBy::Deadline, None)]);
}
