//! The breaker against a model that remembers each attempt.

use proptest::prelude::*;

use super::{MS, breaker_policy};
use crate::admission::breaker::{Breaker, BreakerAnswer, BreakerSignal};

/// A breaker that remembers each attempt it let through, and at which change of its state.
#[derive(Debug, Default)]
struct ModelBreaker {
    /// Until when it is open, since its last failure that counted; `None` is closed.
    open_until_ns: Option<u64>,
    is_probing: bool,
    failures_in_a_row: u32,
    successes: u32,
    changes: u64,
    /// Attempts under way: the generation to hand back, and the change they were let through at.
    under_way: Vec<(u64, u64)>,
}

impl ModelBreaker {
    fn probes(&self) -> usize {
        self.under_way.iter().filter(|(_, change)| *change == self.changes).count()
    }

    fn passes(&self, now_ns: u64) -> bool {
        match (self.open_until_ns, self.is_probing) {
            (None, _) => true,
            (Some(_), true) => self.probes() < breaker_policy().probes as usize,
            (Some(until_ns), false) => until_ns <= now_ns,
        }
    }

    fn admit(&mut self, generation: u64) {
        if self.open_until_ns.is_some() && !self.is_probing {
            self.is_probing = true;
            self.successes = 0;
            self.changes += 1;
        }
        self.under_way.push((generation, self.changes));
    }

    fn end(&mut self, index: usize, signal: BreakerSignal, now_ns: u64) -> u64 {
        let (generation, change) = self.under_way.remove(index);
        if change != self.changes {
            return generation;
        }
        match signal {
            BreakerSignal::Neutral => {}
            BreakerSignal::Success if self.is_probing => {
                self.successes += 1;
                if self.successes == breaker_policy().successes {
                    self.open_until_ns = None;
                    self.is_probing = false;
                    self.failures_in_a_row = 0;
                    self.changes += 1;
                }
            }
            BreakerSignal::Success => self.failures_in_a_row = 0,
            BreakerSignal::Failure => {
                self.failures_in_a_row += 1;
                if self.is_probing || self.failures_in_a_row == 2 {
                    self.open_until_ns = Some(now_ns + 40 * MS);
                    self.is_probing = false;
                    self.failures_in_a_row = 0;
                    self.changes += 1;
                }
            }
        }
        generation
    }
}

proptest! {
    /// Verifies: CRIT-302, CRIT-143
    #[test]
    fn a_breaker_does_what_its_attempts_say_and_never_sticks(
        ops in prop::collection::vec((0_u8..8, any::<usize>(), 0_u64..50), 1..200),
    ) {
        let (mut real, mut model) = (Breaker::new(breaker_policy(), 0), ModelBreaker::default());
        let signals = [BreakerSignal::Success, BreakerSignal::Failure, BreakerSignal::Neutral];
        let mut now_ns = 0;
        for (what, which, millis) in ops {
            match what {
                0..=3 => match real.admit(now_ns) {
                    BreakerAnswer::Pass { generation } => {
                        assert!(model.passes(now_ns));
                        model.admit(generation);
                    }
                    BreakerAnswer::Open { .. } => assert!(!model.passes(now_ns)),
                },
                4..=6 if !model.under_way.is_empty() => {
                    let signal = signals[usize::from(what - 4)];
                    let generation = model.end(which % model.under_way.len(), signal, now_ns);
                    real.end(generation, signal, now_ns);
                }
                _ => now_ns += millis * MS,
            }
            let probes = if model.is_probing { model.probes() } else { 0 };
            assert_eq!(real.outstanding_probes() as usize, probes);
            assert!(probes <= breaker_policy().probes as usize);
        }
        while !model.under_way.is_empty() {
            let generation = model.end(0, BreakerSignal::Neutral, now_ns);
            real.end(generation, BreakerSignal::Neutral, now_ns);
        }
        let passes = matches!(real.admit(now_ns + 40 * MS), BreakerAnswer::Pass { .. });
        assert!(passes, "it is stuck");
    }
}
