use orchestrator_core::TaskState;
use simulation::{Load, Scenario, Tally, in_time_of_oracle, run, trace};

fn check(scenario: &Scenario) -> Tally {
    let (tally, failure) = run(scenario, None);
    assert_eq!(failure, None, "seed {}", scenario.seed);
    assert!(tally.accepted > 0, "seed {} has no load", scenario.seed);
    let ended: u64 = tally.ends.values().sum();
    assert!(ended >= tally.accepted, "seed {} loses tasks", scenario.seed);
    tally
}

/// Verifies: ORCH-294
#[test]
fn one_client_of_one_replica_is_served_for_hours() {
    for seed in 1..=3 {
        check(&Scenario::with_load(seed, 2.0, Load::Small));
    }
}

/// Verifies: ORCH-045, ORCH-046, ORCH-047, ORCH-050, ORCH-052, ORCH-053, ORCH-111, ORCH-112, ORCH-294
#[test]
fn bursts_and_faults_break_no_invariant() {
    let mut all = Tally::default();
    for seed in 1..=12 {
        all.add(check(&Scenario::with_load(seed, 0.25, Load::Bursty)));
    }
    // What was looked for was there.
    assert!(all.crashes > 0 && all.positions > 100, "{all:?}");
    assert!(all.reloads > 0 && all.replayed > 10 && all.wished > 100, "{all:?}");
    assert!(all.refused.contains_key("the queue's limit Objective"), "{:?}", all.refused);
    let states =
        [TaskState::Succeeded, TaskState::Canceled, TaskState::Expired, TaskState::Evicted];
    for state in states {
        assert!(all.ends.contains_key(&state), "nothing ended {state:?}: {:?}", all.ends);
    }
}

/// Verifies: ORCH-294
#[test]
fn twice_the_load_breaks_no_invariant() {
    for seed in 1..=3 {
        check(&Scenario::with_load(seed, 0.25, Load::Overload));
    }
}

#[test]
fn equal_seeds_give_equal_histories() {
    let history = || trace(&Scenario::with_load(7, 0.2, Load::Bursty), None);
    let (first, second) = (history(), history());
    assert!(first.len() > 1000, "{} lines", first.len());
    assert_eq!(first, second);
}

#[test]
fn the_oracle_finishes_no_less_in_time_than_the_daemon() {
    for seed in 1..=3 {
        let scenario = Scenario::with_load(seed, 0.25, Load::Overload);
        let (tally, _failure) = run(&scenario, None);
        let (daemon, oracle) = (tally.deadlines.in_time, in_time_of_oracle(&scenario));
        assert!(daemon <= oracle, "seed {seed}: {daemon} against {oracle}");
        assert!(oracle <= tally.deadlines.offered);
    }
}
