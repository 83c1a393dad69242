use placement::{Explanation, ReplicaKey, Request, Snapshot, decide};

use super::{CANDIDATES_MAX, Scheduler};
use crate::{ModelId, TaskId, TaskState, task::Place};

/// How much of a model's work is where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Queued interactive tasks.
    pub interactive: u64,
    /// Queued batch tasks.
    pub batch: u64,
    /// Offers that hold a place until they are committed or withdrawn.
    pub reserved: u64,
    /// Tasks with an attempt at work.
    pub running: u64,
}

/// A replica's slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slots {
    /// As announced; 0 once the replica is gone.
    pub total: u32,
    /// Leases that are not released. More than `total` where the replica shrank under them.
    pub busy: u32,
}

impl Scheduler {
    /// The earliest instant at which a step is due even if nothing else happens.
    #[must_use]
    pub fn next_wake_ms(&self) -> Option<u64> {
        self.timers.first().map(|(at_ms, _)| at_ms)
    }

    /// How many queued tasks would start before `task` if all started now, nothing else arrived and every
    /// slot suited every task (0 = next); `None` if it is not queued. Takes O(i log n) for i active
    /// identities.
    #[must_use]
    pub fn position(&self, task: TaskId) -> Option<u64> {
        let task = *self.by_id.get(&task)?;
        self.tasks[task].place.is_queued().then(|| self.position_of(task))
    }

    /// The state of a committed, live task; ended ones are forgotten.
    #[must_use]
    pub fn state(&self, task: TaskId) -> Option<TaskState> {
        match self.tasks[*self.by_id.get(&task)?].place {
            Place::Reserved { .. } => None,
            Place::Fresh | Place::Again | Place::Delayed { .. } | Place::Evicting { .. } => {
                Some(TaskState::Queued)
            }
            Place::Running { .. } => Some(TaskState::Running),
        }
    }

    /// What would be decided about a queued task now, whatever waits before it: why it does not run, as far
    /// as that is for want of a place. `None` if it is not queued.
    #[must_use]
    pub fn explain(&self, task: TaskId) -> Option<Explanation> {
        let task = &self.tasks[*self.by_id.get(&task)?];
        if !task.place.is_queued() {
            return None;
        }
        let queue = &self.models[task.model];
        let request = Request { ctx_tokens: task.ctx_tokens, ..Request::clone(&task.request) };
        let strategy = self.strategies.of(&queue.id);
        let decision = decide(&self.table.snapshot, &request, strategy, &queue.cursor);
        Some(decision.explain(CANDIDATES_MAX))
    }

    /// What placement decides by now.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.table.snapshot
    }

    /// All zero for an unknown model.
    #[must_use]
    pub fn depth(&self, model: &ModelId) -> Depth {
        let Some(queue) = self.model_by_id.get(model).map(|model| &self.models[*model]) else {
            return Depth::default();
        };
        Depth {
            interactive: queue.interactive.queued(),
            batch: queue.batch.queued(),
            reserved: queue.reserved_interactive + queue.reserved_batch,
            running: queue.running,
        }
    }

    /// Models with tasks or replicas, in order of ids.
    pub fn models(&self) -> impl Iterator<Item = &ModelId> {
        self.model_by_id.keys()
    }

    /// Queued tasks of all models.
    #[must_use]
    pub fn total_queued(&self) -> u64 {
        self.queued
    }

    /// Bytes of prompts of queued and reserved tasks.
    #[must_use]
    pub fn prompt_bytes(&self) -> u64 {
        self.prompt_bytes
    }

    /// `None` for a replica that was never announced, or is gone and holds no lease.
    #[must_use]
    pub fn slots(&self, replica: &ReplicaKey) -> Option<Slots> {
        let replica = &self.table.replicas[*self.table.by_id.get(replica)?];
        Some(Slots { total: replica.slots, busy: replica.busy })
    }

    /// Slots that nothing holds, neither there nor of others before the same server; 0 for an unknown replica.
    #[must_use]
    pub fn free_slots(&self, replica: &ReplicaKey) -> u32 {
        let replica = self.table.by_id.get(replica);
        replica.map_or(0, |replica| {
            let total = self.table.replicas[*replica].slots;
            total.saturating_sub(self.table.occupied(*replica))
        })
    }

    /// Releases of leases that nobody held, so far.
    #[must_use]
    pub fn unknown_releases(&self) -> u64 {
        self.unknown_releases
    }

    /// Events so far that were ignored because the task they name cannot make that move: an offer or
    /// restore of a known id, a commit or withdrawal of a task that is not reserved.
    #[must_use]
    pub fn refused_events(&self) -> u64 {
        self.refused_events
    }
}
