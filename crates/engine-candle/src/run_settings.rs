use serde::{Deserialize, Serialize};

/// Name of the order in which numbers are rounded and added up. It changes when a change of this crate
/// could change a bit of the logits or a draw of the sampler, and must change then.
pub const ARITHMETIC: &str = "q8-lanes16-1";

/// What is recorded with an attempt, as [`adapter_host::EngineEvent::Started`] carries it.
///
/// Only `arithmetic` must be the same for an attempt to be continued: logits depend neither on threads nor
/// on chunks nor on kernels. The others are there for whoever looks into a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSettings {
    /// [`ARITHMETIC`] of the engine that ran the attempt.
    pub arithmetic: String,
    /// Threads that computed.
    pub threads: usize,
    /// Prompt tokens read at once.
    pub prefill_chunk_tokens: usize,
    /// [`Kernels::name`](crate::Kernels::name).
    pub kernels: String,
}
