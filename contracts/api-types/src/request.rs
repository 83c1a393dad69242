use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Bounds of a request that no configuration changes (ORCH-276).
pub mod limits {
    /// Text of `prompt` or of all `messages`, in bytes.
    pub const PROMPT_BYTES_MAX: usize = 2 * 1024 * 1024;
    /// Entries of `sampling.stop`.
    pub const STOP_MAX: usize = 16;
    /// Bytes of one stop string.
    pub const STOP_BYTES_MAX: usize = 256;
    /// Keys of `metadata`.
    pub const METADATA_KEYS_MAX: usize = 16;
    /// Bytes of one metadata key or value.
    pub const METADATA_BYTES_MAX: usize = 512;
    /// Characters of ids and of `client_ref`.
    pub const ID_CHARS_MAX: usize = 128;
    /// Messages of a conversation.
    pub const MESSAGES_MAX: usize = 4096;
}

/// Fields of ORCH-022 that this build does not serve: they are refused by name, never ignored.
const NOT_SERVED: [&str; 16] = [
    "inputs",
    "query",
    "engine",
    "expected_tokens",
    "ctx",
    "session_id",
    "sampler_profile_version",
    "tools",
    "tool_choice",
    "response_format",
    "logprobs",
    "kv_hint",
    "placement",
    "store_transcript",
    "guard",
    "images",
];

/// The body of `POST /v2/tasks` (ORCH-022).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskRequest {
    /// Text to complete. Exactly one of `prompt` and `messages` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// A conversation, rendered with the model's own template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 4096))]
    pub messages: Option<Vec<MessageRequest>>,
    /// An alias or a catalog id; may be left out where a default model is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_ref: Option<String>,
    #[serde(default)]
    pub workload: Workload,
    #[serde(default)]
    pub priority: Priority,
    /// Most tokens to generate; the model's configured default where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub max_tokens: Option<u32>,
    /// Counted from admission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 31622400000_i64))]
    pub deadline_ms: Option<u64>,
    #[serde(default, deserialize_with = "crate::parse::object")]
    pub sampling: SamplingRequest,
    #[serde(default)]
    pub determinism: Determinism,
    #[serde(default)]
    pub failover: Failover,
    /// Whether losing the last subscriber cancels the task.
    #[serde(default)]
    pub cancel_on_disconnect: bool,
    /// A name of the client's own, echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 128))]
    pub client_ref: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::schemas::metadata))]
    pub metadata: BTreeMap<String, String>,
    /// A label for whoever packages the answer, such as `text`, `json` or `edits`; kept as given, and without
    /// influence on what is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_mode: Option<String>,
}

/// What kind of work a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    #[default]
    Completion,
    Embedding,
    Rerank,
}

/// The class that a task queues in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    #[default]
    Interactive,
    Batch,
}

/// Whether equal requests must give equal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Determinism {
    Strict,
    #[default]
    BestEffort,
}

/// What becomes of a task whose worker is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Failover {
    #[default]
    Auto,
    Off,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MessageRequest {
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 128))]
    pub role: String,
    pub content: Content,
}

/// The content of a message: a string, or text parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(
    untagged,
    expecting = "content is a string or a list of parts {\"type\": \"text\", \"text\": …}"
)]
pub enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ContentPart {
    Text { text: String },
}

impl Content {
    /// The text, parts joined without anything between them.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => {
                parts.iter().map(|ContentPart::Text { text }| text.as_str()).collect()
            }
        }
    }

    /// Length of [`Self::text`].
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Parts(parts) => parts.iter().map(|ContentPart::Text { text }| text.len()).sum(),
        }
    }
}

/// How tokens are drawn; what is left out takes the model's default (ORCH-023).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SamplingRequest {
    /// 0 to 2; 0 is greedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 2))]
    pub temperature: Option<f32>,
    /// Above 0, at most 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(exclusive_minimum = 0, maximum = 1))]
    pub top_p: Option<f32>,
    /// 0 (off) to 1,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 1_000_000))]
    pub top_k: Option<u32>,
    /// 0 (off) to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 1))]
    pub min_p: Option<f32>,
    /// Above 0, at most 10; 1 is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(exclusive_minimum = 0, maximum = 10))]
    pub repeat_penalty: Option<f32>,
    /// -2 to 2; 0 is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = -2, maximum = 2))]
    pub presence_penalty: Option<f32>,
    /// -2 to 2; 0 is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = -2, maximum = 2))]
    pub frequency_penalty: Option<f32>,
    /// Chosen by the daemon where left out, and shown in `started`. At most 2^53 - 1, so that every
    /// JSON reader keeps it exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 9_007_199_254_740_991_i64))]
    pub seed: Option<u64>,
    /// At most 16 strings of 1 to 256 bytes; generation ends before the first one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::schemas::stop))]
    pub stop: Vec<String>,
}

/// A value that the route does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {message}")]
pub struct InvalidField {
    /// Path such as `sampling.stop[2]`.
    pub field: String,
    /// What is allowed.
    pub message: String,
}

impl InvalidField {
    /// A problem with `field`.
    #[must_use]
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl TaskRequest {
    /// Whether `name` is a field of the API that this build does not serve yet.
    #[must_use]
    pub fn is_unserved_field(name: &str) -> bool {
        NOT_SERVED.contains(&name)
    }

    /// Checks every range and contradiction that needs nothing but the request.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn validate(&self) -> Result<(), InvalidField> {
        let text_bytes = match (&self.prompt, &self.messages) {
            (Some(prompt), None) => prompt.len(),
            (None, Some(messages)) => validate_messages(messages)?,
            (Some(_), Some(_)) => {
                return Err(InvalidField::new("messages", "give `prompt` or `messages`, not both"));
            }
            (None, None) => {
                return Err(InvalidField::new(
                    "prompt",
                    "one of `prompt` and `messages` is required",
                ));
            }
        };
        let text_field = if self.prompt.is_some() { "prompt" } else { "messages" };
        check(text_bytes <= limits::PROMPT_BYTES_MAX, text_field, "at most 2 MiB of text")?;
        check(self.max_tokens != Some(0), "max_tokens", "at least 1")?;
        check(self.deadline_ms != Some(0), "deadline_ms", "at least 1")?;
        check(self.deadline_ms.is_none_or(|ms| ms <= YEAR_MS), "deadline_ms", "at most a year")?;
        if let Some(output_mode) = &self.output_mode {
            let fits = output_mode.chars().count() <= limits::ID_CHARS_MAX;
            check(fits, "output_mode", "up to 128 characters")?;
        }
        if let Some(client_ref) = &self.client_ref {
            let fits = !client_ref.is_empty() && client_ref.chars().count() <= limits::ID_CHARS_MAX;
            check(fits, "client_ref", "1 to 128 characters")?;
        }
        check(self.metadata.len() <= limits::METADATA_KEYS_MAX, "metadata", "at most 16 keys")?;
        for (key, value) in &self.metadata {
            let fits = !key.is_empty()
                && key.len() <= limits::METADATA_BYTES_MAX
                && value.len() <= limits::METADATA_BYTES_MAX;
            check(fits, &format!("metadata.{key}"), "keys and values of at most 512 bytes")?;
        }
        self.sampling.validate()
    }
}

/// Longest deadline, so that sums of instants never overflow.
const YEAR_MS: u64 = 366 * 24 * 3600 * 1000;

fn validate_messages(messages: &[MessageRequest]) -> Result<usize, InvalidField> {
    check(!messages.is_empty(), "messages", "at least one message")?;
    check(messages.len() <= limits::MESSAGES_MAX, "messages", "at most 4096 messages")?;
    let mut bytes = 0;
    for (index, message) in messages.iter().enumerate() {
        let role_fits = !message.role.is_empty() && message.role.len() <= limits::ID_CHARS_MAX;
        check(role_fits, &format!("messages[{index}].role"), "1 to 128 bytes")?;
        bytes += message.role.len() + message.content.text_bytes();
    }
    Ok(bytes)
}

impl SamplingRequest {
    fn validate(&self) -> Result<(), InvalidField> {
        let within = |value: Option<f32>, low: f32, high: f32| {
            value.is_none_or(|value| (low..=high).contains(&value))
        };
        let above_zero = |value: Option<f32>| value.is_none_or(|value| value > 0.0);
        check(within(self.temperature, 0.0, 2.0), "sampling.temperature", "0 to 2")?;
        let top_p_fits = within(self.top_p, 0.0, 1.0) && above_zero(self.top_p);
        check(top_p_fits, "sampling.top_p", "above 0, at most 1")?;
        check(self.top_k.is_none_or(|k| k <= 1_000_000), "sampling.top_k", "0 to 1000000")?;
        check(within(self.min_p, 0.0, 1.0), "sampling.min_p", "0 to 1")?;
        let repeat_fits = within(self.repeat_penalty, 0.0, 10.0) && above_zero(self.repeat_penalty);
        check(repeat_fits, "sampling.repeat_penalty", "above 0, at most 10")?;
        check(within(self.presence_penalty, -2.0, 2.0), "sampling.presence_penalty", "-2 to 2")?;
        check(within(self.frequency_penalty, -2.0, 2.0), "sampling.frequency_penalty", "-2 to 2")?;
        check(self.seed.is_none_or(|seed| seed < 1 << 53), "sampling.seed", "0 to 2^53 - 1")?;
        check(self.stop.len() <= limits::STOP_MAX, "sampling.stop", "at most 16 strings")?;
        for (index, stop) in self.stop.iter().enumerate() {
            let fits = !stop.is_empty() && stop.len() <= limits::STOP_BYTES_MAX;
            check(fits, &format!("sampling.stop[{index}]"), "1 to 256 bytes")?;
        }
        Ok(())
    }
}

fn check(fits: bool, field: &str, allowed: &str) -> Result<(), InvalidField> {
    if fits { Ok(()) } else { Err(InvalidField::new(field, format!("allowed: {allowed}"))) }
}
