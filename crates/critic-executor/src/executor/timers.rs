use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::status::TimeoutScope;

/// What is due at an instant. At one instant the widest deadline comes first, and waits come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Run,
    Stage(u8),
    /// The critic as a whole.
    Critic(u32),
    /// The critic's phase, by its epoch.
    Attempt {
        critic: u32,
        epoch: u32,
    },
    Queue {
        critic: u32,
        epoch: u32,
    },
    Retry {
        critic: u32,
        epoch: u32,
    },
}

impl Due {
    pub(crate) fn of_attempt(scope: TimeoutScope, critic: u32, epoch: u32) -> Option<Self> {
        // Wider deadlines have timers of their own.
        (scope == TimeoutScope::Attempt).then_some(Self::Attempt { critic, epoch })
    }
}

/// The timers of a run. Stale ones are recognised when they are due.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(u64, Due)>>,
}

impl Timers {
    pub(crate) fn add(&mut self, at_ns: u64, due: Due) {
        self.heap.push(Reverse((at_ns, due)));
    }

    /// The next timer that is due.
    pub(crate) fn pop(&mut self, now_ns: u64) -> Option<Due> {
        let Reverse((at_ns, _)) = self.heap.peek()?;
        if *at_ns > now_ns {
            return None;
        }
        self.heap.pop().map(|Reverse((_, due))| due)
    }

    /// The next instant, stale or not.
    pub(crate) fn peek_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at_ns, _))| *at_ns)
    }

    /// The next instant that is not stale, by a test of what is stale.
    pub(crate) fn next_ns(&mut self, is_stale: impl Fn(&Due) -> bool) -> Option<u64> {
        while let Some(Reverse((_, due))) = self.heap.peek()
            && is_stale(due)
        {
            self.heap.pop();
        }
        self.peek_ns()
    }
}
