use orchestrator_core::{Action, Class, Event, Next, Replica, Scheduler, TaskId};
use placement::{ReplicaKey, Wish};

use super::{Judge, Known, order::Lane};
use crate::violation::{Violation, ensure};

impl Judge {
    /// Positions are what happens if nothing else arrives: tried out on a copy, with one slot that suits
    /// every task of a model.
    pub(super) fn check_positions(&mut self, scheduler: &Scheduler) -> Result<(), Violation> {
        let mut tried = 0;
        for (number, model) in self.names.models() {
            let lanes =
                [Class::Interactive, Class::Batch].map(|class| self.lanes.get(&(number, class)));
            let lanes = lanes.into_iter().flatten();
            // Delayed tasks keep places that they cannot use at once; those that avoid a replica or want
            // one alone, or another place, do not take the next slot; and aged ones change the share on their way out.
            let is_plain = |lane: &Lane| {
                let mut ready = lane.ready().map(|task| &self.tasks[&task]);
                let is_plain = |known: &Known| {
                    let has_wish = known.offer.request.wish != Wish::default();
                    known.avoid.is_empty() && !known.alone && !has_wish
                };
                !lane.has_delayed() && ready.all(is_plain)
            };
            if self.is_aged(number) || !lanes.clone().all(is_plain) {
                continue;
            }
            let queued: u64 = lanes.map(Lane::queued).sum();
            let order = self.tried_out(scheduler, number, queued);
            let model_id = model.0.as_ref();
            ensure(order.len() as u64 == queued, 9, || {
                format!("{queued} tasks of {model_id} do not all start")
            })?;
            tried += queued;
            for (place, task) in (0..).zip(order) {
                let told = scheduler.position(task);
                ensure(told == Some(place), 9, || {
                    let task = crate::names::task_number(task);
                    format!("task {task} is told position {told:?} and starts at {place}")
                })?;
            }
        }
        self.positions_tried += tried;
        Ok(())
    }

    /// The order in which the model's tasks start on one slot.
    fn tried_out(&self, scheduler: &Scheduler, model: u8, queued: u64) -> Vec<TaskId> {
        let mut copy = scheduler.clone();
        let now_ms = self.now_ms;
        for replica in self.replicas.keys() {
            let id = self.names.replica(*replica);
            copy.step(Event::ReplicaChanged(Replica::new(id, &[], 0)), now_ms);
        }
        let id = ReplicaKey::new("local", "the judge's", "0");
        let models = [self.names.model(model)];
        let mut actions = copy.step(Event::ReplicaChanged(Replica::new(id, &models, 1)), now_ms);
        let mut order = Vec::new();
        while let Some(Action::Dispatch { task, lease, .. }) = actions.pop() {
            order.push(task);
            if order.len() as u64 > queued {
                break;
            }
            copy.step(Event::AttemptEnded { task, lease, next: Next::Ended }, now_ms);
            actions = copy.step(Event::LeaseReleased { lease }, now_ms);
        }
        order
    }
}
