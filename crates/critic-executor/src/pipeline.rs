//! Pipelines: named nodes one after the other, the output of one being the input of the next.

mod blocking;
mod error;
mod executor;
mod node;
mod node_executor;
mod running;
mod settings;

pub use error::{OrchestratorError, PartialResults, PipelineProblem, PipelineTimeout};
pub use executor::{PipelineActivity, PipelineExecutor, PipelineOutcome};
pub use node::{Node, NodeContext, NodeError, NodeNotice};
pub use node_executor::NodeExecutor;
pub use settings::PipelineSettings;
