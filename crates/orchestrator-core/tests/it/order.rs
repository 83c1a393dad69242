use std::{collections::BTreeMap, num::NonZeroU32};

use orchestrator_core::{Class, Event, Limits, Offer, Restored};
use proptest::prelude::*;

use crate::house::{House, batch, by, id, of, offer, restored, starts};

fn roomy(weight: u32) -> Limits {
    Limits {
        model_capacity: 10_000,
        batch_share_percent: 100,
        total_capacity: 10_000,
        interactive_weight: NonZeroU32::new(weight).unwrap(),
        ..Limits::default()
    }
}

/// Admits `offers`, checks that their positions are those of the order, and that this is how they run.
fn check(offers: impl IntoIterator<Item = Offer>, expected: &[u64]) {
    let mut house = House::with(roomy(8));
    for offer in offers {
        house.admit(offer);
    }
    check_order(house, expected);
}

fn check_order(mut house: House, expected: &[u64]) {
    for (position, number) in (0..).zip(expected) {
        assert_eq!(house.position(*number), Some(position), "of {number}");
    }
    assert_eq!(house.drain(), expected);
}

/// Verifies: ORCH-043, ORCH-047
#[test]
fn tasks_of_one_identity_run_by_admission() {
    check([offer(1), offer(2), offer(3)], &[1, 2, 3]);
}

/// Verifies: ORCH-043, ORCH-047
#[test]
fn identities_take_turns() {
    let backlog = (1..=4).map(|number| by("ann", number));
    check(backlog.chain([by("bob", 5), by("bob", 6), by("cleo", 7)]), &[1, 5, 7, 2, 6, 3, 4]);
}

/// Verifies: ORCH-043
#[test]
fn an_identity_that_was_served_and_comes_back_waits_for_the_others() {
    let mut house = House::new();
    house.admit(by("ann", 1));
    house.admit(by("bob", 2));
    house.serve("pool.0", &["m"], 1);
    house.admit(by("ann", 3));
    house.admit(by("cleo", 4));
    house.serve("pool.0", &[], 0);
    check_order(house, &[2, 3, 4]);
}

/// Verifies: ORCH-043, ORCH-047
#[test]
fn requeued_tasks_run_before_their_class_in_order_of_admission() {
    let mut house = House::new();
    house.serve("pool.0", &["m"], 2);
    for offer in [by("ann", 1), by("bob", 2), by("cleo", 3)] {
        house.admit(offer);
    }
    house.serve("pool.0", &["m"], 0);
    house.requeue(2, 2, (0, &[], false));
    house.requeue(1, 1, (0, &[], false));
    check_order(house, &[1, 2, 3]);
}

/// Verifies: ORCH-043, ORCH-092
#[test]
fn restored_tasks_run_in_their_order_those_with_an_attempt_first() {
    let mut house = House::new();
    let requeued = |number| Restored { requeued: true, ..restored(offer(number)) };
    for restored in [restored(offer(3)), requeued(2), restored(offer(4)), requeued(1)] {
        house.step(Event::Restored(restored));
    }
    house.admit(by("bob", 5));
    check_order(house, &[1, 2, 3, 5, 4]);
}

/// Verifies: ORCH-066, ORCH-047
#[test]
fn a_canceled_task_leaves_order_capacity_and_positions_at_once() {
    let mut house = House::with(Limits { model_capacity: 3, ..Limits::default() });
    for number in 1..=3 {
        house.admit(offer(number));
    }
    assert_eq!(house.step(Event::Canceled { task: id(2) }).len(), 1);
    assert_eq!(house.position(2), None);
    assert_eq!(house.position(3), Some(1));
    house.admit(offer(4));
    check_order(house, &[1, 3, 4]);
}

/// Verifies: ORCH-045, ORCH-047
#[test]
fn batch_gets_one_of_nine_starts_that_both_classes_wait_for() {
    let interactive = (1..=20).map(offer);
    let batch = (21..=24).map(batch);
    let expected: Vec<u64> =
        [1..=8, 21..=21, 9..=16, 22..=22, 17..=20, 23..=24].into_iter().flatten().collect();
    check(interactive.chain(batch), &expected);
}

#[test]
fn starts_that_only_one_class_waits_for_do_not_count() {
    let mut house = House::with(roomy(2));
    house.serve("pool.0", &["m"], 9);
    for number in 1..=5 {
        house.admit(offer(number));
    }
    house.serve("pool.0", &[], 0);
    house.admit(batch(6));
    for number in 7..=9 {
        house.admit(offer(number));
    }
    check_order(house, &[7, 8, 6, 9]);
}

proptest! {
    /// Verifies: ORCH-045
    #[test]
    fn over_n_contended_starts_batch_gets_its_share(
        weight in 1..10_u32,
        interactive in 0..60_u64,
        batches in 0..60_u64,
    ) {
        let mut house = House::with(roomy(weight));
        for number in 1..=interactive {
            house.admit(offer(number));
        }
        for number in interactive + 1..=interactive + batches {
            house.admit(batch(number));
        }
        let is_batch = |number: &u64| *number > interactive;
        let order = house.drain();
        prop_assert_eq!(order.len() as u64, interactive + batches);
        let (mut left, mut left_batch) = (interactive, batches);
        let (mut contended, mut got) = (0, 0);
        for number in &order {
            let both_wait = left > 0 && left_batch > 0;
            contended += u64::from(both_wait);
            got += u64::from(both_wait && is_batch(number));
            prop_assert_eq!(got, contended / u64::from(weight + 1));
            *if is_batch(number) { &mut left_batch } else { &mut left } -= 1;
        }
    }

    /// Verifies: ORCH-043, ORCH-045, ORCH-047
    #[test]
    fn positions_are_those_of_the_starts_if_nothing_else_arrives(
        weight in 1..6_u32,
        tasks in prop::collection::vec(
            (0..4_usize, any::<bool>(), prop::bool::weighted(0.1), 0..2000_u64),
            1..50,
        ),
        started in 0..20_usize,
    ) {
        const NAMES: [&str; 4] = ["ann", "bob", "cleo", "dan"];
        let limits = Limits { batch_max_wait_ms: 1000, ..roomy(weight) };
        let mut house = House::with(limits);
        house.now_ms = 2000;
        for (number, (who, is_batch, requeued, waiting_since_ms)) in (1..).zip(&tasks) {
            let class = if *is_batch { Class::Batch } else { Class::Interactive };
            let waiting_since_ms = *waiting_since_ms;
            let offer = Offer { class, waiting_since_ms, ..by(NAMES[*who], number) };
            house.step(Event::Restored(Restored { requeued: *requeued, ..restored(offer) }));
        }
        // In the middle of a round of turns and of the classes' shares.
        let mut running = starts(&house.serve("pool.0", &["m"], 1));
        for _ in 0..started {
            if let Some(&(number, _, lease)) = running.first() {
                running = starts(&house.finish(number, lease));
            }
        }
        house.serve("pool.0", &[], 0);
        let all = 1..=tasks.len() as u64;
        let told: BTreeMap<u64, u64> =
            all.filter_map(|number| Some((house.position(number)?, number))).collect();
        prop_assert_eq!(told.values().copied().collect::<Vec<_>>(), house.drain());
    }

    /// Verifies: ORCH-046
    #[test]
    fn whoever_comes_and_goes_a_next_task_waits_for_one_of_each_other_identity(
        events in prop::collection::vec(prop::option::weighted(0.6, 0..5_usize), 1..120),
    ) {
        const NAMES: [&str; 5] = ["ann", "bob", "cleo", "dan", "eve"];
        let mut house = House::with(roomy(8));
        let mut running = starts(&house.serve("pool.0", &["m"], 1)).pop();
        let mut owners = BTreeMap::new();
        let mut waiting: Vec<Vec<u64>> = vec![Vec::new(); NAMES.len()];
        // Since an identity has had a next task: starts of each other one.
        let mut passed = vec![[0_u32; NAMES.len()]; NAMES.len()];
        for (number, event) in (1..).zip(events) {
            let actions = match (event, running.take()) {
                (Some(who), before) => {
                    running = before;
                    owners.insert(number, who);
                    if waiting[who].is_empty() {
                        passed[who] = [0; NAMES.len()];
                    }
                    waiting[who].push(number);
                    house.admit(by(NAMES[who], number))
                }
                (None, Some((done, _, lease))) => house.finish(done, lease),
                (None, None) => continue,
            };
            for start in starts(&actions) {
                let who = owners[&start.0];
                prop_assert_eq!(waiting[who].remove(0), start.0);
                for (other, passed) in passed.iter_mut().enumerate() {
                    if other == who {
                        *passed = [0; NAMES.len()];
                    } else if !waiting[other].is_empty() {
                        passed[who] += 1;
                        prop_assert!(passed[who] <= 1, "{} waits again for {who}", NAMES[other]);
                    }
                }
                running = Some(start);
            }
        }
    }

    /// Verifies: ORCH-046
    #[test]
    fn a_backlog_delays_anothers_next_task_by_at_most_one_task_an_identity(
        owners in prop::collection::vec(0..5_usize, 1..60),
    ) {
        const NAMES: [&str; 5] = ["ann", "bob", "cleo", "dan", "eve"];
        let mut house = House::with(roomy(8));
        for (number, owner) in (1..).zip(&owners) {
            house.admit(by(NAMES[*owner], number));
        }
        let owner = |number: &u64| owners[usize::try_from(*number).unwrap() - 1];
        let order = house.drain();
        prop_assert_eq!(order.len(), owners.len());
        // Since an identity's last start, or the beginning: starts of each other one.
        let mut since: Vec<BTreeMap<usize, u32>> = vec![BTreeMap::new(); NAMES.len()];
        let mut last = [0; NAMES.len()];
        for number in &order {
            let own = owner(number);
            prop_assert!(since[own].values().all(|starts| *starts <= 1), "{:?}", order);
            prop_assert!(last[own] < *number, "{:?}", order);
            last[own] = *number;
            for (other, starts) in since.iter_mut().enumerate() {
                if other == own {
                    starts.clear();
                } else {
                    *starts.entry(own).or_default() += 1;
                }
            }
        }
    }
}

/// Verifies: ORCH-041, ORCH-044
#[test]
fn each_model_has_its_own_queue_and_models_on_one_replica_take_turns() {
    let mut house = House::new();
    for offer in [of("a", 1), of("a", 2), of("a", 3), of("b", 4), of("b", 5), of("c", 6)] {
        house.admit(offer);
    }
    assert_eq!([4, 6].map(|number| house.position(number)), [Some(0), Some(0)]);
    let mut order = Vec::new();
    let mut started = starts(&house.serve("pool.0", &["a", "b", "c"], 1));
    while let Some(&(number, _, lease)) = started.first() {
        order.push(number);
        started = starts(&house.finish(number, lease));
    }
    assert_eq!(order, [1, 4, 6, 2, 5, 3]);
}

/// Verifies: ORCH-045
#[test]
fn an_interactive_flood_does_not_starve_batch() {
    let mut house = House::with(roomy(8));
    house.admit(Offer { class: Class::Batch, ..by("bob", 1) });
    house.admit(offer(2));
    let mut started = starts(&house.serve("pool.0", &["m"], 1));
    let mut number = 3;
    while started[0].0 != 1 {
        assert!(number < 20, "batch starves");
        house.admit(offer(number));
        started = starts(&house.finish(started[0].0, started[0].2));
        number += 1;
    }
    assert_eq!(number, 3 + 8);
}

/// Verifies: ORCH-045
#[test]
fn batch_gets_every_second_start_once_its_oldest_task_waited_long() {
    let limits = Limits { batch_max_wait_ms: 1000, ..roomy(3) };
    let mut house = House::with(limits);
    for number in 1..=8 {
        house.admit(offer(number));
    }
    house.admit(batch(11));
    house.admit(Offer { waiting_since_ms: 600, ..batch(12) });
    house.admit(Offer { waiting_since_ms: 600, ..batch(13) });
    assert_eq!(house.position(11), Some(3), "after three of interactive");
    house.at(1000);
    assert_eq!(house.position(11), Some(1), "its turn comes sooner");
    assert_eq!(house.position(12), Some(5), "once 11 is gone the share is the smaller one again");
    // 11 is the only old one: with it gone, three of interactive go before each of batch again.
    check_starts(house, &[1, 11, 2, 3, 4, 12, 5, 6, 7, 13, 8]);
}

/// Verifies: ORCH-045
#[test]
fn ageing_changes_the_share_of_batch_and_never_the_order_within_a_class() {
    let mut house = House::with(Limits { batch_max_wait_ms: 1000, ..roomy(3) });
    for number in 1..=4 {
        house.admit(offer(number));
    }
    for number in 11..=13 {
        house.admit(batch(number));
    }
    house.at(5000);
    check_starts(house, &[1, 11, 2, 12, 3, 13, 4]);
}

/// Verifies: ORCH-045
#[test]
fn a_task_that_runs_again_waits_from_its_last_attempt_on() {
    let mut house = House::with(Limits { batch_max_wait_ms: 1000, ..roomy(3) });
    house.serve("pool.0", &["m"], 1);
    house.admit(batch(11));
    for number in 1..=4 {
        house.admit(offer(number));
    }
    house.serve("pool.0", &["m"], 0);
    house.at(5000);
    house.requeue(11, 1, (0, &[], false));
    assert_eq!(house.position(11), Some(3), "its run was no wait");
    house.at(6000);
    assert_eq!(house.position(11), Some(1));
}

fn check_starts(mut house: House, expected: &[u64]) {
    assert_eq!(house.drain(), expected);
}
