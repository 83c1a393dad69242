use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use narration::{Fact, human};
use orchestrator_core::TaskId;
use prefetch::Lines;

use crate::{
    Delivery, EventStoreError, Refusal,
    live_task::{LiveTask, StopReason},
    shared::Shared,
    task_log::{Cursor, READS_MAX, TaskLog},
};

/// Longest wait for an event id that the task has not reached yet (ORCH-078).
const AHEAD_WAIT: Duration = Duration::from_secs(5);

/// What a request for a task's events gets.
pub enum Subscribed {
    /// A place in the log.
    Stream(Subscription),
    /// The task has ended and the client has all of it.
    NothingLeft,
}

/// A place in a task's log. Dropping it is a disconnect.
pub struct Subscription {
    cursor: Option<Cursor>,
    live: Option<Arc<LiveTask>>,
    shared: Arc<Shared>,
    /// Whether somebody got it.
    is_given: bool,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.cursor, f)
    }
}

impl Subscription {
    /// What comes next; `None` where the stream is over, with or without a terminal event.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Delivery, EventStoreError>>> {
        self.cursor.as_mut().map_or(Poll::Ready(None), |cursor| cursor.poll_next(cx))
    }

    /// Tells what memory is read around [`Self::poll_next`], so that it is near when the next events wake who
    /// polls. It may move or go: only time is lost then.
    pub fn reads(&self, memory: [Lines; READS_MAX]) {
        if let Some(cursor) = &self.cursor {
            cursor.reads(memory);
        }
    }

    /// As [`Self::poll_next`], for callers that await.
    pub async fn next(&mut self) -> Option<Result<Delivery, EventStoreError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Tasks that would start before this one, while it waits; and all that wait for its model.
    #[must_use]
    pub fn waiting(&self) -> Option<(u64, u64)> {
        let live = self.live.as_ref()?;
        self.shared.waiting(live.id)
    }
}

impl Subscription {
    fn count_end(&self, cursor: &Cursor) {
        if cursor.notices_dropped() > 0 {
            self.shared.observer.notices_dropped(cursor.notices_dropped());
        }
        let (is_complete, has_failed) = cursor.standing();
        if !self.is_given || is_complete {
            return;
        }
        let is_ours = cursor.log().is_closed() || self.shared.closing.is_cancelled();
        let cause = match (has_failed, is_ours) {
            (true, _) => "unreadable",
            (false, true) => "shutdown",
            (false, false) => "client",
        };
        self.shared.observer.subscription_lost(cause);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.subscribers.fetch_sub(1, Ordering::Relaxed);
        let Some(cursor) = self.cursor.take() else { return };
        let log = Arc::clone(cursor.log());
        self.count_end(&cursor);
        drop(cursor);
        self.shared.unlist(&log);
        let Some(live) = &self.live else { return };
        let is_ours = log.is_closed() || self.shared.closing.is_cancelled();
        if let Some(alone_ms) = live.spec.cancel_when_alone_ms
            && log.subscribers() == 0
            && log.terminal().is_none()
            && !is_ours
        {
            self.shared.cancel_when_alone(live, alone_ms);
        }
    }
}

impl Shared {
    /// Remembers that somebody may be reading this log, in case its task is erased.
    fn list(&self, log: &Arc<TaskLog>) {
        let mut listened = self.listened.lock().expect("no holder panics");
        let logs = listened.entry(log.task()).or_default();
        if !logs.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(log))) {
            logs.push(Arc::downgrade(log));
        }
    }

    /// Forgets a log that nobody reads any more.
    fn unlist(&self, log: &Arc<TaskLog>) {
        if log.subscribers() > 0 {
            return;
        }
        let mut listened = self.listened.lock().expect("no holder panics");
        if let Some(logs) = listened.get_mut(&log.task()) {
            logs.retain(|known| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(log)));
            if logs.is_empty() {
                listened.remove(&log.task());
            }
        }
    }

    /// Cancels a task unless somebody listens to it within `alone_ms`.
    pub(crate) fn cancel_when_alone(self: &Arc<Self>, live: &Arc<LiveTask>, alone_ms: u64) {
        let (shared, live) = (Arc::clone(self), Arc::clone(live));
        let arrivals = live.log.arrivals();
        self.spawn(async move {
            if alone_ms > 0 {
                tokio::time::sleep(Duration::from_millis(alone_ms)).await;
            }
            let is_over = live.log.terminal().is_some() || live.log.is_closed();
            // Whoever came and went meanwhile started a wait of their own.
            let is_alone = live.log.subscribers() == 0 && live.log.arrivals() == arrivals;
            if is_alone && !is_over {
                tracing::info!(
                    event = "abandoned",
                    task_id = %live.id,
                    correlation_id = live.spec.correlation_id,
                    trace_id = live.spec.trace_id(),
                    model = live.spec.model_ref,
                    human = human(&Fact::Abandoned { model: &live.spec.model_ref }),
                );
                shared.cancel(&live, StopReason::Abandoned);
            }
        });
    }

    /// Position and queue depth of a task that waits.
    pub(crate) fn waiting(&self, task: TaskId) -> Option<(u64, u64)> {
        let scheduler = self.scheduler();
        let position = scheduler.position(task)?;
        Some((position, scheduler.total_queued()))
    }

    /// Subscribes to a task behind the event `after`.
    pub(crate) async fn subscribe(
        self: &Arc<Self>,
        log: Arc<TaskLog>,
        live: Option<Arc<LiveTask>>,
        after: u64,
    ) -> Result<Subscribed, Refusal> {
        let too_many = Refusal::TooManyStreams { retry_after_ms: self.options().reject_backoff_ms };
        if log.subscribers() >= self.options().subscribers_per_task {
            return Err(too_many);
        }
        if self.subscribers.fetch_add(1, Ordering::Relaxed) >= self.options().subscribers_max {
            self.subscribers.fetch_sub(1, Ordering::Relaxed);
            return Err(too_many);
        }
        self.list(&log);
        let cursor = log.subscribe(after);
        let mut subscription = Subscription {
            cursor: Some(cursor),
            live: live.clone(),
            shared: Arc::clone(self),
            is_given: false,
        };
        if let Some(live) = &live {
            self.unpark(live.id);
        }
        let cursor = subscription.cursor.as_ref().expect("just made");
        if !cursor.is_within() && log.terminal().is_none() {
            // It may be on its way: a client can be ahead of a log that is being generated again.
            let _waited = tokio::time::timeout(AHEAD_WAIT, cursor.reached()).await;
        }
        if !cursor.is_within() {
            let last_event_id =
                log.terminal().map_or_else(|| log.last_event(), |terminal| terminal.id);
            return Err(Refusal::UnknownEvent { asked: after, last_event_id });
        }
        if log.terminal().is_some_and(|terminal| after >= terminal.id) {
            return Ok(Subscribed::NothingLeft);
        }
        subscription.is_given = true;
        Ok(Subscribed::Stream(subscription))
    }
}
