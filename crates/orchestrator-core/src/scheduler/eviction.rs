use super::Scheduler;
use crate::{
    Action, Class, EndedBy, Offer, QueueLimit, TaskId, WhenFull,
    model_queue::ModelQueue,
    slab::Key,
    task::{Place, Task},
};

/// Most tasks that make room for one newcomer, so that no commit grows without bound. More than one goes
/// only where the bytes of one newcomer are those of several.
const VICTIMS_MAX: usize = 16;

/// How long a queue must have been watched before the rate at which tasks leave it counts, in milliseconds.
const DRAIN_MS_MIN: u64 = 1000;

/// Longest back-off that is ever told, in milliseconds (ORCH-011).
pub const BACK_OFF_MS_MAX: u64 = 60_000;

/// What tasks that are to go would leave behind.
#[derive(Default)]
struct Going {
    victims: Vec<Key<Task>>,
    of_model: u64,
    of_model_batch: u64,
    bytes: u64,
}

impl Scheduler {
    /// Who has to go so that `offer` breaks no bound; the bound, where it cannot be kept.
    pub(super) fn room_for(
        &self,
        model: Key<ModelQueue>,
        offer: &Offer,
    ) -> Result<Vec<Key<Task>>, QueueLimit> {
        let mut going = Going::default();
        while let Some(limit) = self.broken_limit(model, offer, &going) {
            let may_evict = self.limits.when_full == WhenFull::DropLru;
            let is_worth_it = going.victims.len() < VICTIMS_MAX
                && (limit != QueueLimit::Bytes || offer.prompt_bytes <= self.limits.bytes_max);
            if !may_evict || !is_worth_it {
                return Err(limit);
            }
            let victim = self.victim(model, offer.class, limit, &going.victims).ok_or(limit)?;
            let task = &self.tasks[victim];
            going.victims.push(victim);
            going.of_model += u64::from(task.model == model);
            going.of_model_batch += u64::from(task.model == model && task.class == Class::Batch);
            going.bytes += task.prompt_bytes;
        }
        Ok(going.victims)
    }

    fn broken_limit(
        &self,
        model: Key<ModelQueue>,
        offer: &Offer,
        going: &Going,
    ) -> Option<QueueLimit> {
        let queue = &self.models[model];
        let held = queue.held() - going.of_model;
        let held_batch = queue.held_batch() - going.of_model_batch;
        let limits = self.limits.of(&offer.model);
        limits.broken_by(offer.class, held, held_batch).or_else(|| {
            let total = self.queued + self.reserved - going.victims.len() as u64;
            let bytes = (self.prompt_bytes - going.bytes).saturating_add(offer.prompt_bytes);
            if total >= self.limits.total_capacity {
                Some(QueueLimit::Daemon)
            } else if bytes > self.limits.bytes_max {
                Some(QueueLimit::Bytes)
            } else {
                None
            }
        })
    }

    /// The next to go for a newcomer of `class`, from the queue whose bound is hit (ORCH-050).
    fn victim(
        &self,
        model: Key<ModelQueue>,
        class: Class,
        limit: QueueLimit,
        gone: &[Key<Task>],
    ) -> Option<Key<Task>> {
        let oldest_of = |queue: &ModelQueue, class| {
            let stays = |(_, task): &&(u64, Key<Task>)| !gone.contains(task);
            queue.evictable.of(class).iter().find(stays).copied()
        };
        let oldest = |class| match limit {
            QueueLimit::Model | QueueLimit::BatchShare => oldest_of(&self.models[model], class),
            QueueLimit::Objective => None,
            QueueLimit::Daemon | QueueLimit::Bytes => {
                self.models.iter().filter_map(|(_, queue)| oldest_of(queue, class)).min()
            }
        };
        let interactive = || oldest(Class::Interactive).filter(|_| class == Class::Interactive);
        oldest(Class::Batch).or_else(interactive).map(|(_, task)| task)
    }

    /// Lists anew who may make room, as the rule has changed; O(n log n).
    pub(super) fn list_evictable(&mut self) {
        for (task, entry) in self.tasks.iter() {
            let listed = self.models[entry.model].evictable.of_mut(entry.class);
            let may_go = self.limits.when_full == WhenFull::DropLru
                && entry.place == Place::Fresh
                && entry.is_evictable;
            if may_go {
                listed.insert((entry.sequence, task));
            } else {
                listed.remove(&(entry.sequence, task));
            }
        }
    }

    /// Takes the victims out of their queues until `newcomer` is committed or withdrawn; gives their ids.
    pub(super) fn set_aside(
        &mut self,
        newcomer: Key<Task>,
        victims: Vec<Key<Task>>,
    ) -> Vec<TaskId> {
        for &victim in &victims {
            let Task { model, class, backlog, .. } = self.tasks[victim];
            let queue = &mut self.models[model];
            let backlog = backlog.expect("it is in rotation");
            queue.lane_mut(class).reserve(backlog); // so that its identity keeps its turn
            queue.evicting += 1;
            self.dequeue(victim, false);
            self.tasks[victim].place = Place::Evicting { canceled: false };
            self.set_timer(victim);
        }
        let ids = victims.iter().map(|victim| self.tasks[*victim].id).collect();
        if !victims.is_empty() {
            self.evictions.insert(newcomer, victims);
        }
        ids
    }

    /// The newcomer is durable, and the ends of its victims with it.
    pub(super) fn evict_victims(&mut self, newcomer: Key<Task>) {
        for victim in self.evictions.remove(&newcomer).unwrap_or_default() {
            self.no_longer_evicting(victim);
            self.forget(victim);
        }
    }

    /// The newcomer is gone, and its victims are queued again, at their places.
    pub(super) fn put_back_victims(&mut self, newcomer: Key<Task>, actions: &mut Vec<Action>) {
        for victim in self.evictions.remove(&newcomer).unwrap_or_default() {
            let canceled = self.tasks[victim].place == Place::Evicting { canceled: true };
            self.enqueue(victim, Place::Fresh); // first, so that its identity keeps its turn
            self.no_longer_evicting(victim);
            if canceled {
                self.end(victim, EndedBy::Cancel, actions);
            }
        }
    }

    fn no_longer_evicting(&mut self, victim: Key<Task>) {
        let Task { model, class, backlog, .. } = self.tasks[victim];
        let queue = &mut self.models[model];
        queue.lane_mut(class).unreserve(backlog.expect("it was in rotation"));
        queue.evicting -= 1;
    }

    /// A task has left the queue, to start or to end.
    pub(super) fn count_drain(&mut self, task: Key<Task>) {
        let Task { model, class, .. } = self.tasks[task];
        let queue = &mut self.models[model];
        queue.drain.count(self.now_ms);
        if class == Class::Batch {
            queue.batch_drain.count(self.now_ms);
        }
        self.drain.count(self.now_ms);
    }

    /// When the queue that has no room for `offer` should have some, by the rate at which tasks leave it.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    pub(super) fn back_off_ms(
        &self,
        model: Key<ModelQueue>,
        offer: &Offer,
        limit: QueueLimit,
    ) -> Option<u64> {
        let queue = &self.models[model];
        let own = self.limits.of(&offer.model);
        let waiting = self.queued + self.reserved;
        let (rate, held, room) = match limit {
            QueueLimit::Model => (&queue.drain, queue.held(), own.capacity),
            QueueLimit::BatchShare => {
                (&queue.batch_drain, queue.held_batch(), own.batch_capacity())
            }
            QueueLimit::Objective => return None,
            QueueLimit::Daemon => (&self.drain, waiting, self.limits.total_capacity),
            QueueLimit::Bytes => (&self.drain, self.prompt_bytes, self.limits.bytes_max),
        };
        let rate = rate.per_ms(self.now_ms, DRAIN_MS_MIN)?;
        let over = match limit {
            // As many tasks have to leave as have so many bytes together, on the average.
            QueueLimit::Bytes => {
                let too_many = held.saturating_add(offer.prompt_bytes) - room;
                too_many as f64 * waiting as f64 / held.max(1) as f64
            }
            _ => (held.saturating_sub(room) + 1) as f64,
        };
        let wait_ms = over.max(1.0) / rate; // infinite where nothing leaves
        Some(wait_ms.ceil().clamp(1.0, BACK_OFF_MS_MAX as f64) as u64)
    }
}
