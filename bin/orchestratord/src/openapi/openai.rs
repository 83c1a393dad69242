//! Schemas of the OpenAI facade. The daemon reads and writes these objects by hand (`openai-facade`), so
//! that null counts as absent and each refusal names its parameter; here is what they look like.

use api_types::{Content, ResponseFormat, Tool, ToolCall, ToolChoice};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::{
        ObjectBuilder,
        schema::{ArrayBuilder, OneOfBuilder, Schema, Type},
    },
};

use super::examples::{MODEL, TASK_ID};

/// The request of `POST /v1/chat/completions`, in OpenAI's words. Every parameter that is listed takes effect,
/// but for those that change no answer (`metadata`, `store`, `user`, …). One that would change the answer and
/// is not served is refused by name, and so is one that is unknown, or that no pool of the model declares
/// (`tools`, `n` above 1, `logprobs`, `response_format`, images). A null counts as absent.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChatCompletionRequest {
    /// A model's alias or catalog id, see `GET /v1/models`.
    #[schema(min_length = 1)]
    pub(crate) model: String,
    #[schema(min_items = 1, max_items = 4096)]
    pub(crate) messages: Vec<ChatMessage>,
    /// Most tokens to generate.
    #[schema(minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_completion_tokens: Option<u32>,
    /// The older name of `max_completion_tokens`; where both are given they must be equal.
    #[schema(minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_tokens: Option<u32>,
    #[schema(minimum = 0, maximum = 2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f32>,
    #[schema(exclusive_minimum = 0, maximum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_p: Option<f32>,
    #[schema(maximum = 1_000_000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_k: Option<u32>,
    #[schema(minimum = 0, maximum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_p: Option<f32>,
    #[schema(exclusive_minimum = 0, maximum = 2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repeat_penalty: Option<f32>,
    /// Another name of `repeat_penalty`; where both are given they must be equal.
    #[schema(exclusive_minimum = 0, maximum = 2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repetition_penalty: Option<f32>,
    #[schema(minimum = -2, maximum = 2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) presence_penalty: Option<f32>,
    #[schema(minimum = -2, maximum = 2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frequency_penalty: Option<f32>,
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// One string, or up to 16.
    #[schema(value_type = Option<OneOrMore>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop: Option<OneOrMore>,
    /// Chunks as they come, in place of one answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream_options: Option<StreamOptions>,
    /// Answers to give.
    #[schema(minimum = 1, maximum = 16)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) n: Option<u16>,
    /// Tell each token's log probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logprobs: Option<bool>,
    /// Alternatives to each token; with `logprobs` only.
    #[schema(maximum = 20)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_format: Option<ResponseFormat>,
    #[schema(max_items = 128)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tools: Option<Vec<Tool>>,
    /// With `tools` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_choice: Option<ToolChoice>,
    /// Whether one answer may call several tools; means nothing without `tools`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parallel_tool_calls: Option<bool>,
}

/// The request of `POST /v1/completions`, in OpenAI's words; as with chats, nothing that would change the
/// answer is ignored.
#[derive(Serialize, ToSchema)]
pub(crate) struct CompletionRequest {
    #[schema(min_length = 1)]
    pub(crate) model: String,
    pub(crate) prompt: String,
    /// Most tokens to generate; 16 where left out.
    #[schema(minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_tokens: Option<u32>,
    #[schema(minimum = 0, maximum = 2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f32>,
    #[schema(exclusive_minimum = 0, maximum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_p: Option<f32>,
    #[schema(maximum = 1_000_000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_k: Option<u32>,
    #[schema(minimum = 0, maximum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_p: Option<f32>,
    #[schema(exclusive_minimum = 0, maximum = 2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repeat_penalty: Option<f32>,
    /// Another name of `repeat_penalty`; where both are given they must be equal.
    #[schema(exclusive_minimum = 0, maximum = 2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repetition_penalty: Option<f32>,
    #[schema(minimum = -2, maximum = 2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) presence_penalty: Option<f32>,
    #[schema(minimum = -2, maximum = 2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frequency_penalty: Option<f32>,
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// One string, or up to 16.
    #[schema(value_type = Option<OneOrMore>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop: Option<OneOrMore>,
    /// Alternatives to each token, with the tokens' own log probabilities.
    #[schema(maximum = 5)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logprobs: Option<u32>,
    /// Answers to give.
    #[schema(minimum = 1, maximum = 16)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) n: Option<u16>,
    /// Chunks as they come, in place of one answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream_options: Option<StreamOptions>,
}

/// The request of `POST /v1/embeddings`, in OpenAI's words.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingsRequest {
    #[schema(min_length = 1)]
    pub(crate) model: String,
    /// One text, or up to 2048.
    pub(crate) input: OneOrMore,
    /// `float`, or `base64` of 32-bit floats in little-endian order.
    #[schema(pattern = "^(float|base64)$")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encoding_format: Option<String>,
}

/// OpenAI's `list` of embeddings.
#[derive(Serialize, ToSchema)]
pub(crate) struct Embeddings {
    /// Always `list`.
    pub(crate) object: String,
    pub(crate) data: Vec<EmbeddingEntry>,
    pub(crate) model: String,
    pub(crate) usage: EmbeddingUsage,
}

/// The embedding of one text.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingEntry {
    /// Always `embedding`.
    pub(crate) object: String,
    pub(crate) index: u32,
    #[schema(schema_with = vector)]
    pub(crate) embedding: Value,
}

/// By `encoding_format`.
fn vector() -> Schema {
    let numbers = ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::Number));
    let base64 = ObjectBuilder::new().schema_type(Type::String);
    let either = OneOfBuilder::new()
        .item(numbers)
        .item(base64)
        .description(Some("Numbers, or base64 of them as little-endian 32-bit floats."));
    Schema::OneOf(either.build())
}

/// Tokens read; 0 where the engine did not count.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingUsage {
    pub(crate) prompt_tokens: u64,
    pub(crate) total_tokens: u64,
}

/// OpenAI's `text_completion`.
#[derive(Serialize, ToSchema)]
pub(crate) struct TextCompletion {
    pub(crate) id: String,
    /// Always `text_completion`.
    pub(crate) object: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) choices: Vec<TextChoice>,
    #[schema(required)]
    pub(crate) usage: Option<OpenAiUsage>,
}

/// An answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct TextChoice {
    pub(crate) index: u32,
    pub(crate) text: String,
    /// Lists side by side, where they were asked for.
    #[schema(required, value_type = Option<Object>)]
    pub(crate) logprobs: Option<Value>,
    pub(crate) finish_reason: String,
}

/// One string or several.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// A message.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChatMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub(crate) role: String,
    /// A string, or parts; may be absent only where the message calls tools.
    #[schema(value_type = Option<Content>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<Content>,
    /// Calls that the model made in this message of the assistant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_calls: Option<Vec<ToolCall>>,
    /// The call that a message of role `tool` answers; required there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_call_id: Option<String>,
}

/// Taken with `stream` only.
#[derive(Serialize, ToSchema)]
pub(crate) struct StreamOptions {
    /// A chunk with the usage before the end.
    pub(crate) include_usage: bool,
}

/// OpenAI's `chat.completion`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChatCompletion {
    pub(crate) id: String,
    /// Always `chat.completion`.
    pub(crate) object: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) choices: Vec<ChatChoice>,
    #[schema(required)]
    pub(crate) usage: Option<OpenAiUsage>,
}

/// An answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChatChoice {
    pub(crate) index: u32,
    pub(crate) message: ChatAnswer,
    /// Where they were asked for.
    #[schema(required, value_type = Option<Object>)]
    pub(crate) logprobs: Option<Value>,
    pub(crate) finish_reason: String,
}

/// What the model said.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChatAnswer {
    /// Always `assistant`.
    pub(crate) role: String,
    /// Null where the answer is calls of tools and nothing else.
    #[schema(required)]
    pub(crate) content: Option<String>,
    /// What was called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ToolCall>,
    /// What a reasoning model thought before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_content: Option<String>,
    /// Always null.
    #[schema(required)]
    pub(crate) refusal: Option<String>,
}

/// Tokens used.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenAiUsage {
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) total_tokens: u64,
}

/// OpenAI's `list` of models.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelListSchema {
    /// Always `list`.
    pub(crate) object: String,
    pub(crate) data: Vec<ModelSchema>,
}

/// OpenAI's `model`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelSchema {
    /// What a request's `model` takes.
    pub(crate) id: String,
    /// Always `model`.
    pub(crate) object: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) owned_by: String,
}

pub(crate) fn chat_request() -> ChatCompletionRequest {
    ChatCompletionRequest {
        model: MODEL.to_owned(),
        messages: vec![ChatMessage {
            role: "user".to_owned(),
            content: Some(Content::Text("Name three colors.".to_owned())),
            tool_calls: None,
            tool_call_id: None,
        }],
        max_completion_tokens: Some(32),
        max_tokens: None,
        temperature: Some(0.5),
        top_p: None,
        top_k: None,
        min_p: None,
        repeat_penalty: None,
        repetition_penalty: None,
        presence_penalty: None,
        frequency_penalty: None,
        seed: None,
        stop: Some(OneOrMore::One("\n\n".to_owned())),
        stream: None,
        stream_options: None,
        n: None,
        logprobs: None,
        top_logprobs: None,
        response_format: None,
        tools: None,
        tool_choice: None,
        parallel_tool_calls: None,
    }
}

pub(crate) fn completion_request() -> CompletionRequest {
    CompletionRequest {
        model: MODEL.to_owned(),
        prompt: "Once upon a time".to_owned(),
        max_tokens: Some(8),
        temperature: Some(0.5),
        top_p: None,
        top_k: None,
        min_p: None,
        repeat_penalty: None,
        repetition_penalty: None,
        presence_penalty: None,
        frequency_penalty: None,
        seed: None,
        stop: None,
        logprobs: None,
        n: None,
        stream: None,
        stream_options: None,
    }
}

pub(crate) fn embeddings_request() -> EmbeddingsRequest {
    EmbeddingsRequest {
        model: MODEL.to_owned(),
        input: OneOrMore::One("Name three colors.".to_owned()),
        encoding_format: None,
    }
}

pub(crate) fn embeddings() -> Embeddings {
    Embeddings {
        object: "list".to_owned(),
        data: vec![EmbeddingEntry {
            object: "embedding".to_owned(),
            index: 0,
            embedding: json!([0.25, -0.5]),
        }],
        model: MODEL.to_owned(),
        usage: EmbeddingUsage { prompt_tokens: 4, total_tokens: 4 },
    }
}

pub(crate) fn text_completion() -> TextCompletion {
    TextCompletion {
        id: format!("cmpl-{}", TASK_ID.replace('-', "")),
        object: "text_completion".to_owned(),
        created: 1_795_262_400,
        model: MODEL.to_owned(),
        choices: vec![TextChoice {
            index: 0,
            text: " there was a fox.".to_owned(),
            logprobs: None,
            finish_reason: "stop".to_owned(),
        }],
        usage: Some(OpenAiUsage { prompt_tokens: 4, completion_tokens: 5, total_tokens: 9 }),
    }
}

/// A stream of a plain completion, as bytes on the wire.
pub(crate) fn text_chunks() -> String {
    let chunk = |text: &str, finish_reason: Option<&str>| {
        let choice =
            json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish_reason});
        let chunk = json!({
            "id": format!("cmpl-{}", TASK_ID.replace('-', "")),
            "object": "text_completion",
            "created": 1_795_262_400,
            "model": MODEL,
            "choices": [choice],
        });
        format!("data: {chunk}\n\n")
    };
    format!(": queued\n\n{}{}data: [DONE]\n\n", chunk(" there", None), chunk("", Some("stop")))
}

pub(crate) fn chat_stream_request() -> ChatCompletionRequest {
    ChatCompletionRequest {
        stop: Some(OneOrMore::More(vec!["\n\n".to_owned(), "END".to_owned()])),
        stream: Some(true),
        stream_options: Some(StreamOptions { include_usage: true }),
        ..chat_request()
    }
}

/// An error in OpenAI's shape, which `openai-facade` writes.
pub(crate) fn error_schema() -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    json!({
        "type": "object",
        "description": "An error in OpenAI's shape.",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": text("For people."),
                    "type": text("OpenAI's class of errors, which goes with the status."),
                    "param": {"type": ["string", "null"], "description": "The parameter at fault."},
                    "code": text(
                        "The native code, except `model_not_found`, `context_length_exceeded` and \
                         `content_filter`.",
                    ),
                },
            },
        },
    })
}

pub(crate) fn chat_completion() -> ChatCompletion {
    ChatCompletion {
        id: format!("chatcmpl-{}", TASK_ID.replace('-', "")),
        object: "chat.completion".to_owned(),
        created: 1_795_262_400,
        model: MODEL.to_owned(),
        choices: vec![ChatChoice {
            index: 0,
            message: ChatAnswer {
                role: "assistant".to_owned(),
                content: Some("Red, green and blue.".to_owned()),
                tool_calls: Vec::new(),
                reasoning_content: None,
                refusal: None,
            },
            logprobs: None,
            finish_reason: "stop".to_owned(),
        }],
        usage: Some(OpenAiUsage { prompt_tokens: 13, completion_tokens: 6, total_tokens: 19 }),
    }
}

/// A stream of chunks, as bytes on the wire.
pub(crate) fn chat_chunks() -> String {
    let chunk = |delta: Value, finish_reason: Option<&str>| {
        let choice =
            json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        let chunk = json!({
            "id": format!("chatcmpl-{}", TASK_ID.replace('-', "")),
            "object": "chat.completion.chunk",
            "created": 1_795_262_400,
            "model": MODEL,
            "choices": [choice],
        });
        format!("data: {chunk}\n\n")
    };
    let role = chunk(json!({"role": "assistant", "content": ""}), None);
    let text = chunk(json!({"content": "Red"}), None);
    let end = chunk(json!({}), Some("stop"));
    format!(": queued\n\n{role}{text}{end}data: [DONE]\n\n")
}

pub(crate) fn model() -> ModelSchema {
    ModelSchema {
        id: MODEL.to_owned(),
        object: "model".to_owned(),
        created: 1_795_262_400,
        owned_by: "local".to_owned(),
    }
}

pub(crate) fn models() -> ModelListSchema {
    ModelListSchema { object: "list".to_owned(), data: vec![model()] }
}
