use orchestrator_core::{
    Action, EndedBy, Event, Limits, Offer, QueueLimit, TaskId, TaskState, WhenFull,
};

use crate::house::{House, batch, by, id, model, of, offer, request, restored};

fn house(model_capacity: u64) -> House {
    House::with(Limits {
        model_capacity,
        batch_share_percent: 100,
        when_full: WhenFull::DropLru,
        ..Limits::default()
    })
}

/// Offers, and gives the victims or the bound that was not kept.
fn offered(house: &mut House, offer: Offer) -> Result<Vec<u64>, QueueLimit> {
    let numbers = |ids: &[TaskId]| ids.iter().map(|task| crate::house::number_of(*task)).collect();
    match &house.step(Event::Offered(offer))[..] {
        [Action::Reserved { victims, .. }] => Ok(numbers(victims)),
        [Action::Rejected { limit, .. }] => Err(*limit),
        other => panic!("no answer to an offer: {other:?}"),
    }
}

/// Verifies: ORCH-050
#[test]
fn the_oldest_task_of_batch_makes_room_before_any_interactive_one() {
    let mut house = house(3);
    for offer in [offer(1), batch(2), batch(3)] {
        house.admit(offer);
    }
    assert_eq!(offered(&mut house, offer(4)), Ok(vec![2]));
    house.step(Event::Committed { task: id(4) });
    assert_eq!(offered(&mut house, batch(5)), Ok(vec![3]));
    house.step(Event::Committed { task: id(5) });
    assert_eq!(offered(&mut house, offer(6)), Ok(vec![5]));
    house.step(Event::Committed { task: id(6) });
    // Only interactive ones are left: the oldest of them, and not for batch.
    assert_eq!(offered(&mut house, batch(7)), Err(QueueLimit::Model));
    assert_eq!(offered(&mut house, offer(8)), Ok(vec![1]));
}

/// Verifies: ORCH-050
#[test]
fn the_victim_comes_from_the_queue_whose_bound_is_hit() {
    let limits = Limits {
        model_capacity: 2,
        total_capacity: 3,
        batch_share_percent: 50,
        when_full: WhenFull::DropLru,
        ..Limits::default()
    };
    let other = |offer: Offer| Offer { model: model("other"), request: request("other"), ..offer };
    let mut house = House::with(limits);
    house.admit(other(batch(1)));
    house.admit(batch(2));
    // The share of batch in `m`, though the other model's is older.
    assert_eq!(offered(&mut house, batch(3)), Ok(vec![2]));
    house.step(Event::Committed { task: id(3) });
    house.admit(offer(4));
    // `m` is full.
    assert_eq!(offered(&mut house, offer(5)), Ok(vec![3]));
    house.step(Event::Committed { task: id(5) });
    // The daemon is full, whoever is the oldest.
    assert_eq!(offered(&mut house, of("third", 6)), Ok(vec![1]));
}

/// Verifies: ORCH-050
#[test]
fn a_large_prompt_takes_the_room_of_several_and_of_none_where_that_is_not_enough() {
    let limits = Limits { bytes_max: 30, when_full: WhenFull::DropLru, ..Limits::default() };
    let mut house = House::with(limits);
    for number in 1..=3 {
        house.admit(Offer { prompt_bytes: 10, ..batch(number) });
    }
    let large = |number, bytes| Offer { prompt_bytes: bytes, ..offer(number) };
    assert_eq!(offered(&mut house, large(4, 31)), Err(QueueLimit::Bytes));
    assert_eq!(house.scheduler.depth(&model("m")).batch, 3, "nothing went in vain");
    assert_eq!(offered(&mut house, large(5, 15)), Ok(vec![1, 2]));
}

/// Verifies: ORCH-050
#[test]
fn what_had_an_attempt_or_may_not_go_is_never_evicted() {
    let mut house = house(1);
    house.serve("pool.0", &["m"], 1);
    house.admit(offer(1));
    house.serve("pool.0", &["m"], 0);
    house.requeue(1, 1, (0, &[], false));
    assert_eq!(offered(&mut house, offer(2)), Err(QueueLimit::Model));
    house.step(Event::Canceled { task: id(1) });
    house.admit(Offer { is_evictable: false, ..batch(3) });
    assert_eq!(offered(&mut house, offer(4)), Err(QueueLimit::Model));
    house.step(Event::Canceled { task: id(3) });
    house.step(Event::Restored(orchestrator_core::Restored {
        requeued: true,
        ..restored(batch(5))
    }));
    assert_eq!(offered(&mut house, offer(6)), Err(QueueLimit::Model));
}

/// Verifies: ORCH-037, ORCH-050, ORCH-051
#[test]
fn a_victim_neither_starts_nor_ends_until_the_newcomer_is_committed() {
    let mut house = house(2);
    house.admit(Offer { deadline_ms: Some(5), ..batch(1) });
    house.admit(offer(2));
    assert_eq!(offered(&mut house, offer(3)), Ok(vec![1]));
    assert_eq!(house.position(1), None);
    assert_eq!(house.scheduler.state(id(1)), Some(TaskState::Queued));
    assert_eq!(house.at(10), []);
    assert_eq!(house.step(Event::Canceled { task: id(1) }), []);
    assert_eq!(house.serve("pool.0", &["m"], 2).len(), 1, "only 2 starts");
    assert_eq!(house.step(Event::Committed { task: id(3) }).len(), 1);
    assert_eq!(house.scheduler.state(id(1)), None, "it ended with that commit");
}

/// Verifies: ORCH-037, ORCH-050
#[test]
fn a_victim_whose_newcomer_is_withdrawn_has_its_place_again() {
    let mut house = house(3);
    for offer in [by("ann", 1), by("bob", 2), by("ann", 3)] {
        house.admit(offer);
    }
    assert_eq!(offered(&mut house, by("cleo", 4)), Ok(vec![1]));
    assert_eq!([2, 3].map(|number| house.position(number)), [Some(1), Some(0)]);
    assert_eq!(house.step(Event::Withdrawn { task: id(4) }), []);
    assert_eq!([1, 2, 3].map(|number| house.position(number)), [Some(0), Some(1), Some(2)]);
    // What was to happen to it meanwhile happens now.
    assert_eq!(offered(&mut house, by("cleo", 5)), Ok(vec![1]));
    house.step(Event::Canceled { task: id(1) });
    let ended = Action::Ended { task: id(1), by: EndedBy::Cancel, lease: None };
    assert_eq!(house.step(Event::Withdrawn { task: id(5) }), [ended]);
}

/// Verifies: ORCH-050
#[test]
fn a_rule_that_changes_while_tasks_wait_holds_for_them_too() {
    let mut house = house(2);
    house.admit(batch(1));
    house.admit(offer(2));
    let limits = |when_full| Limits { model_capacity: 2, when_full, ..Limits::default() };
    house.scheduler.set_limits(limits(WhenFull::Reject));
    assert_eq!(offered(&mut house, offer(3)), Err(QueueLimit::Model));
    house.step(Event::Canceled { task: id(2) });
    house.admit(offer(4));
    house.scheduler.set_limits(limits(WhenFull::DropLru));
    assert_eq!(offered(&mut house, offer(5)), Ok(vec![1]));
    house.step(Event::Committed { task: id(5) });
    assert_eq!(offered(&mut house, offer(6)), Ok(vec![4]));
}

/// Verifies: ORCH-050
#[test]
fn without_the_policy_nobody_goes() {
    let limits = Limits { model_capacity: 1, batch_share_percent: 100, ..Limits::default() };
    let mut house = House::with(limits);
    house.admit(batch(1));
    assert_eq!(offered(&mut house, offer(2)), Err(QueueLimit::Model));
}
