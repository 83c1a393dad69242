use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    blocking::drive,
    node::{Callback, Node, NodeContext, NodeError, NodeNotice, NodeShared},
};
use crate::{
    catch::{PanicMessage, catch, catch_unwind},
    cleanup::{CleanupStack, run_all},
    spec::ExecutionHint,
    status::TimeoutScope,
};

/// How a node ended.
pub(super) enum NodeEnd<T> {
    Value(T),
    Failed(NodeError),
    /// Its deadline passed. What it may say later is dropped.
    TimedOut,
    Cancelled,
}

#[cfg(feature = "metrics")]
impl<T> NodeEnd<T> {
    /// How it ended, in one word.
    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::Value(_) => "completed",
            Self::Failed(_) => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a node runs under.
pub(super) struct Surroundings<'a> {
    pub(super) pipeline: &'a Arc<str>,
    /// The node's own deadline or a wider one.
    pub(super) deadline: Instant,
    /// Whose deadline that is.
    pub(super) scope: TimeoutScope,
    /// Stops the node.
    pub(super) token: &'a CancellationToken,
    pub(super) grace: Duration,
    /// Owns what goes on after the node was reported.
    pub(super) tracker: &'a TaskTracker,
}

type Output<T> = Result<Result<T, NodeError>, PanicMessage>;

/// Runs a node until it ends, its deadline passes or it is cancelled; never longer. `kept` is held until nothing of
/// it runs any more.
pub(super) async fn run_node<T: Send + 'static>(
    node: &Node<T>,
    value: T,
    around: Surroundings<'_>,
    kept: impl Clone + Send + 'static,
) -> NodeEnd<T> {
    let shared = Arc::new(NodeShared {
        pipeline: Arc::clone(around.pipeline),
        node: Arc::clone(&node.name),
        deadline: around.deadline,
        token: around.token.child_token(),
        cleanups: CleanupStack::default(),
    });
    let ctx = NodeContext { shared: Arc::clone(&shared) };
    let mut running = Running {
        shared,
        work: Work::Ended,
        on_timeout: node.on_timeout.clone(),
        on_cancel: node.on_cancel.clone(),
        grace: around.grace,
        tracker: around.tracker.clone(),
        handle: Handle::current(),
    };
    let started = catch(|| (node.work)(value, ctx));
    running.work = match started {
        Err(panic) => return NodeEnd::Failed(panicked(&panic)),
        Ok(future) => running.start(future, node.hint, kept),
    };
    let stopped = tokio::select! {
        // A result that is there only at the deadline is late.
        biased;
        () = sleep_until(around.deadline) => Some(around.scope),
        () = around.token.cancelled() => None,
        output = running.work.output() => {
            running.work = Work::Ended;
            return match output {
                Some(Ok(Ok(value))) => NodeEnd::Value(value),
                Some(Ok(Err(error))) => NodeEnd::Failed(error),
                Some(Err(panic)) => NodeEnd::Failed(panicked(&panic)),
                None => NodeEnd::Cancelled,
            };
        }
    };
    running.stop(stopped);
    if stopped.is_some() { NodeEnd::TimedOut } else { NodeEnd::Cancelled }
}

fn panicked(panic: &PanicMessage) -> NodeError {
    format!("it panicked: {}", panic.0).into()
}

enum Work<T> {
    Inline(Pin<Box<dyn Future<Output = Output<T>> + Send>>),
    Task(JoinHandle<Option<Output<T>>>),
    Ended,
}

impl<T> Work<T> {
    /// `None` where the runtime took the task away.
    async fn output(&mut self) -> Option<Output<T>> {
        match self {
            Self::Inline(future) => Some(future.await),
            Self::Task(task) => task.await.ok().flatten(),
            Self::Ended => std::future::pending().await,
        }
    }
}

/// A node at work. Its drop stops it, so that nothing is left of a caller who went away.
struct Running<T: Send + 'static> {
    shared: Arc<NodeShared>,
    work: Work<T>,
    on_timeout: Option<Callback>,
    on_cancel: Option<Callback>,
    grace: Duration,
    tracker: TaskTracker,
    handle: Handle,
}

impl<T: Send + 'static> Running<T> {
    fn start(
        &self,
        future: Pin<Box<dyn Future<Output = Result<T, NodeError>> + Send>>,
        hint: ExecutionHint,
        kept: impl Clone + Send + 'static,
    ) -> Work<T> {
        match hint {
            ExecutionHint::Inline => Work::Inline(Box::pin(catch_unwind(future))),
            ExecutionHint::Spawn => {
                let task = async move {
                    let output = catch_unwind(future).await;
                    drop(kept);
                    Some(output)
                };
                Work::Task(self.tracker.spawn_on(task, &self.handle))
            }
            ExecutionHint::Blocking => {
                let task = drive(self.handle.clone(), future, kept);
                Work::Task(self.tracker.spawn_on(task, &self.handle))
            }
        }
    }

    /// Tells the node to stop, and sees to its end where it holds nobody up.
    fn stop(&mut self, timed_out: Option<TimeoutScope>) {
        self.shared.token.cancel();
        let callback = if timed_out.is_some() { &self.on_timeout } else { &self.on_cancel };
        if let Some(callback) = callback.clone() {
            let notice = NodeNotice {
                pipeline: Arc::clone(&self.shared.pipeline),
                node: Arc::clone(&self.shared.node),
                timed_out,
            };
            let call = timeout(self.grace, catch_unwind(async move { callback(notice).await }));
            let call = async move {
                // What it says changes nothing.
                let _told = call.await;
            };
            drop(self.tracker.spawn_on(call, &self.handle));
        }
        match std::mem::replace(&mut self.work, Work::Ended) {
            Work::Task(mut task) => {
                let (grace, shared) = (self.grace, Arc::clone(&self.shared));
                let reap = async move {
                    if timeout(grace, &mut task).await.is_err() {
                        task.abort();
                        // It ends at its next await; one on the blocking pool when its thread returns.
                        let _ended = task.await;
                    }
                    run_all(shared.cleanups.take(true), grace).await;
                };
                drop(self.tracker.spawn_on(reap, &self.handle));
            }
            Work::Inline(future) => {
                drop(future);
                self.clean_up(true);
            }
            Work::Ended => self.clean_up(true),
        }
    }

    fn clean_up(&self, was_stopped: bool) {
        let callbacks = self.shared.cleanups.take(was_stopped);
        if !callbacks.is_empty() {
            let grace = self.grace;
            let cleanup = async move {
                let _failed = run_all(callbacks, grace).await;
            };
            drop(self.tracker.spawn_on(cleanup, &self.handle));
        }
    }
}

impl<T: Send + 'static> Drop for Running<T> {
    fn drop(&mut self) {
        match self.work {
            Work::Ended => self.clean_up(self.shared.token.is_cancelled()),
            Work::Inline(_) | Work::Task(_) => self.stop(None),
        }
    }
}
