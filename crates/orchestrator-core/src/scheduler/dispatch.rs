use std::collections::BTreeSet;

use placement::{Base, Cursor, Decision, Explanation, Outcome, Request, decide, to_empty};

use super::Scheduler;
use crate::{
    Action, Class, model_queue::ModelQueue, replica_table::ReplicaSlots, slab::Key, task::Place,
    task::Task,
};

/// Most candidates that an explanation lists.
pub(super) const CANDIDATES_MAX: usize = 64;

/// A task that can start now, and where.
#[derive(Debug)]
struct Placed<'a> {
    task: Key<Task>,
    replica: Key<ReplicaSlots>,
    decision: Decision<'a>,
    is_first: bool,
}

/// A task that is to start now.
#[derive(Debug, Clone)]
pub(super) struct Start {
    task: Key<Task>,
    replica: Key<ReplicaSlots>,
    decision: Box<Explanation>,
    /// Whether it is the next of its group or of the rotation, and passes nobody there.
    is_first: bool,
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
        self.keep_emptying();
        while let Some((_turn, model)) = waiting.pop_first() {
            // A model that has no start now gets none later in the round: slots only fill up, and a
            // replica that empties for a task stays kept for it, as that task starts on an idle one only.
            let Some(start) = self.next_start(model) else {
                continue;
            };
            self.start(start, actions);
            self.keep_emptying();
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
        let has_slot = |replica: &Key<ReplicaSlots>| self.table.has_slot(*replica);
        if !self.models[model].replicas.iter().any(has_slot) {
            return None;
        }
        let first = |class| self.first_placed(model, class);
        let (placed, is_contended) = match (first(Class::Interactive), first(Class::Batch)) {
            (Some(interactive), Some(batch)) => {
                let queue = &self.models[model];
                let next = queue.next_class(queue.weight(&self.ages()));
                (if next == Class::Interactive { interactive } else { batch }, true)
            }
            (interactive, batch) => (interactive.or(batch)?, false),
        };
        let Placed { task, replica, decision, is_first } = placed;
        let decision = Box::new(decision.explain(CANDIDATES_MAX));
        Some(Start { task, replica, decision, is_first, is_contended })
    }

    /// The first task in the order of one class that placement finds a replica for.
    fn first_placed(&self, model: Key<ModelQueue>, class: Class) -> Option<Placed<'_>> {
        let lane = self.models[model].lane(class);
        let mut again: Vec<_> = lane.again_heads(&self.forest).collect();
        again.sort_by_key(|(task, _)| self.tasks[*task].sequence);
        let mut again = again.into_iter();
        if let Some(placed) = again.find_map(|(task, request)| self.place(model, task, request)) {
            return Some(placed);
        }
        let mut fresh: Vec<_> = lane.fresh_heads().collect();
        fresh.sort_by_key(|head| head.order);
        let first = fresh.first()?.task;
        let placed = fresh.iter().find_map(|head| self.place(model, head.task, head.request))?;
        Some(Placed { is_first: placed.task == first, ..placed })
    }

    /// The task with its replica, if placement finds one for it.
    fn place(
        &self,
        model: Key<ModelQueue>,
        task: Key<Task>,
        request: &Request,
    ) -> Option<Placed<'_>> {
        let queue = &self.models[model];
        let strategy = self.strategies.of(&queue.id);
        let decision = decide(&self.table.snapshot, request, strategy, &queue.cursor);
        match decision.outcome {
            Outcome::Assign { replica } => {
                let replica = self.table.by_id[replica];
                Some(Placed { task, replica, decision, is_first: true })
            }
            // Nothing is loaded for a task in this build.
            Outcome::Prepare { .. } | Outcome::NoCapacity { .. } => None,
        }
    }

    /// Keeps free slots for tasks that want a replica to themselves: on one replica a model, at most.
    fn keep_emptying(&mut self) {
        if self.alone_ready == 0 && self.table.emptying.is_empty() {
            return;
        }
        let waiting = self.models.iter().filter(|(_, queue)| queue.alone_ready > 0);
        let emptying = waiting.filter_map(|(_, queue)| self.emptying_for(queue)).collect();
        self.table.set_emptying(emptying);
    }

    /// The replica that empties for `queue`'s first task that wants one to itself.
    fn emptying_for(&self, queue: &ModelQueue) -> Option<Key<ReplicaSlots>> {
        let first = |class| {
            let heads = queue.lane(class).again_heads(&self.forest);
            heads
                .filter(|(_, request)| request.alone)
                .min_by_key(|(task, _)| self.tasks[*task].sequence)
                .map(|(_, request)| request)
        };
        let request = first(Class::Interactive).or_else(|| first(Class::Batch))?;
        let replica = to_empty(&self.table.snapshot, request)?;
        Some(self.table.by_id[replica])
    }

    fn start(&mut self, start: Start, actions: &mut Vec<Action>) {
        let Start { task, replica, decision, is_first, is_contended } = start;
        let entry = &self.tasks[task];
        let (model, class, alone) = (entry.model, entry.class, entry.request.alone);
        // One that passes others is placed behind what it passes.
        let position = if is_first {
            self.models[model].head_position(&self.forest, entry, &self.ages())
        } else {
            self.position_of(task)
        };
        self.watch_wait(task);
        self.judge_forecast(task, true);
        self.dequeue(task, true);
        self.count_drain(task);
        let queue = &mut self.models[model];
        if is_contended {
            queue.count_contended(class);
        }
        queue.running += 1;
        let lease = self.table.lease(replica, task, alone, self.now_ms);
        let replica = self.table.replicas[replica].id.clone();
        if self.strategies.of(&queue.id).base() == Base::RoundRobin {
            queue.cursor = Cursor(Some(replica.clone()));
        }
        self.tasks[task].place = Place::Running { lease };
        self.set_timer(task);
        let task = self.tasks[task].id;
        actions.push(Action::Dispatch { task, replica, lease, position, decision });
    }
}
