//! The port through which the orchestrator drives engines, and the binding of replicas to adapters.
//!
//! An *adapter* speaks to one engine: a server over HTTP, or a model in this process. It is handed an
//! [`Attempt`] and answers with a stream of [`EngineEvent`]s, polled in place by whoever runs the task:
//! no task and no channel stands between the engine's bytes and the task's log unless the engine itself
//! needs one.
//!
//! Invariants: dropping the stream stops the work in the engine; `Output` events come in order; at most
//! one `Finished`, and nothing after it; an adapter never retries once it has given an output.

mod adapter;
mod attempt;
mod error;
mod event;
mod host;
mod props;
mod stop_signal;

pub use adapter::{EngineAdapter, EngineStream};
pub use attempt::{Attempt, AttemptId, Input, Sampling};
pub use error::{AdapterError, Cause, EngineText};
pub use event::{Channel, EngineEvent, Finish, FinishReason, Output, ToolCallPart};
pub use host::{AdapterHost, Binding, BoundStream, ReplicaKey, UnknownReplica};
pub use props::{EngineModel, Features, Needs, OutputSupport, Props, SamplingSupport, Workloads};
pub use stop_signal::StopSignal;
