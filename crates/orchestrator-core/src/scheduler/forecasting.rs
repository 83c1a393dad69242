use std::collections::{BTreeMap, BTreeSet};

use super::Scheduler;
use crate::{
    Ahead, Class, Forecast, ModelId, Offer, ServiceSample, TaskId, Work,
    model_queue::ModelQueue,
    replica_table::ReplicaSlots,
    service_times::{ServiceTimes, Speed, float},
    slab::Key,
    slot_queue::SlotQueue,
    task::Place,
};

/// Models whose times are remembered; beyond them, those measured longest ago are forgotten.
const MODELS_MEASURED_MAX: usize = 1024;

/// How long arrivals must have been watched before their rate counts, in milliseconds.
const ARRIVALS_MS_MIN: u64 = 10_000;

/// Half-width of the interval in which four of five values of a normal distribution lie, in deviations.
const EIGHTY_PERCENT: f64 = 1.281_551_6;

/// What every forecast may be off by, as a share of it: an engine's pace changes with what runs beside.
const SHARE_OFF: f64 = 0.05;

/// Rounds of a forecast that depends on how long it is itself.
const ROUNDS_MAX: usize = 32;

impl Scheduler {
    /// When `task` should start and end, made at `now_ms`; `None` where it neither waits nor holds a place,
    /// nothing serves its model, or too little was measured. Takes O(i log n + r + 64) for i active
    /// identities and r leases.
    #[must_use]
    pub fn forecast(&self, task: TaskId, now_ms: u64) -> Option<Forecast> {
        let task = &self.tasks[*self.by_id.get(&task)?];
        let rank = match task.place {
            Place::Reserved { .. } | Place::Fresh | Place::Again | Place::Delayed { .. } => {
                self.models[task.model].rank(&self.forest, task)
            }
            Place::Evicting { .. } | Place::Running { .. } => return None,
        };
        self.forecast_at(task.model, task.class, rank, &task.work, now_ms)
    }

    /// When `offer` should start and end if it were taken at `now_ms`; otherwise as [`Self::forecast`].
    #[must_use]
    pub fn foresee(&self, offer: &Offer, now_ms: u64) -> Option<Forecast> {
        let model = *self.model_by_id.get(&offer.model)?;
        let lane = self.models[model].lane(offer.class);
        let rank = lane.fresh_rank(&self.forest, &offer.identity, offer.sequence);
        self.forecast_at(model, offer.class, rank, &offer.work, now_ms)
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

    pub(super) fn measure(&mut self, model: &ModelId, sample: ServiceSample) {
        if !self.service.contains_key(model) && self.service.len() >= MODELS_MEASURED_MAX {
            let stale = self.service.iter().min_by_key(|(_, times)| times.measured_at_ms);
            if let Some(stale) = stale.map(|(model, _)| model.clone()) {
                self.service.remove(&stale);
            }
        }
        let times = self.service.entry(model.clone()).or_insert_with(ServiceTimes::new);
        times.add(sample, self.now_ms);
    }

    fn speed(&self, model: &ModelQueue) -> Option<&Speed> {
        self.service.get(&model.id)?.speed()
    }

    fn forecast_at(
        &self,
        model: Key<ModelQueue>,
        class: Class,
        rank: u64,
        work: &Work,
        now_ms: u64,
    ) -> Option<Forecast> {
        let now_ms = now_ms.max(self.now_ms);
        let queue = &self.models[model];
        let speed = self.speed(queue)?;
        let slots = self.slot_queue(model, speed, now_ms);
        let others = self.models_beside(model);
        let (lane, other_lane) = (queue.lane(class), queue.lane(class.other()));
        let own_ms = lane.work().mean_ms(speed);
        let other_ms = other_lane.work().mean_ms(speed);
        let still_to_come = |start_ms: f64| match class {
            Class::Interactive => Some(0.0),
            Class::Batch => Some(queue.arrivals.per_ms(now_ms, ARRIVALS_MS_MIN)? * start_ms),
        };
        let ages = self.ages();
        let merged = queue.merged(&self.forest, class, rank, &ages);
        // Interactive tasks that come later may start first, up to what their share lets them.
        let most = queue.most_before(&self.forest, class, rank, &ages);
        let mut start_ms = 0.0;
        let (mut ahead, mut arrived) = (0.0, 0.0);
        for _ in 0..ROUNDS_MAX {
            arrived = if most > merged {
                still_to_come(start_ms)?.min(float(most - merged))
            } else {
                0.0
            };
            let of_other = float(merged - rank) + arrived;
            let of_model = float(rank) + of_other;
            let beside =
                others.iter().map(|(queued, each_ms)| (queued.min(of_model + 1.0), each_ms));
            let (mut count, mut sum_ms) = (of_model, float(rank) * own_ms + of_other * other_ms);
            for (queued, each_ms) in beside {
                count += queued;
                sum_ms += queued * each_ms.unwrap_or(own_ms);
            }
            let each_ms = if count > 0.0 { sum_ms / count } else { own_ms };
            let next_ms = slots.start_ms(count, each_ms)?;
            ahead = count;
            let depends_on_itself = class == Class::Batch && most > merged;
            let is_settled = !depends_on_itself || (next_ms - start_ms).abs() < 1.0;
            start_ms = next_ms;
            if is_settled {
                break;
            }
        }
        let mut deviation_ms = slots.deviation_ms(ahead, speed.deviation_ms, speed.samples());
        // Arrivals that nobody announces vary like counts do.
        deviation_ms = deviation_ms.hypot(arrived.sqrt() * other_ms / float(slots.slots() as u64));
        let off_ms = spread(speed.samples()) * deviation_ms + SHARE_OFF * start_ms;
        let answer = speed.median_answer(work);
        Some(Forecast {
            start_ms: whole(start_ms),
            start_ms_earliest: whole((start_ms - off_ms).max(0.0)),
            start_ms_latest: whole(start_ms + off_ms),
            prefill_ms: whole(speed.prefill_ms(work.prompt_tokens.map(float))),
            decode_ms: whole(speed.decode_ms(answer)),
            starts_ahead: whole(ahead),
            slots: u32::try_from(slots.slots()).unwrap_or(u32::MAX),
            samples: u32::try_from(speed.samples()).unwrap_or(u32::MAX),
        })
    }

    /// The slots that tasks of `model` may get, and when.
    fn slot_queue(&self, model: Key<ModelQueue>, speed: &Speed, now_ms: u64) -> SlotQueue {
        let replicas = &self.table.replicas;
        let mut busy: BTreeMap<Key<ReplicaSlots>, Vec<f64>> = BTreeMap::new();
        for held in self.table.leases.values() {
            if replicas[held.replica].models.binary_search(&model).is_err() {
                continue;
            }
            let remaining_ms = held.task.map_or(0.0, |task| {
                let task = &self.tasks[task];
                let own = self.speed(&self.models[task.model]);
                let elapsed_ms = float(now_ms.saturating_sub(held.since_ms));
                own.unwrap_or(speed).remaining_ms(&task.work, elapsed_ms)
            });
            busy.entry(held.replica).or_default().push(remaining_ms.max(1.0));
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

/// Half-width of the interval of four in five, in deviations, where the deviation itself was measured of so
/// many samples: the first term of the expansion of Student's distribution about the normal one
/// (Abramowitz and Stegun, 26.7.5).
fn spread(samples: usize) -> f64 {
    let freedom = float(samples.saturating_sub(1).max(1) as u64);
    EIGHTY_PERCENT + (EIGHTY_PERCENT.powi(3) + EIGHTY_PERCENT) / (4.0 * freedom)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as wanted")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}
