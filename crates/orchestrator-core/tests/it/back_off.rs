use orchestrator_core::{Action, BACK_OFF_MS_MAX, Event, Limits, Offer};
use proptest::prelude::*;

use crate::house::{House, batch, of, offer, restored, starts};

/// What an offer to a full queue is told.
fn back_off_ms(house: &mut House, offer: Offer) -> Option<u64> {
    match house.step(Event::Offered(offer))[..] {
        [Action::Rejected { retry_after_ms, .. }] => retry_after_ms,
        ref other => panic!("the queue is not full: {other:?}"),
    }
}

/// A queue with room for `capacity` whose one slot ends a task every `service_ms`, `ran` of them so far,
/// and `waiting` tasks in it.
fn drained(capacity: u64, service_ms: u64, ran: u64, waiting: u64) -> House {
    let limits = Limits { model_capacity: capacity, total_capacity: 1 << 20, ..Limits::default() };
    let mut house = House::with(limits);
    for number in 1..=ran + waiting {
        house.step(Event::Restored(restored(offer(number))));
    }
    let mut started = starts(&house.serve("pool.0", &["m"], 1));
    for _ in 1..ran {
        house.now_ms += service_ms;
        started = starts(&house.finish(started[0].0, started[0].2));
    }
    house
}

/// Verifies: ORCH-049
#[test]
fn a_full_queue_tells_when_its_next_place_is_free() {
    let mut house = drained(4, 500, 100, 4);
    let told = back_off_ms(&mut house, offer(1000)).unwrap();
    assert!((480..=520).contains(&told), "{told}");
    // Three more than there is room for have to leave as well.
    let mut house = drained(4, 500, 100, 7);
    let told = back_off_ms(&mut house, offer(1000)).unwrap();
    assert!((1920..=2080).contains(&told), "{told}");
}

/// Verifies: ORCH-049
#[test]
fn nothing_is_told_before_anything_was_measured() {
    let mut house = drained(4, 500, 1, 4);
    assert_eq!(back_off_ms(&mut house, offer(1000)), None);
    let mut house = House::with(Limits { model_capacity: 0, ..Limits::default() });
    assert_eq!(back_off_ms(&mut house, offer(1)), None);
}

/// Verifies: ORCH-011, ORCH-049
#[test]
fn a_queue_that_stands_still_tells_the_longest_back_off() {
    let mut house = drained(4, 500, 100, 4);
    house.now_ms += 3_600_000;
    assert_eq!(back_off_ms(&mut house, offer(1000)), Some(BACK_OFF_MS_MAX));
}

/// Verifies: ORCH-049
#[test]
fn each_bound_tells_by_the_queue_that_it_bounds() {
    // Of every nine starts one is batch's.
    let mut house =
        House::with(Limits { total_capacity: 70, bytes_max: 1000, ..Limits::default() });
    for number in 1..=100 {
        house.step(Event::Restored(restored(offer(number))));
        house.step(Event::Restored(restored(batch(1000 + number))));
    }
    let mut started = starts(&house.serve("pool.0", &["m"], 1));
    for _ in 1..90 {
        house.now_ms += 100;
        started = starts(&house.finish(started[0].0, started[0].2));
    }
    let other = of("other", 5000);
    let told = back_off_ms(&mut house, other).unwrap();
    // 110 wait where 70 may: 41 have to go, one each 100 ms.
    assert!((4000..4300).contains(&told), "{told}");
    let own = Limits { model_capacity: 400, batch_share_percent: 10, ..Limits::default() };
    let mut slow = House::with(own);
    for number in 1..=100 {
        slow.step(Event::Restored(restored(offer(number))));
        slow.step(Event::Restored(restored(batch(1000 + number))));
    }
    let mut started = starts(&slow.serve("pool.0", &["m"], 1));
    for _ in 1..91 {
        slow.now_ms += 100;
        started = starts(&slow.finish(started[0].0, started[0].2));
    }
    // 90 of batch wait where 40 may, and one starts every 900 ms.
    let told = back_off_ms(&mut slow, batch(5000)).unwrap();
    assert!((43_000..48_000).contains(&told), "{told}");
}

proptest! {
    /// Verifies: ORCH-011, ORCH-049
    #[test]
    fn back_off_grows_with_the_depth_and_stays_within_its_bounds(
        capacity in 1..50_u64,
        service_ms in 1..20_000_u64,
        ran in 2..60_u64,
        more in 0..50_u64,
    ) {
        let told = |waiting| back_off_ms(&mut drained(capacity, service_ms, ran, waiting), offer(1 << 30));
        let (at_capacity, deeper) = (told(capacity), told(capacity + more));
        prop_assert!(at_capacity <= deeper);
        for ms in [at_capacity, deeper].into_iter().flatten() {
            prop_assert!((1..=BACK_OFF_MS_MAX).contains(&ms));
        }
        prop_assert_eq!(at_capacity.is_some(), service_ms * (ran - 1) >= 1000);
    }
}
