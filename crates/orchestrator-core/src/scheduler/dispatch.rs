use std::collections::BTreeSet;

use super::Scheduler;
use crate::{
    Action, Class,
    model_queue::ModelQueue,
    replica_choice,
    replica_table::ReplicaSlots,
    slab::Key,
    task::{Need, Place, Task},
};

/// A task that can start now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    task: Key<Task>,
    replica: Key<ReplicaSlots>,
    /// Whether the other class could start one too.
    is_contended: bool,
}

impl Scheduler {
    /// Starts what can start, over the models that something changed for.
    pub(super) fn dispatch(&mut self, actions: &mut Vec<Action>) {
        let turn = |model: &Key<ModelQueue>| {
            let queue = self.models.get(*model)?;
            (queue.queued() > 0).then_some((queue.turn, *model))
        };
        let mut waiting: BTreeSet<_> = self.touched.iter().filter_map(turn).collect();
        while let Some((_turn, model)) = waiting.pop_first() {
            // A model that has no start now gets none later in the round: slots only fill up, and a
            // replica that empties for a task stays kept for it, as that task starts on an idle one only.
            let Some(start) = self.next_start(model) else {
                continue;
            };
            self.start(start, actions);
            let queue = &mut self.models[model];
            queue.turn = self.next_turn;
            self.next_turn += 1;
            if queue.queued() > 0 {
                waiting.insert((queue.turn, model));
            }
        }
    }

    /// What `model` starts next, if any of its tasks can start now.
    pub(super) fn next_start(&self, model: Key<ModelQueue>) -> Option<Start> {
        let waited_for = self.waited_for();
        let first = |class| self.first_start(model, class, &waited_for);
        match (first(Class::Interactive), first(Class::Batch)) {
            (Some(interactive), Some(batch)) => {
                let queue = &self.models[model];
                let next = queue.next_class(queue.weight(&self.ages()));
                let start = if next == Class::Interactive { interactive } else { batch };
                Some(Start { is_contended: true, ..start })
            }
            (interactive, batch) => interactive.or(batch),
        }
    }

    /// The first task in the order of one class that has a replica with a slot for it.
    fn first_start(
        &self,
        model: Key<ModelQueue>,
        class: Class,
        waited_for: &[Key<ReplicaSlots>],
    ) -> Option<Start> {
        let queue = &self.models[model];
        let lane = queue.lane(class);
        let start = |task: Key<Task>, need: &Need| {
            let replicas = &self.table.replicas;
            let replica = replica_choice::choose(replicas, &queue.replicas, need, waited_for)?;
            Some(Start { task, replica, is_contended: false })
        };
        lane.again_heads(&self.forest)
            .filter_map(|(task, need)| start(task, need))
            .min_by_key(|start| self.tasks[start.task].sequence)
            .or_else(|| start(lane.fresh_head(&self.forest)?, &Need::default()))
    }

    /// The replicas that empty for tasks that want one to themselves, at most one a model.
    fn waited_for(&self) -> Vec<Key<ReplicaSlots>> {
        if self.alone_ready == 0 {
            return Vec::new();
        }
        let waiting = self.models.iter().filter(|(_, queue)| queue.alone_ready > 0);
        waiting.filter_map(|(_, queue)| self.emptying_for(queue)).collect()
    }

    /// The replica that empties for `queue`'s first task that wants one to itself.
    fn emptying_for(&self, queue: &ModelQueue) -> Option<Key<ReplicaSlots>> {
        let first = |class| {
            let heads = queue.lane(class).again_heads(&self.forest);
            heads
                .filter(|(_, need)| need.alone)
                .min_by_key(|(task, _)| self.tasks[*task].sequence)
                .map(|(_, need)| need)
        };
        let need = first(Class::Interactive).or_else(|| first(Class::Batch))?;
        replica_choice::to_empty(&self.table.replicas, &queue.replicas, need)
    }

    fn start(&mut self, start: Start, actions: &mut Vec<Action>) {
        let Start { task, replica, is_contended } = start;
        let entry = &self.tasks[task];
        let (model, class, alone) = (entry.model, entry.class, entry.need.alone);
        let position = self.models[model].head_position(&self.forest, entry, &self.ages());
        self.watch_wait(task);
        self.dequeue(task, true);
        self.count_drain(task);
        if is_contended {
            self.models[model].count_contended(class);
        }
        self.models[model].running += 1;
        let lease = self.table.lease(replica, task, alone, self.now_ms);
        self.tasks[task].place = Place::Running { lease };
        self.set_timer(task);
        let replica = self.table.replicas[replica].id.clone();
        actions.push(Action::Dispatch { task: self.tasks[task].id, replica, lease, position });
    }
}
