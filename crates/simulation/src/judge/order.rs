use std::collections::{BTreeMap, BTreeSet};

use orchestrator_core::{Class, Identity};

use super::{Judge, Known, Place, Waiting};
use crate::violation::{Violation, ensure};

/// What waits in one class of one model, as the judge sees it.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// By sequence.
    again: BTreeSet<(u64, u32)>,
    /// By the end of their delay.
    delayed: BTreeSet<(u64, u32)>,
    fresh: Waiting,
    /// For each identity that waits: whose tasks went before it since its own last one did.
    passed_by: BTreeMap<Identity, BTreeSet<Identity>>,
    /// By when they began to wait.
    since: BTreeSet<(u64, u32)>,
    queued: u64,
}

impl Lane {
    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    /// Tasks that may start.
    pub(super) fn ready(&self) -> impl Iterator<Item = u32> {
        self.again().chain(self.fresh())
    }

    /// Tasks in rotation.
    pub(super) fn fresh(&self) -> impl Iterator<Item = u32> {
        self.fresh.values().flatten().map(|(_, task)| *task)
    }

    pub(super) fn has_delayed(&self) -> bool {
        !self.delayed.is_empty()
    }

    pub(super) fn again(&self) -> impl Iterator<Item = u32> {
        self.again.iter().map(|(_, task)| *task)
    }

    /// The first task in rotation of each client.
    pub(super) fn firsts(&self) -> impl Iterator<Item = u32> {
        self.fresh.values().flat_map(|tasks| tasks.first()).map(|(_, task)| *task)
    }

    /// Those whose delay is over.
    pub(super) fn due(&self, now_ms: u64) -> impl Iterator<Item = u32> {
        self.delayed.range(..=(now_ms, u32::MAX)).map(|(_, task)| *task)
    }

    pub(super) fn oldest_since_ms(&self) -> Option<u64> {
        self.since.first().map(|(since_ms, _)| *since_ms)
    }

    pub(super) fn push_fresh(
        &mut self,
        task: u32,
        sequence: u64,
        identity: &Identity,
        since_ms: u64,
    ) {
        self.fresh.entry(identity.clone()).or_default().insert((sequence, task));
        self.since.insert((since_ms, task));
        self.queued += 1;
    }

    pub(super) fn remove_fresh(
        &mut self,
        task: u32,
        sequence: u64,
        identity: &Identity,
        since_ms: u64,
    ) {
        let tasks = self.fresh.get_mut(identity).expect("it waits");
        tasks.remove(&(sequence, task));
        if tasks.is_empty() {
            self.fresh.remove(identity);
            self.passed_by.remove(identity);
        }
        self.since.remove(&(since_ms, task));
        self.queued -= 1;
    }

    pub(super) fn push_again(&mut self, task: u32, sequence: u64, since_ms: u64) {
        self.again.insert((sequence, task));
        self.since.insert((since_ms, task));
        self.queued += 1;
    }

    pub(super) fn remove_again(&mut self, task: u32, sequence: u64, since_ms: u64) {
        self.again.remove(&(sequence, task));
        self.since.remove(&(since_ms, task));
        self.queued -= 1;
    }

    pub(super) fn push_delayed(&mut self, task: u32, _sequence: u64, at_ms: u64) {
        self.delayed.insert((at_ms, task));
        self.queued += 1;
    }

    pub(super) fn remove_delayed(&mut self, task: u32, _sequence: u64, at_ms: u64) {
        self.delayed.remove(&(at_ms, task));
        self.queued -= 1;
    }

    /// Of those that are able to use the slot the task is the first of its identity, and its identity does not
    /// pass another one twice.
    fn check_rotation(
        &mut self,
        task: u32,
        identity: &Identity,
        able: &BTreeSet<u32>,
    ) -> Result<(), Violation> {
        let first_of = |tasks: &BTreeSet<(u64, u32)>| {
            tasks.iter().map(|(_, task)| *task).find(|task| able.contains(task))
        };
        let first = self.fresh.get(identity).and_then(first_of);
        ensure(first == Some(task), 9, || {
            format!("task {task} passes task {} of the same client", first.unwrap_or_default())
        })?;
        for (other, tasks) in self.fresh.iter().filter(|(other, _)| *other != identity) {
            let Some(waits) = first_of(tasks) else { continue };
            let passed_by = self.passed_by.entry(other.clone()).or_default();
            if !passed_by.insert(identity.clone()) {
                return Err(Violation::new(
                    9,
                    format!(
                        "task {task} of {} is the second that passes task {waits} of {}",
                        identity.0, other.0
                    ),
                ));
            }
        }
        self.passed_by.remove(identity);
        Ok(())
    }
}

impl Judge {
    /// No dispatch passes an earlier task that could use that slot, and the classes get their shares.
    pub(super) fn check_order(
        &mut self,
        task: u32,
        known: &Known,
        replica: usize,
    ) -> Result<(), Violation> {
        let class = known.offer.class;
        let lane = &self.lanes[&known.lane()];
        let passes = |earlier: &u32| {
            let other = &self.tasks[earlier];
            let is_earlier =
                known.place == Place::Fresh || other.offer.sequence < known.offer.sequence;
            *earlier != task && is_earlier && self.takes(other, replica)
        };
        if let Some(earlier) = lane.again().find(passes) {
            return Err(Violation::new(
                9,
                format!("task {task} passes task {earlier}, which ran before"),
            ));
        }
        self.check_share(task, known)?;
        if known.place == Place::Fresh {
            let lane = &self.lanes[&known.lane()];
            let takes = |task: &u32| self.takes(&self.tasks[task], replica);
            let able: BTreeSet<u32> = lane.fresh().filter(takes).collect();
            let lane = self.lanes.get_mut(&(known.model, class)).expect("it waits there");
            lane.check_rotation(task, &known.offer.identity, &able)?;
        }
        Ok(())
    }

    /// Of `weight + 1` dispatches that both classes wait for, batch gets one, and only one.
    fn check_share(&mut self, task: u32, known: &Known) -> Result<(), Violation> {
        let (model, class) = (known.model, known.offer.class);
        let other = if class == Class::Batch { Class::Interactive } else { Class::Batch };
        if self.alone_ready > 0 {
            self.streaks.insert(model, None); // who waits for what cannot be told from outside
            return Ok(());
        }
        if !self.could_start(model, other) {
            return Ok(());
        }
        let weight = self.weight(model);
        let streak = *self.streaks.entry(model).or_insert(Some(0));
        let (next, is_fair) = match (class, streak) {
            (Class::Batch, streak) => (Some(0), streak.is_none_or(|streak| streak >= weight)),
            (Class::Interactive, Some(streak)) => (Some(streak + 1), streak < weight),
            (Class::Interactive, None) => (None, true),
        };
        self.streaks.insert(model, next);
        ensure(is_fair, 9, || {
            let streak = streak.unwrap_or_default();
            format!(
                "task {task} of {class:?} starts behind {streak} interactive ones in a row, at weight {weight}"
            )
        })
    }

    fn could_start(&self, model: u8, class: Class) -> bool {
        let Some(lane) = self.lanes.get(&(model, class)) else { return false };
        let free: Vec<usize> =
            self.replicas.keys().copied().filter(|it| self.has_slot(*it, model)).collect();
        let mut ready = lane.ready();
        !free.is_empty()
            && ready.any(|task| free.iter().any(|it| self.takes(&self.tasks[&task], *it)))
    }

    /// How many dispatches interactive gets for one of batch.
    pub(super) fn weight(&self, model: u8) -> u32 {
        let oldest = self.lanes.get(&(model, Class::Batch)).and_then(Lane::oldest_since_ms);
        let is_aged = oldest.is_some_and(|since_ms| {
            self.now_ms.saturating_sub(since_ms) >= self.limits.batch_max_wait_ms
        });
        if is_aged { 1 } else { self.limits.interactive_weight.get() }
    }

    /// Whether batch of the model has waited so long that its share is larger.
    pub(super) fn is_aged(&self, model: u8) -> bool {
        let oldest = self.lanes.get(&(model, Class::Batch)).and_then(Lane::oldest_since_ms);
        oldest.is_some_and(|since_ms| {
            self.now_ms.saturating_sub(since_ms) >= self.limits.batch_max_wait_ms
        })
    }
}
