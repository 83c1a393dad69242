use simulation::{Load, Scenario, Tally, run};

/// Verifies: ORCH-048, ORCH-294
#[test]
fn at_a_constant_rate_starts_are_foretold_within_a_fifth_of_the_wait() {
    let mut all = Tally::default();
    for seed in 1..=6 {
        all.add(run(&Scenario::with_load(seed, 1.0, Load::Steady), None).0);
    }
    let deep: Vec<_> = all.estimates.iter().filter(|estimate| estimate.deep).collect();
    assert!(deep.len() > 50, "only {} tasks waited deep in the queue", deep.len());
    let off = deep.iter().map(|estimate| estimate.off_percent).max();
    assert!(off <= Some(20), "an estimate was off by {off:?} %");
    let covered = all.estimates.iter().filter(|estimate| estimate.is_covered).count();
    assert!(covered * 5 >= all.estimates.len() * 4, "{covered} of {}", all.estimates.len());
}
