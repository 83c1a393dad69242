use super::{BACK_OFF_MS_MAX, Scheduler};
use crate::{
    Class, Offer,
    model_queue::ModelQueue,
    slab::Key,
    task::{Place, Task},
};

impl Scheduler {
    /// Whether `offer` has to make way for interactive tasks, and for how long.
    pub(super) fn shed_for_ms(&mut self, model: Key<ModelQueue>, offer: &Offer) -> Option<u64> {
        let objective = self.limits.objective.filter(|_| offer.class == Class::Batch)?;
        let queue = &mut self.models[model];
        let head = queue.interactive.fresh_head(&self.forest);
        let head_since_ms = head.map(|head| self.tasks[head].waiting_since_ms);
        let until_ms = queue.waits.breached_until(objective, head_since_ms, self.now_ms)?;
        Some(until_ms.saturating_sub(self.now_ms).clamp(1, BACK_OFF_MS_MAX))
    }

    /// The queued task starts: its wait counts.
    pub(super) fn watch_wait(&mut self, task: Key<Task>) {
        let Task { model, class, place, waiting_since_ms, .. } = self.tasks[task];
        if let Some(objective) = self.limits.objective
            && class == Class::Interactive
            && place == Place::Fresh
        {
            let waited_ms = self.now_ms.saturating_sub(waiting_since_ms);
            self.models[model].waits.started(objective, waited_ms, self.now_ms);
        }
    }
}
