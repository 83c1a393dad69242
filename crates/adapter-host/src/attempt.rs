use std::{fmt, sync::Arc};

use api_types::{MessageRequest, OutputRequest};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Identity of one dispatch of a task to a replica. A UUIDv7, unique for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub Uuid);

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the engine starts from.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Token ids of the model's own vocabulary, template applied; for adapters with
    /// [`Features::token_ids`](crate::Features::token_ids).
    Tokens(Arc<[u32]>),
    /// A conversation that the engine renders itself.
    Messages(Arc<[MessageRequest]>),
    /// Plain text to complete.
    Text(Arc<str>),
    /// Texts to embed, for adapters that do this work
    /// ([`Workloads::embedding`](crate::Workloads::embedding)).
    Texts(Arc<[String]>),
}

/// Sampling parameters with defaults filled in. A value at its neutral point asks nothing of an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy. Range 0 to 2; default 1.
    pub temperature: f32,
    /// Nucleus: smallest set of tokens whose probabilities reach it. Range 0 (exclusive) to 1; neutral 1.
    pub top_p: f32,
    /// Only the k likeliest tokens; neutral 0.
    pub top_k: u32,
    /// Only tokens at least this fraction as likely as the likeliest. Range 0 to 1; neutral 0.
    pub min_p: f32,
    /// Divides (positive) or multiplies (negative) the logits of tokens already present. Neutral 1.
    pub repeat_penalty: f32,
    /// Subtracted once from the logit of a token already generated. Range -2 to 2; neutral 0.
    pub presence_penalty: f32,
    /// Subtracted from the logit of a token for each time it was generated. Range -2 to 2; neutral 0.
    pub frequency_penalty: f32,
    /// Seed of the sampler, chosen once per task.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repeat_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: 0,
        }
    }
}

/// One dispatch of a task, in the words of engines.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Key for [`EngineAdapter::abort`](crate::EngineAdapter::abort) and for logs.
    pub id: AttemptId,
    /// The engine's own name of the model.
    pub model: Arc<str>,
    /// Where generation starts.
    pub input: Input,
    /// Ids that earlier attempts accepted. An adapter with [`Features::replay`](crate::Features::replay)
    /// feeds them through decode one by one after the prompt, reports [`EngineEvent::Replayed`] for
    /// each, and goes on after them; others are never given any.
    ///
    /// [`EngineEvent::Replayed`]: crate::EngineEvent::Replayed
    pub accepted: Arc<[u32]>,
    /// Most tokens to generate, those in `accepted` included.
    pub max_tokens: u32,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// What the answer is to be beyond one plain text; nothing that the adapter does not declare
    /// ([`OutputSupport`](crate::OutputSupport)).
    pub output: OutputRequest,
    /// What an earlier attempt of this task recorded in [`EngineEvent::Started`] and needs again for
    /// equal arithmetic.
    ///
    /// [`EngineEvent::Started`]: crate::EngineEvent::Started
    pub run_settings: Option<serde_json::Value>,
    /// Sent to the engine as `X-Correlation-Id` where it takes headers.
    pub correlation_id: Arc<str>,
    /// Sent on as W3C `traceparent` where the engine takes headers.
    pub traceparent: Option<Arc<str>>,
}
