use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    sync::Arc,
};

use placement::{Cursor, Request};

use crate::{
    Class, Limits, ModelId,
    calibration::Foretold,
    lane::Lane,
    order_tree::Forest,
    rate::Rate,
    replica_table::ReplicaSlots,
    slab::Key,
    task::{Place, Task},
    wait_watch::WaitWatch,
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
    /// Tasks that gave up their places here and wait to learn whether for good.
    pub(crate) evicting: u64,
    /// Queued tasks that may make room, by sequence; kept only where something is evicted at all.
    pub(crate) evictable: Evictable,
    /// When some of the tasks were to start, to be held against what comes.
    pub(crate) foretold: BTreeMap<Key<Task>, Foretold>,
    /// How long interactive tasks wait.
    pub(crate) waits: WaitWatch,
    /// Tasks that leave the queue.
    pub(crate) drain: Rate,
    /// Those of batch among them.
    pub(crate) batch_drain: Rate,
    /// Re-queued tasks that may start and want a replica to themselves.
    pub(crate) alone_ready: u64,
    /// Replicas that serve it, by ascending id.
    pub(crate) replicas: Vec<Key<ReplicaSlots>>,
    /// Contexts that they have for it, in tokens; ascending, each once.
    pub(crate) contexts: Vec<u64>,
    /// Where `round-robin` stands.
    pub(crate) cursor: Cursor,
    /// Its place among models that wait for the same slots.
    pub(crate) turn: u64,
    /// Tasks of batch that may start, by when they began to wait and their sequence.
    pub(crate) batch_waiting: BTreeSet<(u64, u64)>,
    /// Dispatches to interactive since batch last got one, of those that both waited for.
    pub(crate) interactive_streak: u32,
}

/// Tasks of one queue that may make room for others, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evictable {
    pub(crate) interactive: BTreeSet<(u64, Key<Task>)>,
    pub(crate) batch: BTreeSet<(u64, Key<Task>)>,
}

impl Evictable {
    pub(crate) fn of(&self, class: Class) -> &BTreeSet<(u64, Key<Task>)> {
        match class {
            Class::Interactive => &self.interactive,
            Class::Batch => &self.batch,
        }
    }

    pub(crate) fn of_mut(&mut self, class: Class) -> &mut BTreeSet<(u64, Key<Task>)> {
        match class {
            Class::Interactive => &mut self.interactive,
            Class::Batch => &mut self.batch,
        }
    }
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
            evicting: 0,
            evictable: Evictable::default(),
            foretold: BTreeMap::new(),
            waits: WaitWatch::default(),
            drain: Rate::default(),
            batch_drain: Rate::default(),
            alone_ready: 0,
            replicas: Vec::new(),
            contexts: Vec::new(),
            cursor: Cursor::default(),
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

    /// `request`, of a task that asks for a context of so many tokens, with that rounded up to the next one
    /// that a replica has, so that tasks which suit the same replicas ask for the same. As long as the
    /// contexts stay, nothing that is decided changes by it.
    pub(crate) fn rounded(&self, request: Arc<Request>, ctx_tokens: Option<u64>) -> Arc<Request> {
        let next = ctx_tokens.and_then(|needed| {
            match self.contexts.partition_point(|has| *has < needed) {
                0 => None,
                at => Some(self.contexts.get(at).copied().unwrap_or(u64::MAX)),
            }
        });
        if request.ctx_tokens == next {
            return request;
        }
        Arc::new(Request { ctx_tokens: next, ..Request::clone(&request) })
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
        self.held() == 0 && self.running == 0 && self.evicting == 0 && self.replicas.is_empty()
    }

    /// Queued tasks that the order starts before `task`, which is queued or reserved here.
    pub(crate) fn position(&self, forest: &Forest, task: &Task, ages: &Ages) -> u64 {
        self.merged(forest, task.class, self.rank(forest, task), ages)
    }

    /// Those of them that are of its class.
    pub(crate) fn rank(&self, forest: &Forest, task: &Task) -> u64 {
        let lane = self.lane(task.class);
        match task.place {
            Place::Again | Place::Delayed { .. } => lane.again_rank(forest, task.sequence),
            Place::Reserved { .. }
            | Place::Fresh
            | Place::Evicting { .. }
            | Place::Running { .. } => {
                let backlog = task.backlog.expect("it is in rotation, or was to be");
                lane.fresh_rank(forest, backlog, task.sequence)
            }
        }
    }

    /// [`Self::position`] of `task` where it is the first of its group or of the rotation, in O(log n).
    pub(crate) fn head_position(&self, forest: &Forest, task: &Task, ages: &Ages) -> u64 {
        let lane = self.lane(task.class);
        let rank = match task.place {
            Place::Again => lane.again_rank(forest, task.sequence),
            _ => lane.again_len(forest),
        };
        self.merged(forest, task.class, rank, ages)
    }

    /// Counts a task that was put into its queue, if its class ages and it may start.
    pub(crate) fn note_waiting(&mut self, task: &Task) {
        if task.is_aging() {
            self.batch_waiting.insert((task.waiting_since_ms, task.sequence));
        }
    }

    /// The task leaves its queue.
    pub(crate) fn forget_waiting(&mut self, task: &Task) {
        if task.is_aging() {
            self.batch_waiting.remove(&(task.waiting_since_ms, task.sequence));
        }
    }

    /// Dispatches to interactive for one to batch, as things are now.
    pub(crate) fn weight(&self, ages: &Ages) -> NonZeroU32 {
        if self.is_aged(ages) { NonZeroU32::MIN } else { ages.weight }
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

    fn is_aged(&self, ages: &Ages) -> bool {
        let oldest = self.batch_waiting.first();
        oldest.zip(ages.aged_since_ms).is_some_and(|((since_ms, _), aged_ms)| *since_ms <= aged_ms)
    }

    /// Place in the order of both classes of the task with `rank` tasks of its own class before it, as they
    /// start at this very instant: batch's share is the larger one until the last aged task of batch starts.
    pub(crate) fn merged(&self, forest: &Forest, class: Class, rank: u64, ages: &Ages) -> u64 {
        let most = self.most_before(forest, class, rank, ages);
        most.min(rank.saturating_add(self.lane(class.other()).queued()))
    }

    /// [`Self::merged`] as if the other class had tasks without end.
    pub(crate) fn most_before(&self, forest: &Forest, class: Class, rank: u64, ages: &Ages) -> u64 {
        // What interactive still gets before batch's next turn.
        let now = u64::from(self.weight(ages).get());
        let ahead = now.saturating_sub(u64::from(self.interactive_streak));
        // Turns of batch after the next one that come after one start of interactive each.
        let quick = || match ages.aged_since_ms {
            Some(aged_ms) if self.is_aged(ages) => {
                self.batch.starts_until_younger(forest, aged_ms).saturating_sub(1)
            }
            _ => 0,
        };
        let weight = u64::from(ages.weight.get());
        let other = match class {
            Class::Interactive if rank < ahead => 0,
            Class::Interactive if rank == ahead => 1,
            Class::Interactive => {
                let beyond = rank - ahead;
                let quick = quick().min(beyond);
                1 + quick + (beyond - quick) / weight
            }
            Class::Batch if rank == 0 => ahead,
            Class::Batch => {
                let quick = quick().min(rank);
                (rank - quick).saturating_mul(weight).saturating_add(ahead + quick)
            }
        };
        rank.saturating_add(other)
    }
}

/// What decides about the share of batch at an instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    /// A task of batch that waits since then, or longer, has aged; `None` where none can have.
    pub(crate) aged_since_ms: Option<u64>,
    /// Dispatches to interactive for one to batch that has not aged.
    pub(crate) weight: NonZeroU32,
}

impl Ages {
    pub(crate) fn new(limits: &Limits, now_ms: u64) -> Self {
        Self {
            aged_since_ms: now_ms.checked_sub(limits.batch_max_wait_ms),
            weight: limits.interactive_weight,
        }
    }
}
