use std::{collections::BTreeSet, num::NonZeroU32};

use crate::{
    Class, Limits, ModelId,
    lane::Lane,
    order_tree::Forest,
    replica_table::ReplicaSlots,
    slab::Key,
    task::{Place, Task},
};

/// What waits for one model, and who serves it.
#[derive(Debug, Clone)]
pub(crate) struct ModelQueue {
    pub(crate) id: ModelId,
    pub(crate) interactive: Lane,
    pub(crate) batch: Lane,
    pub(crate) reserved_interactive: u64,
    pub(crate) reserved_batch: u64,
    pub(crate) running: u64,
    /// Re-queued tasks that may start and want a replica to themselves.
    pub(crate) alone_ready: u64,
    /// Replicas that serve it, by ascending id.
    pub(crate) replicas: Vec<Key<ReplicaSlots>>,
    /// Its place among models that wait for the same slots.
    pub(crate) turn: u64,
    /// Tasks of batch that may start, by when they began to wait and their sequence.
    pub(crate) batch_waiting: BTreeSet<(u64, u64)>,
    /// Dispatches to interactive since batch last got one, of those that both waited for.
    pub(crate) interactive_streak: u32,
}

impl ModelQueue {
    pub(crate) fn new(id: ModelId) -> Self {
        Self {
            id,
            interactive: Lane::default(),
            batch: Lane::default(),
            reserved_interactive: 0,
            reserved_batch: 0,
            running: 0,
            alone_ready: 0,
            replicas: Vec::new(),
            turn: 0,
            batch_waiting: BTreeSet::new(),
            interactive_streak: 0,
        }
    }

    pub(crate) fn lane(&self, class: Class) -> &Lane {
        match class {
            Class::Interactive => &self.interactive,
            Class::Batch => &self.batch,
        }
    }

    pub(crate) fn lane_mut(&mut self, class: Class) -> &mut Lane {
        match class {
            Class::Interactive => &mut self.interactive,
            Class::Batch => &mut self.batch,
        }
    }

    pub(crate) fn reserved_mut(&mut self, class: Class) -> &mut u64 {
        match class {
            Class::Interactive => &mut self.reserved_interactive,
            Class::Batch => &mut self.reserved_batch,
        }
    }

    pub(crate) fn queued(&self) -> u64 {
        self.interactive.queued() + self.batch.queued()
    }

    /// Tasks that count towards the model's capacity.
    pub(crate) fn held(&self) -> u64 {
        self.queued() + self.reserved_interactive + self.reserved_batch
    }

    /// Tasks that count towards batch's share of it.
    pub(crate) fn held_batch(&self) -> u64 {
        self.batch.queued() + self.reserved_batch
    }

    /// Whether nothing is left to remember.
    pub(crate) fn is_idle(&self) -> bool {
        self.held() == 0 && self.running == 0 && self.replicas.is_empty()
    }

    /// Queued tasks that the order starts before `task`, which is queued or reserved here.
    pub(crate) fn position(&self, forest: &Forest, task: &Task, weight: NonZeroU32) -> u64 {
        let lane = self.lane(task.class);
        let rank = match task.place {
            Place::Again | Place::Delayed { .. } => lane.again_rank(forest, task.sequence),
            Place::Reserved { .. } | Place::Fresh | Place::Running { .. } => {
                lane.fresh_rank(forest, &task.identity, task.sequence)
            }
        };
        self.merged(task.class, rank, weight)
    }

    /// [`Self::position`] of `task` where it is the first of its group or of the rotation, in O(log n).
    pub(crate) fn head_position(&self, forest: &Forest, task: &Task, weight: NonZeroU32) -> u64 {
        let lane = self.lane(task.class);
        let rank = match task.place {
            Place::Again => lane.again_rank(forest, task.sequence),
            _ => lane.again_len(forest),
        };
        self.merged(task.class, rank, weight)
    }

    /// Counts a task that was put into its queue, if its class ages and it may start.
    pub(crate) fn note_waiting(&mut self, task: &Task) {
        if task.is_aging() {
            self.batch_waiting.insert((task.waiting_since_ms, task.sequence));
        }
    }

    /// The task leaves its queue.
    pub(crate) fn forget_waiting(&mut self, task: &Task) {
        self.batch_waiting.remove(&(task.waiting_since_ms, task.sequence));
    }

    /// Dispatches to interactive for one to batch, as things are at `now_ms`.
    pub(crate) fn weight(&self, limits: &Limits, now_ms: u64) -> NonZeroU32 {
        let is_aged = self.batch_waiting.first().is_some_and(|(since_ms, _)| {
            now_ms.saturating_sub(*since_ms) >= limits.batch_max_wait_ms
        });
        if is_aged { NonZeroU32::MIN } else { limits.interactive_weight }
    }

    /// The class that the next dispatch goes to where both wait for it.
    pub(crate) fn next_class(&self, weight: NonZeroU32) -> Class {
        if self.interactive_streak < weight.get() { Class::Interactive } else { Class::Batch }
    }

    /// Counts a dispatch that both classes waited for.
    pub(crate) fn count_contended(&mut self, class: Class) {
        match class {
            Class::Interactive => self.interactive_streak += 1,
            Class::Batch => self.interactive_streak = 0,
        }
    }

    /// Place in the order of both classes of the task with `rank` tasks of its own class before it.
    fn merged(&self, class: Class, rank: u64, weight: NonZeroU32) -> u64 {
        let weight = u64::from(weight.get());
        // What interactive still gets before batch's next turn.
        let ahead = weight.saturating_sub(u64::from(self.interactive_streak));
        let other = match class {
            Class::Interactive if rank < ahead => 0,
            Class::Interactive => ((rank - ahead) / weight + 1).min(self.batch.queued()),
            Class::Batch => (ahead + rank * weight).min(self.interactive.queued()),
        };
        rank + other
    }
}
