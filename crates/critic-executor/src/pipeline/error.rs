use std::{any::Any, fmt, sync::Arc, time::Duration};

use super::node::NodeError;
use crate::{
    error::{CriticError, ErrorKind},
    status::CancelReason,
};

/// Why a node or pipeline gave no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrchestratorError {
    /// It ran out of time.
    #[error(transparent)]
    Timeout(#[from] PipelineTimeout),
    /// It was cancelled.
    #[error("pipeline `{id}` was cancelled: {reason}")]
    Cancelled {
        /// Its id.
        id: Arc<str>,
        /// Why.
        reason: CancelReason,
    },
    /// A node failed or panicked.
    #[error("node `{node}` failed")]
    Node {
        /// The node.
        node: Arc<str>,
        /// What it said.
        #[source]
        source: NodeError,
    },
    /// As many pipelines wait as may.
    #[error("{waiting} pipelines wait already; try again later")]
    Rejected {
        /// How many.
        waiting: usize,
    },
    /// The pipeline or its id cannot be used.
    #[error("the pipeline cannot run")]
    Invalid(#[from] PipelineProblem),
}

/// What ran out of time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineTimeout {
    /// One node.
    #[error("node `{node}` took longer than {} ms", limit.as_millis())]
    Node {
        /// The node.
        node: Arc<str>,
        /// Its time.
        limit: Duration,
    },
    /// The whole.
    #[error("pipeline `{pipeline}` took longer than {} ms; {} nodes had ended", limit.as_millis(), completed.len())]
    Pipeline {
        /// Its id.
        pipeline: Arc<str>,
        /// Its time.
        limit: Duration,
        /// Nodes that gave a value, in order.
        completed: Vec<Arc<str>>,
        /// Their values, if the pipeline keeps them.
        partial: PartialResults,
    },
}

/// What makes a pipeline unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineProblem {
    /// Two nodes have one name.
    #[error("two nodes are called `{node}`")]
    DuplicateNode {
        /// The name.
        node: Arc<str>,
    },
    /// A node has no name.
    #[error("node {index} has no name")]
    UnnamedNode {
        /// Its place, from 0.
        index: usize,
    },
    /// A time is zero.
    #[error("{what} is zero")]
    Zero {
        /// The setting.
        what: &'static str,
    },
    /// Without `fail_fast` values are needed twice.
    #[error("without fail_fast a pipeline has to keep values; call keep_values")]
    NeedsValues,
    /// A pipeline runs under this id.
    #[error(transparent)]
    DuplicateId(#[from] crate::registry::DuplicateId),
}

/// Values of the nodes that ended, in order. Empty for pipelines that do not keep values.
#[derive(Clone, Default)]
pub struct PartialResults {
    values: Vec<(Arc<str>, Arc<dyn Any + Send + Sync>)>,
}

impl PartialResults {
    pub(super) fn push(&mut self, node: Arc<str>, value: Arc<dyn Any + Send + Sync>) {
        self.values.push((node, value));
    }

    /// The value of a node; `T` is the pipeline's type.
    #[must_use]
    pub fn get<T: 'static>(&self, node: &str) -> Option<&T> {
        let (_, value) = self.values.iter().find(|(name, _)| **name == *node)?;
        value.downcast_ref()
    }

    /// The value of the last node that ended.
    #[must_use]
    pub fn last<T: 'static>(&self) -> Option<&T> {
        self.values.last()?.1.downcast_ref()
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl fmt::Debug for PartialResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.iter().map(|(node, _)| node)).finish()
    }
}

impl OrchestratorError {
    /// Whether time ran out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// What went wrong, in one word.
    #[cfg(feature = "metrics")]
    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timed_out",
            Self::Cancelled { .. } => "cancelled",
            Self::Node { .. } => "failed",
            Self::Rejected { .. } => "rejected",
            Self::Invalid(_) => "invalid",
        }
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }

    /// Whether another try may work: after a time-out, a rejection, or a node's error that is a
    /// [`CriticError`] worth another try.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::Rejected { .. } => true,
            Self::Node { source, .. } => {
                source.downcast_ref::<CriticError>().is_some_and(|error| {
                    matches!(error.kind(), ErrorKind::Transient | ErrorKind::RateLimited { .. })
                })
            }
            Self::Cancelled { .. } | Self::Invalid(_) => false,
        }
    }
}
