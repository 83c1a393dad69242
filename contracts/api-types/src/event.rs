use serde::{Deserialize, Serialize};

use crate::{PreparationView, StepStatus};

/// Names of the events of a task's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    Started,
    Token,
    Metrics,
    End,
    Error,
}

impl EventKind {
    /// The name in the stream's `event:` line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Token => "token",
            Self::Metrics => "metrics",
            Self::End => "end",
            Self::Error => "error",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Token, Self::Started, Self::Metrics, Self::End, Self::Error]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// The first event of a task that got as far as an attempt (ORCH-074).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StartedEvent {
    pub task_id: String,
    /// The position last held in the queue.
    pub queue_position: u64,
    /// As given at admission; null when it was unknown.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub predicted_start_ms: Option<u64>,
    pub queue_time_ms: u64,
    pub model_ref: String,
    /// Null for models that only a remote engine holds.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub model_digest: Option<String>,
    pub engine: String,
    pub engine_version: String,
    pub pool_id: String,
    pub replica_id: String,
    pub seed: u64,
    pub kv_warmth: bool,
    pub correlation_id: String,
}

/// A piece of output (ORCH-075).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenEvent {
    /// Index of the first model token in this event, from 0 for each choice.
    pub i: u64,
    /// The text.
    pub t: String,
    /// Model tokens in this event; 0 where only held-back bytes are released, null where the engine's
    /// chunks are not tokens.
    #[serde(default = "one")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub n: Option<u32>,
    /// Which of several answers; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<u16>,
    /// `reasoning` or `tool`; absent for content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Which tool call `t` belongs to; on channel `tool`, where `t` is part of its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<ToolDelta>,
    /// One entry for each token, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<TokenLogprob>>,
}

/// The tool call that a piece of output belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolDelta {
    /// Number of the call in its answer, from 0.
    pub index: u32,
    /// In the first piece of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name of the function; in the first piece of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How likely a token was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenLogprob {
    pub token: String,
    pub logprob: f64,
    /// Its bytes, where they are told; tokens need not be whole characters.
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
    /// The likeliest tokens at this place.
    #[serde(default)]
    pub top_logprobs: Vec<Alternative>,
}

/// A token that could have stood there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alternative {
    pub token: String,
    pub logprob: f64,
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
}

#[expect(clippy::unnecessary_wraps, reason = "serde's default wants the field's type")]
fn one() -> Option<u32> {
    Some(1)
}

/// How the task stands; not stored, without id, may be dropped (ORCH-076).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct MetricsEvent<T = StepStatus> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_depth: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_warmth: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<PreparationView>))]
    pub preparation: Option<PreparationView<T>>,
    /// `{attempt, method}` when the task goes on elsewhere or after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<serde_json::Value>,
}

impl Default for MetricsEvent {
    fn default() -> Self {
        Self {
            queue_depth: None,
            queue_position: None,
            kv_warmth: None,
            preparation: None,
            failover: None,
        }
    }
}

/// The last event of a task that was not ended by an error (ORCH-077).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndEvent {
    /// `stop`, `length`, `canceled`, `budget`, `tool_calls` or `content_filter`.
    pub finish_reason: String,
    /// Null where the engine did not tell.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tokens_in: Option<u64>,
    /// Null where the engine did not tell.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tokens_out: Option<u64>,
    pub queue_time_ms: u64,
    /// From admission to the first token; null without one.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub first_token_ms: Option<u64>,
    pub decode_time_ms: u64,
    pub attempts: u32,
    /// Always false: KV state never moves between workers.
    pub kv_migrated: bool,
    /// One for each answer, where several were asked for; `finish_reason` is the first one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reasons: Option<Vec<String>>,
    /// What the task gave, for workloads other than completion: `{"embeddings": [[…]]}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
    /// Where a result over 256 KiB is to be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_url: Option<String>,
}
