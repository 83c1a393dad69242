use std::collections::BTreeMap;

use orchestrator_core::{
    Action, Class, Depth, EndedBy, Event, Limits, ModelLimits, Offer, QueueLimit,
};

use crate::house::{House, batch, by, id, model, of, offer, restored};

fn check(house: &mut House, offer: Offer, expected: Result<u64, QueueLimit>) {
    let task = offer.task;
    let answer = match expected {
        Ok(position) => Action::Reserved { task, position, forecast: None, victims: Vec::new() },
        Err(limit) => Action::Rejected { task, limit, retry_after_ms: None },
    };
    assert_eq!(house.step(Event::Offered(offer)), [answer]);
}

/// Verifies: ORCH-041
#[test]
fn a_model_takes_what_its_capacity_allows_and_batch_its_share_of_it() {
    let mut house = House::with(Limits { model_capacity: 4, ..Limits::default() });
    for number in 1..=3 {
        check(&mut house, batch(number), Ok(0));
    }
    check(&mut house, batch(4), Err(QueueLimit::BatchShare));
    check(&mut house, offer(5), Ok(0));
    check(&mut house, offer(6), Err(QueueLimit::Model));
    check(&mut house, batch(7), Err(QueueLimit::Model));
    check(&mut house, of("other", 8), Ok(0));
}

/// Verifies: ORCH-041
#[test]
fn a_model_can_have_limits_of_its_own() {
    let own = ModelLimits { capacity: 2, batch_share_percent: 50 };
    let models = BTreeMap::from([(model("m"), own)]);
    let mut house = House::with(Limits { models, ..Limits::default() });
    check(&mut house, batch(1), Ok(0));
    check(&mut house, batch(2), Err(QueueLimit::BatchShare));
    check(&mut house, offer(3), Ok(0));
    check(&mut house, offer(4), Err(QueueLimit::Model));
}

/// Verifies: ORCH-041
#[test]
fn the_default_limits_are_those_of_the_requirements() {
    let limits = Limits::default();
    assert_eq!(limits.of(&model("m")).capacity, 256);
    assert_eq!(limits.of(&model("m")).batch_capacity(), 192);
    assert_eq!(limits.total_capacity, 4096);
    assert_eq!(limits.bytes_max, 512 * 1024 * 1024);
    assert_eq!(limits.interactive_weight.get(), 8);
}

/// Verifies: ORCH-041
#[test]
fn all_models_share_the_capacity_and_the_bytes_of_the_daemon() {
    let limits = Limits { total_capacity: 2, bytes_max: 10, ..Limits::default() };
    let mut house = House::with(limits.clone());
    check(&mut house, offer(1), Ok(0));
    check(&mut house, of("other", 2), Ok(0));
    check(&mut house, of("third", 3), Err(QueueLimit::Daemon));

    let mut house = House::with(limits);
    check(&mut house, Offer { prompt_bytes: 9, ..offer(1) }, Ok(0));
    check(&mut house, Offer { prompt_bytes: 2, ..offer(2) }, Err(QueueLimit::Bytes));
    check(&mut house, Offer { prompt_bytes: u64::MAX, ..offer(3) }, Err(QueueLimit::Bytes));
    check(&mut house, Offer { prompt_bytes: 1, ..offer(4) }, Ok(0));
}

/// Verifies: ORCH-041
#[test]
fn running_tasks_hold_no_place_in_the_queue() {
    let mut house = House::with(Limits { model_capacity: 1, ..Limits::default() });
    house.serve("pool.0", &["m"], 1);
    house.admit(offer(1));
    check(&mut house, offer(2), Ok(0));
    let expected = Depth { interactive: 0, batch: 0, reserved: 1, running: 1 };
    assert_eq!(house.scheduler.depth(&model("m")), expected);
}

/// Verifies: ORCH-037
#[test]
fn an_offer_holds_its_place_until_it_is_committed_or_withdrawn() {
    let mut house = House::with(Limits { model_capacity: 1, ..Limits::default() });
    check(&mut house, offer(1), Ok(0));
    assert_eq!(house.position(1), None);
    assert_eq!(house.scheduler.state(id(1)), None);
    check(&mut house, offer(2), Err(QueueLimit::Model));
    assert_eq!(house.step(Event::Withdrawn { task: id(1) }), []);
    check(&mut house, offer(3), Ok(0));
    house.step(Event::Committed { task: id(3) });
    assert_eq!(house.position(3), Some(0));
    check(&mut house, offer(4), Err(QueueLimit::Model));
}

/// Verifies: ORCH-037
#[test]
fn refused_and_withdrawn_offers_leave_nothing_behind() {
    let mut house = House::with(Limits { model_capacity: 1, ..Limits::default() });
    check(&mut house, offer(1), Ok(0));
    check(&mut house, offer(2), Err(QueueLimit::Model));
    house.step(Event::Withdrawn { task: id(1) });
    assert_eq!(house.scheduler.models().count(), 0);
    assert_eq!(house.scheduler.prompt_bytes(), 0);
    assert_eq!(house.scheduler.next_wake_ms(), None);
    // Their ids mean nothing any more.
    assert_eq!(house.step(Event::Committed { task: id(1) }), []);
    assert_eq!(house.step(Event::Committed { task: id(2) }), []);
    assert_eq!(house.scheduler.total_queued(), 0);
    assert_eq!(house.scheduler.refused_events(), 2);
}

/// Verifies: ORCH-037
#[test]
fn nothing_runs_before_it_is_committed() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 2);
    check(&mut house, offer(1), Ok(0));
    assert_eq!(house.step(Event::Tick), []);
    assert_eq!(house.step(Event::Committed { task: id(1) }).len(), 1);
}

/// Verifies: ORCH-043
#[test]
fn commits_in_another_order_than_offers_change_no_place() {
    let mut house = House::new();
    for offer in [by("ann", 1), by("bob", 2), by("ann", 3)] {
        house.step(Event::Offered(offer));
    }
    for number in [3, 2, 1] {
        house.step(Event::Committed { task: id(number) });
    }
    assert_eq!([1, 2, 3].map(|number| house.position(number)), [Some(0), Some(1), Some(2)]);
    assert_eq!(house.drain(), [1, 2, 3]);
}

/// Verifies: ORCH-037
#[test]
fn an_offer_that_is_canceled_or_overdue_ends_once_it_is_durable() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 1);
    house.step(Event::Offered(offer(1)));
    assert_eq!(house.step(Event::Canceled { task: id(1) }), []);
    let ended = |number, by| [Action::Ended { task: id(number), by, lease: None }];
    assert_eq!(house.step(Event::Committed { task: id(1) }), ended(1, EndedBy::Cancel));

    house.step(Event::Offered(Offer { deadline_ms: Some(10), ..offer(2) }));
    assert_eq!(house.at(10), []);
    assert_eq!(house.step(Event::Committed { task: id(2) }), ended(2, EndedBy::Deadline));
}

/// Verifies: ORCH-041
#[test]
fn restored_tasks_pass_all_limits_but_count() {
    let mut house = House::with(Limits { model_capacity: 1, ..Limits::default() });
    for number in 1..=3 {
        house.step(Event::Restored(restored(offer(number))));
    }
    assert_eq!(house.scheduler.total_queued(), 3);
    check(&mut house, offer(4), Err(QueueLimit::Model));
    assert_eq!(house.scheduler.depth(&model("m")).interactive, 3);
}

#[test]
fn an_id_that_lives_is_not_offered_again() {
    let mut house = House::new();
    house.admit(offer(1));
    let again = Offer { class: Class::Batch, ..offer(1) };
    assert_eq!(house.step(Event::Offered(again.clone())), []);
    assert_eq!(house.step(Event::Restored(restored(again))), []);
    assert_eq!(house.scheduler.refused_events(), 2);
    assert_eq!(house.scheduler.depth(&model("m")).interactive, 1);
}

/// Verifies: ORCH-031
#[test]
fn what_has_expired_holds_no_place_against_a_newcomer() {
    let mut house = House::with(Limits { model_capacity: 1, ..Limits::default() });
    house.admit(Offer { deadline_ms: Some(10), ..offer(1) });
    house.now_ms = 10;
    let expired = Action::Ended { task: id(1), by: EndedBy::Deadline, lease: None };
    let reserved =
        Action::Reserved { task: id(2), position: 0, forecast: None, victims: Vec::new() };
    assert_eq!(house.step(Event::Offered(offer(2))), [expired, reserved]);
}
