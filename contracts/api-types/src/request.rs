use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{OutputRequest, PlacementRequest, ResponseFormat, Tool, ToolCall, ToolChoice};

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
    /// Texts of one embedding request.
    pub const INPUTS_MAX: usize = 2048;
}

/// Fields of ORCH-022 that this build does not serve: they are refused by name, never ignored.
const NOT_SERVED: [&str; 8] =
    ["query", "engine", "ctx", "session_id", "kv_hint", "store_transcript", "guard", "images"];

/// Fields of `sampling`, which other APIs have beside the prompt.
const OF_SAMPLING: [&str; 9] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
];

/// The body of `POST /v2/tasks` (ORCH-022).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskRequest {
    /// Text to complete. Exactly one of `prompt`, `messages` and `inputs` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// A conversation, rendered with the model's own template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 4096))]
    pub messages: Option<Vec<MessageRequest>>,
    /// Texts to embed, for `workload` embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 2048))]
    pub inputs: Option<Vec<String>>,
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
    /// Tokens that the answer should have; only predictions use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub expected_tokens: Option<u32>,
    /// Counted from admission. Refused where it can be foreseen that it will not be met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 31622400000_i64))]
    pub deadline_ms: Option<u64>,
    #[serde(default, deserialize_with = "crate::parse::object")]
    pub sampling: SamplingRequest,
    /// Answers to give, 1 to 16; one where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 16))]
    pub n: Option<u16>,
    /// Tell each token's log probability, and so many of the likeliest alternatives, 0 to 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 20))]
    pub logprobs: Option<u32>,
    /// The form that the answer must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// Functions that the model may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 128))]
    pub tools: Vec<Tool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Whether the model may call several tools at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    #[serde(default)]
    pub determinism: Determinism,
    #[serde(default)]
    pub failover: Failover,
    /// Where the task is to run.
    #[serde(
        default,
        deserialize_with = "crate::parse::object",
        skip_serializing_if = "PlacementRequest::is_default"
    )]
    pub placement: PlacementRequest,
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
    /// The only sampler profile to draw tokens by, as the configuration names those of pools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 128))]
    pub sampler_profile_version: Option<String>,
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

impl Priority {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Batch => "batch",
        }
    }
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
    /// May be absent only where the message calls tools.
    #[serde(default)]
    pub content: Content,
    /// Calls that the model made in this message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call that a message of role `tool` answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 128))]
    pub tool_call_id: Option<String>,
}

/// The content of a message: a string, or parts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(
    untagged,
    expecting = "content is a string or a list of parts {\"type\": \"text\", \"text\": …} and \
                 {\"type\": \"image_url\", \"image_url\": {\"url\": \"data:…\"}}"
)]
pub enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
    /// Null or left out.
    #[default]
    Absent,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ContentPart {
    Text { text: String },
    ImageUrl { image_url: ImageUrl },
}

/// An image in a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImageUrl {
    /// `data:image/png;base64,…`, or of another type of image; no address is ever fetched.
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<ImageDetail>,
}

/// How closely the model looks at an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ImageDetail {
    Auto,
    Low,
    High,
}

impl MessageRequest {
    /// A message of plain text.
    #[must_use]
    pub fn text(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(role, Content::Text(text.into()))
    }

    /// A message without calls of tools.
    #[must_use]
    pub fn new(role: impl Into<String>, content: Content) -> Self {
        Self { role: role.into(), content, tool_calls: Vec::new(), tool_call_id: None }
    }

    /// Images in it.
    #[must_use]
    pub fn images(&self) -> u32 {
        let Content::Parts(parts) = &self.content else { return 0 };
        let is_image = |part: &&ContentPart| matches!(part, ContentPart::ImageUrl { .. });
        u32::try_from(parts.iter().filter(is_image).count()).unwrap_or(u32::MAX)
    }

    /// Bytes that it holds, images included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let image = |part: &ContentPart| match part {
            ContentPart::Text { .. } => 0,
            ContentPart::ImageUrl { image_url } => image_url.url.len(),
        };
        let images: usize = match &self.content {
            Content::Parts(parts) => parts.iter().map(image).sum(),
            Content::Text(_) | Content::Absent => 0,
        };
        self.text_bytes() + images
    }

    fn text_bytes(&self) -> usize {
        let call = |call: &ToolCall| {
            call.id.len() + call.function.name.len() + call.function.arguments.len()
        };
        self.role.len()
            + self.content.text_bytes()
            + self.tool_calls.iter().map(call).sum::<usize>()
    }

    fn uses_tools(&self) -> bool {
        !self.tool_calls.is_empty() || self.tool_call_id.is_some()
    }
}

impl Content {
    /// The text, parts joined without anything between them, images left out.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts.iter().filter_map(ContentPart::text).collect(),
            Self::Absent => String::new(),
        }
    }

    /// Length of [`Self::text`].
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Parts(parts) => parts.iter().filter_map(ContentPart::text).map(str::len).sum(),
            Self::Absent => 0,
        }
    }
}

impl ContentPart {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text } => Some(text),
            Self::ImageUrl { .. } => None,
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

    /// Whether `name` is a field of `sampling`.
    #[must_use]
    pub fn is_sampling_field(name: &str) -> bool {
        OF_SAMPLING.contains(&name)
    }

    /// Checks every range and contradiction that needs nothing but the request.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn validate(&self) -> Result<(), InvalidField> {
        match self.workload {
            Workload::Completion => self.validate_completion()?,
            Workload::Embedding => self.validate_embedding()?,
            Workload::Rerank => {
                return Err(InvalidField::new("workload", "allowed: completion, embedding"));
            }
        }
        check(self.max_tokens != Some(0), "max_tokens", "at least 1")?;
        check(self.expected_tokens != Some(0), "expected_tokens", "at least 1")?;
        check(self.deadline_ms != Some(0), "deadline_ms", "at least 1")?;
        check(self.deadline_ms.is_none_or(|ms| ms <= YEAR_MS), "deadline_ms", "at most a year")?;
        if let Some(output_mode) = &self.output_mode {
            let fits = output_mode.chars().count() <= limits::ID_CHARS_MAX;
            check(fits, "output_mode", "up to 128 characters")?;
        }
        if let Some(profile) = &self.sampler_profile_version {
            let fits = !profile.is_empty() && profile.chars().count() <= limits::ID_CHARS_MAX;
            check(fits, "sampler_profile_version", "1 to 128 characters")?;
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
        self.placement.validate()?;
        self.sampling.validate()
    }

    fn validate_completion(&self) -> Result<(), InvalidField> {
        check(self.inputs.is_none(), "inputs", "only with `workload` embedding")?;
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
        self.output().validate()?;
        check(self.tools.is_empty() || self.messages.is_some(), "tools", "only with `messages`")
    }

    fn validate_embedding(&self) -> Result<(), InvalidField> {
        let only = |is_absent: bool, field: &str| check(is_absent, field, "not for embeddings");
        only(self.prompt.is_none(), "prompt")?;
        only(self.messages.is_none(), "messages")?;
        only(self.max_tokens.is_none(), "max_tokens")?;
        only(self.sampling == SamplingRequest::default(), "sampling")?;
        only(self.n.is_none(), "n")?;
        only(self.logprobs.is_none(), "logprobs")?;
        only(self.response_format.is_none(), "response_format")?;
        only(self.tools.is_empty(), "tools")?;
        only(self.tool_choice.is_none(), "tool_choice")?;
        only(self.parallel_tool_calls.is_none(), "parallel_tool_calls")?;
        let inputs = self.inputs.as_deref().unwrap_or_default();
        check(!inputs.is_empty(), "inputs", "at least one text")?;
        check(inputs.len() <= limits::INPUTS_MAX, "inputs", "at most 2048 texts")?;
        for (index, input) in inputs.iter().enumerate() {
            check(!input.is_empty(), &format!("inputs[{index}]"), "text that is not empty")?;
        }
        let bytes = inputs.iter().map(String::len).sum::<usize>();
        check(bytes <= limits::PROMPT_BYTES_MAX, "inputs", "at most 2 MiB of text")
    }

    /// What the answer is to be beyond one plain text.
    #[must_use]
    pub fn output(&self) -> OutputRequest {
        OutputRequest {
            n: self.n,
            logprobs: self.logprobs,
            response_format: self.response_format.clone(),
            tools: self.tools.clone(),
            tool_choice: self.tool_choice.clone(),
            parallel_tool_calls: self.parallel_tool_calls,
        }
    }

    /// Images in its messages.
    #[must_use]
    pub fn images(&self) -> u32 {
        self.messages.iter().flatten().map(MessageRequest::images).fold(0, u32::saturating_add)
    }

    /// Whether its messages speak of calls of tools.
    #[must_use]
    pub fn has_tool_messages(&self) -> bool {
        self.messages.iter().flatten().any(MessageRequest::uses_tools)
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
        validate_content(message, &format!("messages[{index}]"))?;
        bytes += message.text_bytes();
    }
    Ok(bytes)
}

fn validate_content(message: &MessageRequest, path: &str) -> Result<(), InvalidField> {
    let has_content = message.content != Content::Absent || !message.tool_calls.is_empty();
    check(has_content, &format!("{path}.content"), "text; it is required")?;
    let id_fits = |id: &String| (1..=limits::ID_CHARS_MAX).contains(&id.len());
    let ids = message.tool_calls.iter().map(|call| &call.id);
    check(ids.clone().all(id_fits), &format!("{path}.tool_calls"), "ids of 1 to 128 bytes")?;
    let answered = message.tool_call_id.as_ref();
    check(answered.is_none_or(id_fits), &format!("{path}.tool_call_id"), "1 to 128 bytes")?;
    let Content::Parts(parts) = &message.content else { return Ok(()) };
    for (index, part) in parts.iter().enumerate() {
        if let ContentPart::ImageUrl { image_url } = part {
            let field = format!("{path}.content[{index}].image_url.url");
            check(is_image_data(&image_url.url), &field, IMAGE_ALLOWED)?;
        }
    }
    Ok(())
}

const IMAGE_ALLOWED: &str =
    "a base64 `data:` URL of type image/png, image/jpeg, image/webp or image/gif";

/// Whether it is a `data:` URL of an image (RFC 2397), in base64 with or without padding.
fn is_image_data(url: &str) -> bool {
    let types = ["image/png", "image/jpeg", "image/webp", "image/gif"];
    let Some((head, data)) = url.split_once(',') else { return false };
    let kind = head.strip_prefix("data:").and_then(|rest| rest.strip_suffix(";base64"));
    let digits = data.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    kind.is_some_and(|kind| types.contains(&kind))
        && data.len() - digits.len() <= 2
        && digits.len() % 4 != 1
        && !digits.is_empty()
        && digits.bytes().all(is_digit)
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

pub(crate) fn check(fits: bool, field: &str, allowed: &str) -> Result<(), InvalidField> {
    if fits { Ok(()) } else { Err(InvalidField::new(field, format!("allowed: {allowed}"))) }
}
