use std::pin::Pin;

use async_trait::async_trait;
use futures_core::Stream;

use crate::{AdapterError, Attempt, AttemptId, EngineEvent, Props};

/// What an engine sends for one attempt. After an error or [`EngineEvent::Finished`] the stream is over.
/// Dropping it aborts the attempt in the engine.
pub type EngineStream = Pin<Box<dyn Stream<Item = Result<EngineEvent, AdapterError>> + Send>>;

/// One engine, as the orchestrator needs it. Calls are bounded by connect and first-byte time-outs of
/// the adapter's own; how long an engine may stay silent while it generates is judged by the caller.
#[async_trait]
pub trait EngineAdapter: Send + Sync {
    /// Answers when the engine would accept work now.
    ///
    /// # Errors
    /// Whatever keeps the engine from answering.
    async fn health(&self) -> Result<(), AdapterError>;

    /// What the engine is and can do, asked of the engine where it can tell.
    ///
    /// # Errors
    /// Whatever keeps the engine from answering.
    async fn props(&self) -> Result<Props, AdapterError>;

    /// Starts an attempt. The future resolves once the engine has accepted it, or with the reason why
    /// it did not; generation is in the stream.
    ///
    /// # Errors
    /// [`AdapterError::cause`] says whether the task or the engine is at fault.
    async fn submit(&self, attempt: Attempt) -> Result<EngineStream, AdapterError>;

    /// Stops an attempt, whoever holds its stream: they are woken, and polled then, or dropped, it lets go of
    /// all that it holds. Resolves when the engine has confirmed that the
    /// attempt's slot is free; an unknown attempt is already free.
    ///
    /// # Errors
    /// The engine could not be told, or did not confirm.
    async fn abort(&self, attempt: AttemptId) -> Result<(), AdapterError>;
}
