use std::collections::{BTreeMap, BTreeSet};

use orchestrator_core::{Class, Forecast, TaskState};

use crate::scenario::{TaskPlan, WishPlan};

/// What came of a run, in numbers.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Virtual time, in milliseconds.
    pub simulated_ms: u64,
    /// Events that the scheduler was told.
    pub steps: u64,
    /// Deaths of the daemon.
    pub crashes: u64,
    /// Positions that were held against the order of starts.
    pub positions: u64,
    /// Tasks that were accepted.
    pub accepted: u64,
    /// Repeated requests that were answered with the task of the first.
    pub replayed: u64,
    /// Changes of the queues' bounds.
    pub reloads: u64,
    /// Attempts of tasks that ask for a place.
    pub wished: u64,
    /// Why others were not, and how many.
    pub refused: BTreeMap<String, u64>,
    /// How those accepted ended.
    pub ends: BTreeMap<TaskState, u64>,
    /// Waits from arrival to the first start, in milliseconds, by class and client.
    pub waits_ms: BTreeMap<(Class, u8), Vec<u64>>,
    pub deadlines: Deadlines,
    /// Of tasks that were told when they would start, and waited.
    pub estimates: Vec<Estimate>,
    started: BTreeSet<u32>,
}

/// What became of tasks with a deadline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deadlines {
    /// Tasks with one that came.
    pub offered: u64,
    /// That were accepted.
    pub accepted: u64,
    /// That succeeded before it.
    pub in_time: u64,
    /// That were accepted, and ended by it.
    pub missed: u64,
}

/// Shortest wait for which an estimate is held against it, in milliseconds.
const WAIT_MS_MIN: u64 = 1000;

/// Starts ahead of a task from which on it waits deep in the queue.
const DEEP: u64 = 40;

/// What the way of a task to its engine takes beside the queue: commits and calls, in milliseconds.
const ROUNDED_MS: u64 = 20;

/// How far an estimate of a start was off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Of the wait that it was, or of a second where it was shorter.
    pub off_percent: u32,
    /// Whether it was within the interval that holds four of five.
    pub is_covered: bool,
    /// Whether many were ahead.
    pub deep: bool,
}

impl Tally {
    pub(crate) fn offered(&mut self, task: &TaskPlan) {
        self.deadlines.offered += u64::from(task.deadline_ms.is_some());
    }

    pub(crate) fn refused(&mut self, why: &str) {
        *self.refused.entry(why.to_owned()).or_insert(0) += 1;
    }

    pub(crate) fn accepted(&mut self, task: &TaskPlan) {
        self.accepted += 1;
        self.deadlines.accepted += u64::from(task.deadline_ms.is_some());
    }

    /// Whether it is the first start.
    pub(crate) fn started(&mut self, task: &TaskPlan, now_ms: u64) -> bool {
        self.wished += u64::from(task.wish != WishPlan::default());
        let is_first = self.started.insert(task.number);
        if is_first {
            let waits = self.waits_ms.entry((task.class, task.identity)).or_default();
            waits.push(now_ms - task.at_ms);
        }
        is_first
    }

    /// A task that was told when it would start has started. One that starts at once, as it was told, needs no
    /// estimate; those that only turned out short count, as leaving them out would favour short estimates.
    pub(crate) fn foretold(&mut self, forecast: &Forecast, waited_ms: u64) {
        if waited_ms.max(forecast.start_ms) < WAIT_MS_MIN {
            return;
        }
        let off_ms = forecast.start_ms.abs_diff(waited_ms);
        let deep = forecast.starts_ahead >= DEEP;
        let earliest_ms = forecast.start_ms_earliest.saturating_sub(ROUNDED_MS);
        let latest_ms = forecast.start_ms_latest + ROUNDED_MS;
        let estimate = Estimate {
            off_percent: u32::try_from(off_ms * 100 / waited_ms.max(WAIT_MS_MIN))
                .unwrap_or(u32::MAX),
            is_covered: (earliest_ms..=latest_ms).contains(&waited_ms),
            deep,
        };
        self.estimates.push(estimate);
    }

    pub(crate) fn ended(&mut self, task: &TaskPlan, state: TaskState) {
        *self.ends.entry(state).or_insert(0) += 1;
        if task.deadline_ms.is_some() {
            self.deadlines.in_time += u64::from(state == TaskState::Succeeded);
            self.deadlines.missed += u64::from(state == TaskState::Expired);
        }
    }

    /// Adds another run's numbers.
    pub fn add(&mut self, other: Self) {
        self.simulated_ms += other.simulated_ms;
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.positions += other.positions;
        self.accepted += other.accepted;
        self.replayed += other.replayed;
        self.reloads += other.reloads;
        self.wished += other.wished;
        for (why, count) in other.refused {
            *self.refused.entry(why).or_insert(0) += count;
        }
        for (state, count) in other.ends {
            *self.ends.entry(state).or_insert(0) += count;
        }
        for (who, waits) in other.waits_ms {
            self.waits_ms.entry(who).or_default().extend(waits);
        }
        self.estimates.extend(other.estimates);
        self.deadlines.offered += other.deadlines.offered;
        self.deadlines.accepted += other.deadlines.accepted;
        self.deadlines.in_time += other.deadlines.in_time;
        self.deadlines.missed += other.deadlines.missed;
    }
}
