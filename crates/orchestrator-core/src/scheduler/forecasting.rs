use std::collections::{BTreeMap, BTreeSet};

use super::Scheduler;
use crate::{
    Ahead, Class, Experience, Forecast, ModelId, Offer, ServiceSample, TaskId, Work,
    calibration::{Kind, Wait},
    experience::Learned,
    model_queue::ModelQueue,
    replica_table::ReplicaSlots,
    service_times::{Speed, float},
    slab::Key,
    slot_queue::SlotQueue,
    task::{Place, Task},
};

/// Models whose times are remembered; beyond them, those measured longest ago are forgotten.
const MODELS_MEASURED_MAX: usize = 1024;

/// Half-width of the interval in which four of five values of a normal distribution lie, in deviations.
const EIGHTY_PERCENT: f64 = 1.281_551_6;

/// What every forecast may be off by, as a share of it and as a deviation: an engine's pace changes with what runs beside.
const SHARE_OFF: f64 = 0.05;

impl Scheduler {
    /// When `task` should start and end, made at `now_ms`; `None` where it neither waits nor holds a place,
    /// nothing serves its model, or too little was measured. Takes O(i log n + r + 64) for i active
    /// identities and r leases.
    #[must_use]
    pub fn forecast(&self, task: TaskId, now_ms: u64) -> Option<Forecast> {
        let task = &self.tasks[*self.by_id.get(&task)?];
        self.calibrated(task.model, &task.work.work(), &self.expected(task, now_ms)?)
    }

    /// When `offer` should start and end if it were taken at `now_ms`; otherwise as [`Self::forecast`].
    #[must_use]
    pub fn foresee(&self, offer: &Offer, now_ms: u64) -> Option<Forecast> {
        let model = *self.model_by_id.get(&offer.model)?;
        let (queue, class) = (&self.models[model], offer.class);
        let rank = queue.lane(class).newcomer_rank(&self.forest, &offer.identity);
        let position = queue.merged(&self.forest, class, rank, &self.ages());
        let standing = Standing { model, class, rank, position };
        self.calibrated(model, &offer.work, &self.expect(&standing, now_ms)?)
    }

    /// Who starts before `task`, in the order of classes and turns: as many as its position says. `None` if
    /// it is not queued.
    #[must_use]
    pub fn ahead(&self, task: TaskId) -> Option<Vec<Ahead>> {
        let task = &self.tasks[*self.by_id.get(&task)?];
        if !task.place.is_queued() {
            return None;
        }
        let queue = &self.models[task.model];
        let own = queue.rank(&self.forest, task);
        let other = queue.position(&self.forest, task, &self.ages()) - own;
        let of = |class| {
            let tasks = if class == task.class { own } else { other };
            let first = queue.lane(class).first(&self.forest, tasks);
            first.into_iter().map(move |(identity, tasks)| Ahead { class, identity, tasks })
        };
        Some(of(Class::Interactive).chain(of(Class::Batch)).collect())
    }

    /// In how many milliseconds from `now_ms` on `task` should be done, as if the attempt at work began it; by
    /// the middle one of the answers that were longer, where the client told no expectation. `None` where it
    /// does not run, too little was measured, or it takes longer than it should.
    #[must_use]
    pub fn remaining_ms(&self, task: TaskId, now_ms: u64) -> Option<u64> {
        let task = &self.tasks[*self.by_id.get(&task)?];
        let Place::Running { lease } = task.place else { return None };
        let since_ms = self.table.leases.get(&lease)?.since_ms;
        let speed = self.speed(&self.models[task.model])?;
        speed.until_end_ms(&task.work.work(), float(now_ms.saturating_sub(since_ms))).map(whole)
    }

    /// What was learned so far, of models that were measured longest ago first.
    #[must_use]
    pub fn experience(&self) -> Vec<Experience> {
        let mut models: Vec<_> = self.learned.iter().collect();
        models.sort_by_key(|(_, learned)| learned.times.measured_at_ms);
        let one = |(model, learned): (&ModelId, &Learned)| Experience {
            model: model.clone(),
            samples: learned.times.samples().copied().collect(),
            waits: learned.calibration.waits(),
        };
        models.into_iter().map(one).collect()
    }

    /// Attempts and waits that something was learned of: while this stays, so does [`Self::experience`].
    #[must_use]
    pub fn lessons(&self) -> u64 {
        self.lessons
    }

    /// Takes over what an earlier process learned, in the order of [`Self::experience`].
    pub fn recall(&mut self, experience: &[Experience]) {
        for Experience { model, samples, waits } in experience {
            for sample in samples {
                self.measure(model, *sample);
            }
            if let Some(learned) = self.learned.get_mut(model) {
                waits.iter().for_each(|waits| learned.calibration.recall(waits));
            }
        }
    }

    pub(super) fn measure(&mut self, model: &ModelId, sample: ServiceSample) {
        if !self.learned.contains_key(model) && self.learned.len() >= MODELS_MEASURED_MAX {
            let at_ms = |(_, learned): &(&ModelId, &Learned)| learned.times.measured_at_ms;
            let stale = self.learned.iter().min_by_key(at_ms);
            if let Some(stale) = stale.map(|(model, _)| model.clone()) {
                self.learned.remove(&stale);
            }
        }
        self.lessons += 1;
        self.learned.entry(model.clone()).or_default().times.add(sample, self.now_ms);
    }

    fn speed(&self, model: &ModelQueue) -> Option<&Speed> {
        self.learned.get(&model.id)?.times.speed()
    }

    /// A place was reserved for the task: its position, and when it is to start, which is remembered of some
    /// to be held against what comes.
    pub(super) fn foretell(&mut self, task: Key<Task>) -> (u64, Option<Forecast>) {
        let entry = &self.tasks[task];
        let model = entry.model;
        let standing = self.standing(entry);
        let expected = self.expect(&standing, self.now_ms);
        let told = expected
            .as_ref()
            .and_then(|expected| self.calibrated(model, &self.tasks[task].work.work(), expected));
        let queue = &mut self.models[model];
        let queued = queue.queued() + 1;
        if let Some(expected) = expected
            && let Some(learned) = self.learned.get_mut(&queue.id)
            && learned.calibration.is_due(queued)
        {
            let foretold = learned.calibration.foretell(expected.wait, self.now_ms);
            queue.foretold.insert(task, foretold);
            self.tasks[task].is_foretold = true;
        }
        (standing.position, told)
    }

    /// The task starts, or leaves the queue in another way: what was foretold of it has come, or has not.
    pub(super) fn judge_forecast(&mut self, task: Key<Task>, starts: bool) {
        let Task { model, ref mut is_foretold, .. } = self.tasks[task];
        if !std::mem::take(is_foretold) {
            return;
        }
        let queue = &mut self.models[model];
        let foretold = queue.foretold.remove(&task).expect("it is kept as long as it is marked");
        // One that goes before its time says nothing about when it would have started.
        if (starts || foretold.is_past(self.now_ms))
            && let Some(learned) = self.learned.get_mut(&queue.id)
        {
            learned.calibration.learn(&foretold, self.now_ms);
            self.lessons += 1;
        }
    }

    fn expected(&self, task: &Task, now_ms: u64) -> Option<Expected> {
        if matches!(task.place, Place::Evicting { .. } | Place::Running { .. }) {
            return None;
        }
        self.expect(&self.standing(task), now_ms)
    }

    fn standing(&self, task: &Task) -> Standing {
        let Task { model, class, .. } = *task;
        let queue = &self.models[model];
        let rank = queue.rank(&self.forest, task);
        let position = queue.merged(&self.forest, class, rank, &self.ages());
        Standing { model, class, rank, position }
    }

    fn calibrated(
        &self,
        model: Key<ModelQueue>,
        work: &Work,
        expected: &Expected,
    ) -> Option<Forecast> {
        let Learned { times, calibration } = self.learned.get(&self.models[model].id)?;
        let speed = times.speed()?;
        // Anybody may pass a task of batch: nothing is said of it before it is known how many do.
        let class = expected.wait.kind.class();
        if class == Class::Batch && !calibration.knows(class) {
            return None;
        }
        let wait = calibration.apply(&expected.wait);
        Some(Forecast {
            start_ms: whole(wait.middle_ms),
            start_ms_earliest: whole(wait.earliest_ms),
            start_ms_latest: whole(wait.latest_ms),
            prefill_ms: whole(speed.prefill_ms(work.prompt_tokens.map(float))),
            decode_ms: whole(speed.decode_ms(speed.median_answer(work))),
            starts_ahead: whole(expected.ahead),
            slots: expected.slots,
            samples: u32::try_from(speed.samples()).unwrap_or(u32::MAX),
        })
    }

    /// When a task would start by what is queued, who comes, and how long attempts took.
    fn expect(&self, standing: &Standing, now_ms: u64) -> Option<Expected> {
        let Standing { model, class, rank, position: of_model } = *standing;
        let now_ms = now_ms.max(self.now_ms);
        let queue = &self.models[model];
        let speed = self.speed(queue)?;
        let slots = self.slot_queue(model, speed, now_ms);
        let own_ms = queue.lane(class).work().mean_ms(speed);
        let other_ms = queue.lane(class.other()).work().mean_ms(speed);
        let mut sum_ms = float(rank) * own_ms + float(of_model - rank) * other_ms;
        let mut ahead = float(of_model);
        for (queued, each_ms) in self.models_beside(model) {
            let queued = queued.min(float(of_model) + 1.0);
            ahead += queued;
            sum_ms += queued * each_ms.unwrap_or(own_ms);
        }
        let each_ms = if ahead > 0.0 { sum_ms / ahead } else { own_ms };
        let wait_ms = slots.start_ms(ahead, each_ms)?;
        let deviation_ms = slots.deviation_ms(ahead, speed.deviation_ms, speed.samples());
        Some(Expected {
            wait: Wait {
                kind: Kind::new(class, whole(ahead)),
                model_ms: wait_ms,
                deviation_ms: spread(speed.samples()) * deviation_ms + SHARE_OFF * wait_ms,
                grain_ms: each_ms / float(slots.slots() as u64),
            },
            ahead,
            slots: u32::try_from(slots.slots()).unwrap_or(u32::MAX),
        })
    }

    /// The slots that tasks of `model` may get, and when.
    fn slot_queue(&self, model: Key<ModelQueue>, speed: &Speed, now_ms: u64) -> SlotQueue {
        let replicas = &self.table.replicas;
        let mut busy: BTreeMap<Key<ReplicaSlots>, Vec<f64>> = BTreeMap::new();
        for held in self.table.leases.values() {
            let serves =
                |one: &Key<ReplicaSlots>| replicas[*one].models.binary_search(&model).is_ok();
            let serving = || self.table.beside(&held.replica).iter().copied().filter(serves);
            if serving().next().is_none() {
                continue;
            }
            let remaining_ms = held.task.map_or(0.0, |task| {
                let task = &self.tasks[task];
                let own = self.speed(&self.models[task.model]);
                let elapsed_ms = float(now_ms.saturating_sub(held.since_ms));
                own.unwrap_or(speed).remaining_ms(&task.work.work(), elapsed_ms)
            });
            for replica in serving() {
                busy.entry(replica).or_default().push(remaining_ms.max(1.0));
            }
        }
        let mut free_after_ms = Vec::new();
        for replica in &self.models[model].replicas {
            let total = replicas[*replica].slots as usize;
            let mut ends = busy.remove(replica).unwrap_or_default();
            ends.sort_by(f64::total_cmp);
            // Of a replica that shrank, the first slots that become free are gone.
            let gone = ends.len().saturating_sub(total);
            free_after_ms.resize(free_after_ms.len() + total.saturating_sub(ends.len()), 0.0);
            free_after_ms.extend(&ends[gone..]);
        }
        SlotQueue::new(free_after_ms)
    }

    /// Models that wait for the same slots and take turns with `model`: their queued tasks, and how long one
    /// takes where that was measured.
    fn models_beside(&self, model: Key<ModelQueue>) -> Vec<(f64, Option<f64>)> {
        let served = |replica: &Key<ReplicaSlots>| &self.table.replicas[*replica].models;
        let mut others: BTreeSet<_> = self.models[model].replicas.iter().flat_map(served).collect();
        others.remove(&model);
        let waiting = others.into_iter().map(|other| &self.models[*other]);
        let load = |queue: &ModelQueue| {
            let each_ms = self.speed(queue).map(|speed| queue.interactive.work().mean_ms(speed));
            (float(queue.queued()), each_ms)
        };
        waiting.filter(|queue| queue.queued() > 0).map(load).collect()
    }
}

/// Where a task stands in its queue.
struct Standing {
    model: Key<ModelQueue>,
    class: Class,
    /// Tasks of its class before it.
    rank: u64,
    /// Tasks of its model before it.
    position: u64,
}

/// When a task should start, before experience sets it right.
struct Expected {
    wait: Wait,
    /// Starts before it.
    ahead: f64,
    slots: u32,
}

/// By how much a deviation that was measured of so few samples is larger than it looks, at the ends of the
/// interval of four in five: the first term of the expansion of Student's distribution about the normal one
/// (Abramowitz and Stegun, 26.7.5).
fn spread(samples: usize) -> f64 {
    let freedom = float(samples.saturating_sub(1).max(1) as u64);
    1.0 + (EIGHTY_PERCENT.powi(2) + 1.0) / (4.0 * freedom)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as wanted")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}
