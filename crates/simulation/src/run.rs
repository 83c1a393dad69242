use crate::{Plant, Scenario, Tally, Violation, world::World};

/// What was broken, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Virtual time, in milliseconds.
    pub at_ms: u64,
    pub violation: Violation,
}

/// Runs a scenario to its end, or to the first broken invariant.
#[must_use]
pub fn run(scenario: &Scenario, plant: Option<Plant>) -> (Tally, Option<Failure>) {
    let (tally, _trace, broken) = World::new(scenario, plant, false).run();
    (tally, broken.map(|(at_ms, violation)| Failure { at_ms, violation }))
}

/// Everything that happens in a scenario, a line each.
#[must_use]
pub fn trace(scenario: &Scenario, plant: Option<Plant>) -> Vec<String> {
    World::new(scenario, plant, true).run().1
}
