use std::collections::VecDeque;
use std::time::Duration;

use crate::settings::{BreakerPolicy, TripRule};

/// The state of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Attempts pass.
    Closed,
    /// No attempt passes.
    Open,
    /// A few attempts pass as probes.
    HalfOpen,
}

impl BreakerState {
    /// The state's name in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// How an attempt ended, as far as its breaker is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerSignal {
    Success,
    Failure,
    /// Counts neither way, but gives back a probe's slot.
    Neutral,
}

/// Whether an attempt may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerAnswer {
    /// It may. `generation` must come back with its end.
    Pass { generation: u64 },
    /// It may not, until then at least.
    Open { retry_at_ns: u64 },
}

/// A circuit breaker. Pure: instants are nanoseconds on the executor's clock.
#[derive(Debug)]
pub(crate) struct Breaker {
    policy: BreakerPolicy,
    state: State,
    forced: Option<bool>,
    /// Counts changes of state, so that the end of an attempt from before a change counts for nothing.
    generation: u64,
}

#[derive(Debug)]
enum State {
    Closed { recent: VecDeque<bool>, failures: u32, in_a_row: u32 },
    Open { until_ns: u64 },
    HalfOpen { outstanding: u32, successes: u32, since_ns: u64 },
}

impl State {
    fn closed() -> Self {
        Self::Closed { recent: VecDeque::new(), failures: 0, in_a_row: 0 }
    }
}

impl Breaker {
    /// A closed breaker. `generation` must be above those of all earlier breakers of the same critic.
    pub(crate) fn new(policy: BreakerPolicy, generation: u64) -> Self {
        Self { policy, state: State::closed(), forced: None, generation }
    }

    /// The generation that a breaker after this one starts with.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generation + 1
    }

    pub(crate) fn change_policy(&mut self, policy: BreakerPolicy) {
        self.policy = policy;
    }

    /// The state that an attempt meets at an instant.
    pub(crate) fn state(&self, now_ns: u64) -> BreakerState {
        match (&self.forced, &self.state) {
            (Some(true), _) => BreakerState::Open,
            (Some(false), _) | (None, State::Closed { .. }) => BreakerState::Closed,
            (None, State::Open { until_ns }) if now_ns < *until_ns => BreakerState::Open,
            (None, State::Open { .. } | State::HalfOpen { .. }) => BreakerState::HalfOpen,
        }
    }

    /// What [`Breaker::admit`] would say, without taking a probe's slot.
    pub(crate) fn peek(&self, now_ns: u64) -> BreakerAnswer {
        let pass = BreakerAnswer::Pass { generation: self.generation };
        match (self.forced, &self.state) {
            (Some(true), _) => {
                BreakerAnswer::Open { retry_at_ns: now_ns.saturating_add(nanos(self.policy.open)) }
            }
            (Some(false), _) | (None, State::Closed { .. }) => pass,
            (None, State::Open { until_ns }) if now_ns < *until_ns => {
                BreakerAnswer::Open { retry_at_ns: *until_ns }
            }
            (None, State::Open { .. }) => pass,
            (None, State::HalfOpen { outstanding, .. }) if *outstanding < self.policy.probes => {
                pass
            }
            (None, State::HalfOpen { .. }) => BreakerAnswer::Open { retry_at_ns: now_ns },
        }
    }

    /// Lets an attempt through, or not.
    pub(crate) fn admit(&mut self, now_ns: u64) -> BreakerAnswer {
        let answer = self.peek(now_ns);
        if !matches!(answer, BreakerAnswer::Pass { .. }) || self.forced.is_some() {
            return answer;
        }
        if let State::Open { .. } = self.state {
            self.enter(State::HalfOpen { outstanding: 0, successes: 0, since_ns: now_ns });
        }
        if let State::HalfOpen { outstanding, .. } = &mut self.state {
            *outstanding += 1;
        }
        BreakerAnswer::Pass { generation: self.generation }
    }

    /// Notes the end of an attempt. Each attempt that was let through must end here once.
    pub(crate) fn end(&mut self, generation: u64, signal: BreakerSignal, now_ns: u64) {
        if generation != self.generation || self.forced.is_some() {
            return;
        }
        let policy = self.policy;
        let open = || State::Open { until_ns: now_ns.saturating_add(nanos(policy.open)) };
        match &mut self.state {
            State::Closed { recent, failures, in_a_row } => {
                let failed = match signal {
                    BreakerSignal::Neutral => return,
                    BreakerSignal::Success => false,
                    BreakerSignal::Failure => true,
                };
                *in_a_row = if failed { in_a_row.saturating_add(1) } else { 0 };
                let trips = match policy.trip {
                    TripRule::Consecutive(limit) => *in_a_row >= limit,
                    TripRule::FailureRate { window, min_calls, ratio } => {
                        recent.push_back(failed);
                        *failures += u32::from(failed);
                        while recent.len() > window as usize {
                            *failures -= u32::from(recent.pop_front() == Some(true));
                        }
                        recent.len() >= min_calls as usize
                            && f64::from(*failures) >= ratio * recent.len() as f64
                    }
                };
                // A ratio of 0 must not open a breaker whose calls all succeed.
                if trips && failed {
                    self.enter(open());
                }
            }
            State::HalfOpen { outstanding, successes, .. } => {
                *outstanding = outstanding.saturating_sub(1);
                match signal {
                    BreakerSignal::Neutral => {}
                    BreakerSignal::Failure => self.enter(open()),
                    BreakerSignal::Success => {
                        *successes += 1;
                        if *successes >= policy.successes {
                            self.enter(State::closed());
                        }
                    }
                }
            }
            State::Open { .. } => {}
        }
    }

    /// Holds it open (`Some(true)`), closed (`Some(false)`), or lets it decide again.
    pub(crate) fn force(&mut self, forced: Option<bool>) {
        self.forced = forced;
        self.enter(State::closed());
    }

    /// Probes that have started and not ended.
    pub(crate) fn outstanding_probes(&self) -> u32 {
        match &self.state {
            State::HalfOpen { outstanding, .. } => *outstanding,
            _ => 0,
        }
    }

    /// Since when it is half open.
    pub(crate) fn half_open_since_ns(&self) -> Option<u64> {
        match &self.state {
            State::HalfOpen { since_ns, .. } => Some(*since_ns),
            _ => None,
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
