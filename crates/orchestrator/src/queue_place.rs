use orchestrator_core::{Ahead, Forecast, TaskId};

use crate::shared::Shared;

/// Where a queued task stands, at the moment of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuePlace {
    /// Tasks that start before it if nothing else arrives.
    pub position: u64,
    /// When it should start and end; `None` while too little was measured to tell.
    pub forecast: Option<Forecast>,
    /// Whose the tasks before it are.
    pub ahead: Vec<Ahead>,
}

impl Shared {
    /// `None` where the task is not queued.
    pub(crate) fn queue_place(&self, task: TaskId) -> Option<QueuePlace> {
        let now_ms = self.clock.boot_ms();
        let scheduler = self.scheduler();
        Some(QueuePlace {
            position: scheduler.position(task)?,
            forecast: scheduler.forecast(task, now_ms),
            ahead: scheduler.ahead(task)?,
        })
    }
}
