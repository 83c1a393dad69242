use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    error::{OrchestratorError, PipelineTimeout},
    node::Node,
    running::{NodeEnd, Surroundings, run_node},
    settings::PipelineSettings,
};
use crate::status::{CancelReason, TimeoutScope};

/// Runs single nodes within their time.
///
/// ```
/// use std::time::Duration;
/// use critic_executor::{Node, NodeContext, NodeExecutor, PipelineSettings};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let executor = NodeExecutor::new(PipelineSettings::pipeline_strict());
/// let slow = Node::new("slow", |value: u64, ctx: NodeContext| async move {
///     ctx.cancellation().cancelled().await;
///     Ok(value)
/// });
/// let error = executor.run(&slow.limit(Duration::from_millis(5)), 1).await.unwrap_err();
/// assert!(error.is_timeout() && error.is_retryable());
/// # });
/// ```
#[derive(Debug, Clone, Default)]
pub struct NodeExecutor {
    settings: PipelineSettings,
    tracker: TaskTracker,
}

impl NodeExecutor {
    /// An executor that takes time and grace of nodes from these settings.
    #[must_use]
    pub fn new(settings: PipelineSettings) -> Self {
        Self { settings, tracker: TaskTracker::new() }
    }

    /// Runs a node on a value.
    ///
    /// # Errors
    /// The node's own error or its panic, or a time-out.
    pub async fn run<T: Send + 'static>(
        &self,
        node: &Node<T>,
        value: T,
    ) -> Result<T, OrchestratorError> {
        self.run_until(node, value, &CancellationToken::new()).await
    }

    /// Runs a node on a value until `token` is cancelled.
    ///
    /// # Errors
    /// As [`NodeExecutor::run`], or the cancellation.
    pub async fn run_until<T: Send + 'static>(
        &self,
        node: &Node<T>,
        value: T,
        token: &CancellationToken,
    ) -> Result<T, OrchestratorError> {
        let limit = node.limit.unwrap_or(self.settings.node_limit);
        let around = Surroundings {
            pipeline: &node.name,
            deadline: deadline_after(limit),
            scope: TimeoutScope::Attempt,
            token,
            grace: self.settings.grace,
            tracker: &self.tracker,
        };
        let node_name = || Arc::clone(&node.name);
        match run_node(node, value, around, ()).await {
            NodeEnd::Value(value) => Ok(value),
            NodeEnd::Failed(source) => Err(OrchestratorError::Node { node: node_name(), source }),
            NodeEnd::TimedOut => Err(PipelineTimeout::Node { node: node_name(), limit }.into()),
            NodeEnd::Cancelled => {
                let reason = CancelReason::User("its token was cancelled".into());
                Err(OrchestratorError::Cancelled { id: node_name(), reason })
            }
        }
    }

    /// Tasks that still run: nodes, their graces, cleanups and callbacks.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.tracker.len()
    }
}

/// The instant `limit` from now; one too far away for the clock stands for never.
pub(super) fn deadline_after(limit: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    let now = Instant::now();
    now.checked_add(limit).unwrap_or(now + CENTURY)
}
