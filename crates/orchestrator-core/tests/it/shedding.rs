use orchestrator_core::{
    Action, BACK_OFF_MS_MAX, Class, Event, Limits, Offer, QueueLimit, WaitObjective,
};
use proptest::prelude::*;

use crate::house::{House, batch, offer, starts};

const OBJECTIVE: WaitObjective = WaitObjective { wait_p95_ms: 1000, window_ms: 10_000 };

/// A house with one slot, which is free.
fn watched(objective: Option<WaitObjective>) -> House {
    let mut house = House::with(Limits { objective, ..Limits::default() });
    house.serve("pool.0", &["m"], 1);
    house
}

/// Lets an interactive task start that waited for so long, and end.
fn start_after(house: &mut House, number: u64, waited_ms: u64) {
    let since_ms = house.now_ms;
    house.serve("pool.0", &["m"], 0);
    house.admit(Offer { waiting_since_ms: since_ms, ..offer(number) });
    house.now_ms += waited_ms;
    let started = starts(&house.serve("pool.0", &["m"], 1));
    house.finish(number, started[0].2);
}

/// What an offer meets: the bound, and when to come again. It is withdrawn where it meets none.
fn met(house: &mut House, offer: Offer) -> Option<(QueueLimit, Option<u64>)> {
    let task = offer.task;
    match house.step(Event::Offered(offer))[..] {
        [Action::Rejected { limit, retry_after_ms, .. }] => Some((limit, retry_after_ms)),
        _ => {
            house.step(Event::Withdrawn { task });
            None
        }
    }
}

/// Verifies: ORCH-052
#[test]
fn batch_makes_way_while_interactive_tasks_wait_for_too_long() {
    let mut house = watched(Some(OBJECTIVE));
    for number in 1..=40 {
        start_after(&mut house, number, 100);
    }
    assert_eq!(met(&mut house, batch(100)), None);
    // One of twenty may be late.
    start_after(&mut house, 41, 1500);
    assert_eq!(met(&mut house, batch(100)), None);
    start_after(&mut house, 42, 1500);
    start_after(&mut house, 43, 1500);
    let (limit, retry_after_ms) = met(&mut house, batch(100)).unwrap();
    assert_eq!((limit, retry_after_ms), (QueueLimit::Objective, Some(10_000)));
    assert_eq!(met(&mut house, offer(101)), None, "interactive tasks are what it is for");
    // It stays so for the window at least, and for as long as it takes.
    house.now_ms += 9_999;
    assert!(met(&mut house, batch(100)).is_some());
    house.now_ms += 1;
    assert_eq!(met(&mut house, batch(100)), None);
}

/// Verifies: ORCH-052
#[test]
fn a_queue_in_which_nothing_starts_does_not_look_well() {
    let mut house = watched(Some(OBJECTIVE));
    house.serve("pool.0", &["m"], 0);
    house.admit(offer(1));
    house.now_ms = 1000;
    assert_eq!(met(&mut house, batch(2)), None);
    for now_ms in [1001, 20_000, 500_000] {
        house.now_ms = now_ms;
        assert!(met(&mut house, batch(2)).is_some(), "at {now_ms}");
    }
}

/// Verifies: ORCH-052
#[test]
fn without_an_objective_and_for_other_models_nothing_is_shed() {
    for objective in [None, Some(OBJECTIVE)] {
        let mut house = watched(objective);
        for number in 1..=5 {
            start_after(&mut house, number, 60_000);
        }
        assert_eq!(met(&mut house, batch(100)).is_some(), objective.is_some());
        let other = Offer { model: crate::house::model("other"), ..batch(101) };
        assert_eq!(met(&mut house, other), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Verifies: ORCH-011, ORCH-052
    #[test]
    fn it_does_not_switch_back_and_forth(
        waits in prop::collection::vec(700..1100_u64, 20..200),
    ) {
        let mut house = watched(Some(OBJECTIVE));
        let mut changes = Vec::new();
        let mut was_shed = false;
        for (number, waited_ms) in (1..).zip(waits) {
            start_after(&mut house, number, waited_ms);
            let shed = met(&mut house, Offer { class: Class::Batch, ..offer(10_000 + number) });
            if let Some((_, retry_after_ms)) = shed {
                prop_assert!((1..=BACK_OFF_MS_MAX).contains(&retry_after_ms.unwrap()));
            }
            if shed.is_some() != was_shed {
                was_shed = shed.is_some();
                changes.push((house.now_ms, was_shed));
            }
        }
        for pair in changes.windows(2) {
            let [(from_ms, was_shed), (to_ms, _)] = pair else { unreachable!("pairs") };
            prop_assert!(!was_shed || to_ms - from_ms >= OBJECTIVE.window_ms);
        }
    }
}
