use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    cleanup::{CleanupStack, CleanupWhen},
    spec::ExecutionHint,
    status::TimeoutScope,
};

/// What a node fails with: anything.
pub type NodeError = Box<dyn std::error::Error + Send + Sync>;

pub(super) type Work<T> = Arc<
    dyn Fn(T, NodeContext) -> Pin<Box<dyn Future<Output = Result<T, NodeError>> + Send>>
        + Send
        + Sync,
>;

pub(super) type Callback = Arc<
    dyn Fn(NodeNotice) -> Pin<Box<dyn Future<Output = Result<(), NodeError>> + Send>> + Send + Sync,
>;

/// A named step of a pipeline.
///
/// ```
/// use critic_executor::{Node, NodeContext};
///
/// let double = Node::new("double", |value: u64, _ctx: NodeContext| async move { Ok(value * 2) });
/// assert_eq!(double.name(), "double");
/// ```
pub struct Node<T> {
    pub(super) name: Arc<str>,
    pub(super) limit: Option<Duration>,
    pub(super) hint: ExecutionHint,
    pub(super) work: Work<T>,
    pub(super) on_timeout: Option<Callback>,
    pub(super) on_cancel: Option<Callback>,
}

impl<T> Clone for Node<T> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            limit: self.limit,
            hint: self.hint,
            work: Arc::clone(&self.work),
            on_timeout: self.on_timeout.clone(),
            on_cancel: self.on_cancel.clone(),
        }
    }
}

impl<T> fmt::Debug for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Node");
        debug.field("name", &self.name).field("limit", &self.limit).field("hint", &self.hint);
        debug.finish_non_exhaustive()
    }
}

/// What a callback is told of the node that was stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeNotice {
    /// The pipeline's id.
    pub pipeline: Arc<str>,
    /// The node.
    pub node: Arc<str>,
    /// Whose time ran out; `None` if it was cancelled.
    pub timed_out: Option<TimeoutScope>,
}

/// What a node may see and do while it works. Clones share everything.
#[derive(Clone)]
pub struct NodeContext {
    pub(super) shared: Arc<NodeShared>,
}

pub(super) struct NodeShared {
    pub(super) pipeline: Arc<str>,
    pub(super) node: Arc<str>,
    pub(super) deadline: Instant,
    pub(super) token: CancellationToken,
    pub(super) cleanups: CleanupStack,
}

impl<T> Node<T> {
    /// A node that runs as a task of its own.
    pub fn new<F, Fut>(name: impl Into<Arc<str>>, work: F) -> Self
    where
        F: Fn(T, NodeContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, NodeError>> + Send + 'static,
    {
        Self {
            name: name.into(),
            limit: None,
            hint: ExecutionHint::Spawn,
            work: Arc::new(move |value, ctx| Box::pin(work(value, ctx))),
            on_timeout: None,
            on_cancel: None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives it another time than the settings'.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Where its code runs. A node that blocks its thread has to be [`ExecutionHint::Blocking`], or it holds up
    /// whoever waits for it.
    #[must_use]
    pub fn hint(mut self, hint: ExecutionHint) -> Self {
        self.hint = hint;
        self
    }

    /// Called after the node ran out of time and that was reported, for at most the grace. What it says changes
    /// nothing.
    #[must_use]
    pub fn on_timeout<F, Fut>(mut self, callback: F) -> Self
    where
        F: Fn(NodeNotice) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), NodeError>> + Send + 'static,
    {
        self.on_timeout = Some(Arc::new(move |notice| Box::pin(callback(notice))));
        self
    }

    /// Called after the node was cancelled and that was reported, for at most the grace. What it says changes
    /// nothing.
    #[must_use]
    pub fn on_cancel<F, Fut>(mut self, callback: F) -> Self
    where
        F: Fn(NodeNotice) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), NodeError>> + Send + 'static,
    {
        self.on_cancel = Some(Arc::new(move |notice| Box::pin(callback(notice))));
        self
    }
}

impl NodeContext {
    /// The pipeline's id.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        &self.shared.pipeline
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.shared.node
    }

    /// When the node is out of time: its own deadline or the pipeline's, whichever is nearer.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.shared.deadline
    }

    /// The time to the deadline, zero once it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.shared.deadline.saturating_duration_since(Instant::now())
    }

    /// Cancelled when the node is to stop.
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        self.shared.token.clone()
    }

    /// Registers something to do once the node has ended, last registered first, within the grace. False, and the
    /// callback is dropped, if it has ended already.
    pub fn on_cleanup<F, Fut>(&self, when: CleanupWhen, callback: F) -> bool
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.shared.cleanups.push(when, callback)
    }
}

impl fmt::Debug for NodeContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("NodeContext");
        debug.field("pipeline", &self.shared.pipeline).field("node", &self.shared.node);
        debug.finish_non_exhaustive()
    }
}
