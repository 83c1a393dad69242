use std::collections::BTreeSet;

use crate::{Failure, Plant, Scenario, run};

/// Steps of the scheduler that a search for a smaller scenario may take in all.
const STEPS_MAX: u64 = 30_000_000;

/// A failing scenario with everything left out that it fails without.
#[derive(Debug, Clone)]
pub struct Shrunk {
    pub scenario: Scenario,
    pub failure: Failure,
    /// Scenarios that were tried.
    pub tries: u64,
}

/// Leaves out what can be: what comes behind the failure, then faults, then tasks. A smaller scenario counts
/// where it breaks the same invariant, at whatever time.
#[must_use]
pub fn shrink(scenario: &Scenario, plant: Option<Plant>, failure: &Failure) -> Shrunk {
    let mut search = Search {
        plant,
        number: failure.violation.number,
        best: scenario.clone(),
        failure: failure.clone(),
        steps: 0,
        tries: 0,
    };
    search.cut();
    let faults = search.best.faults.iter().map(|fault| fault.number).collect();
    search.leave_out(faults, |scenario, kept| scenario.filtered(|_| true, |it| kept.contains(&it)));
    let tasks = search.best.tasks.iter().map(|task| task.number).collect();
    search.leave_out(tasks, |scenario, kept| scenario.filtered(|it| kept.contains(&it), |_| true));
    search.cut();
    let faults = search.best.faults.iter().map(|fault| fault.number).collect();
    search.leave_out(faults, |scenario, kept| scenario.filtered(|_| true, |it| kept.contains(&it)));
    Shrunk { scenario: search.best, failure: search.failure, tries: search.tries }
}

struct Search {
    plant: Option<Plant>,
    /// Of the broken invariant.
    number: u8,
    best: Scenario,
    failure: Failure,
    steps: u64,
    tries: u64,
}

impl Search {
    /// Takes the scenario for the best one if it fails in the same way.
    fn accept(&mut self, scenario: Scenario) -> bool {
        if self.steps > STEPS_MAX {
            return false;
        }
        let (tally, failure) = run(&scenario, self.plant);
        self.steps += tally.steps;
        self.tries += 1;
        match failure {
            Some(failure) if failure.violation.number == self.number => {
                self.best = scenario;
                self.failure = failure;
                true
            }
            _ => false,
        }
    }

    /// Ends the load right behind the failure.
    fn cut(&mut self) {
        let mut cut = self.best.clone();
        cut.until_ms = cut.until_ms.min(self.failure.at_ms + 1);
        cut.tasks.retain(|task| task.at_ms < cut.until_ms);
        cut.faults.retain(|fault| fault.at_ms < cut.until_ms);
        self.accept(cut);
    }

    /// Leaves out ever smaller parts of a list.
    fn leave_out(
        &mut self,
        mut kept: Vec<u32>,
        without: impl Fn(&Scenario, &BTreeSet<u32>) -> Scenario,
    ) {
        let mut part = kept.len();
        while part > 0 {
            let mut at = 0;
            while at < kept.len() {
                let mut fewer = kept.clone();
                fewer.drain(at..(at + part).min(kept.len()));
                let numbers = fewer.iter().copied().collect();
                if self.accept(without(&self.best, &numbers)) {
                    kept = fewer;
                } else {
                    at += part;
                }
            }
            part /= 2;
        }
    }
}
