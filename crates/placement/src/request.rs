use std::sync::Arc;

use crate::{Continuation, Features, ReplicaKey, Wish, Workloads};

/// What a task asks of the replica that runs it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request {
    /// Catalog id.
    pub model: Arc<str>,
    /// The only engine to take, where it matters.
    pub engine: Option<Arc<str>>,
    /// The only version of the engine to take, where it matters.
    pub engine_version: Option<Arc<str>>,
    /// The only sampler profile to take, where it matters.
    pub sampler_profile: Option<Arc<str>>,
    pub workload: Workloads,
    pub features: Features,
    /// Tokens of prompt and answer together, where they are known.
    pub ctx_tokens: Option<u64>,
    /// Whether the project must have verified the model's digest itself.
    pub needs_verified: bool,
    /// Once something of its answer was shown, what it takes to go on with it: it goes only to a pool that is
    /// so, as long as a replica of one did not fail for good.
    pub goes_on: Option<Continuation>,
    /// Whether nothing else may run on its replica.
    pub alone: bool,
    /// What the client wants.
    pub wish: Wish,
    /// Replicas that failed the task: not taken while another is open for it, be it busy now.
    pub failed_on: Vec<ReplicaKey>,
    /// The replica that served it, or its session, last: taken again under `session-sticky`.
    pub last: Option<ReplicaKey>,
}

impl Request {
    /// A task that asks for nothing but its model.
    #[must_use]
    pub fn new(model: impl Into<Arc<str>>) -> Self {
        Self {
            model: model.into(),
            engine: None,
            engine_version: None,
            sampler_profile: None,
            workload: Workloads::DEFAULT,
            features: Features::default(),
            ctx_tokens: None,
            needs_verified: false,
            goes_on: None,
            alone: false,
            wish: Wish::default(),
            failed_on: Vec::new(),
            last: None,
        }
    }
}
