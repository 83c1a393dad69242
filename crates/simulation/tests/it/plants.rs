use simulation::{Failure, Load, Plant, Scenario, run, shrink};

/// Seeds within which a plant must be found.
const SEEDS: u64 = 8;

/// What is found to be broken in the first seed that shows the plant.
fn found(plant: Plant, load: Load) -> (Scenario, Failure) {
    let found = (1..=SEEDS).find_map(|seed| {
        let scenario = Scenario::with_load(seed, 0.5, load);
        let (_tally, failure) = run(&scenario, Some(plant));
        failure.map(|failure| (scenario, failure))
    });
    found.expect("a planted fault is found within few seeds")
}

fn check(plant: Plant, load: Load, invariants: &[u8], words: &str) {
    let (scenario, failure) = found(plant, load);
    let what = failure.violation.to_string();
    assert!(invariants.contains(&failure.violation.number), "{what}");
    assert!(what.contains(words), "{what}");
    assert_eq!(run(&scenario, None).1, None, "it fails without the plant too");
}

/// Verifies: ORCH-294
#[test]
fn a_lost_wake_up_is_found_in_the_smallest_world() {
    check(Plant::LostWakeup, Load::Small, &[6, 9], "");
}

/// Verifies: ORCH-294
#[test]
fn a_lost_wake_up_is_found_under_load_with_faults() {
    check(Plant::LostWakeup, Load::Bursty, &[6, 9], "");
}

/// Verifies: ORCH-294
#[test]
fn a_double_dispatch_is_found() {
    check(Plant::DoubleDispatch, Load::Overload, &[6], "is dispatched while it is Running");
}

/// Verifies: ORCH-294
#[test]
fn a_rotation_that_favours_whoever_sends_most_is_found() {
    check(Plant::UnfairRotation, Load::Overload, &[9], "is the second that passes");
}

/// Verifies: ORCH-294
#[test]
fn a_class_that_gets_less_than_its_share_is_found() {
    check(Plant::UnfairShare, Load::Overload, &[9], "in a row, at weight");
}

/// Verifies: ORCH-294
#[test]
fn a_daemon_that_does_not_watch_its_waits_is_found() {
    check(Plant::DeafToWaits, Load::Bursty, &[9], "is not sent away");
}

/// Verifies: ORCH-294
#[test]
fn an_answer_before_its_fsync_is_found() {
    check(Plant::SkippedFsync, Load::Small, &[4], "not on the disk");
}

/// Verifies: ORCH-294
#[test]
fn a_deadline_that_is_not_carried_out_is_found() {
    check(Plant::ForgottenDeadline, Load::Overload, &[2], "past its deadline");
}

/// Verifies: ORCH-294
#[test]
fn a_reload_that_the_scheduler_does_not_hear_of_is_found() {
    check(Plant::StaleLimits, Load::Bursty, &[1, 9], "");
}

/// Verifies: ORCH-294
#[test]
fn a_key_that_stands_for_two_live_tasks_is_found() {
    check(Plant::UngatedKeys, Load::Bursty, &[1], "stands for task");
}

/// Verifies: ORCH-294
#[test]
fn a_wish_that_is_forgotten_is_found() {
    check(Plant::LostWish, Load::Bursty, &[6, 9], "");
}

/// Verifies: ORCH-294
#[test]
fn a_failing_seed_shrinks_to_what_it_takes_to_fail() {
    let (scenario, failure) = found(Plant::DoubleDispatch, Load::Overload);
    let shrunk = shrink(&scenario, Some(Plant::DoubleDispatch), &failure);
    // Every 20th dispatch is doubled, so it takes twenty tasks.
    assert_eq!(shrunk.scenario.tasks.len(), 20);
    assert_eq!(shrunk.failure.violation.number, failure.violation.number);
    assert_eq!(run(&shrunk.scenario, Some(Plant::DoubleDispatch)).1, Some(shrunk.failure));
}
