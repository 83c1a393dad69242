use std::ops::RangeInclusive;

use adapter_host::{Attempt, Input};
use api_types::{OutputRequest, ResponseFormat, Tool, ToolChoice};
use serde::Serialize;

use crate::{OpenAiConfig, SamplingDialect, message::Message, model_list::is_model_name};

const ROLE_BYTES_MAX: usize = 64;

/// A generation request: every field that is ever sent.
#[derive(Debug, Serialize)]
pub(crate) struct Request<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Message<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    stream: bool,
    stream_options: StreamOptions,
    max_tokens: u32,
    temperature: f32,
    top_p: f32,
    presence_penalty: f32,
    frequency_penalty: f32,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Logprobs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'a ResponseFormat>,
    #[serde(skip_serializing_if = "<[Tool]>::is_empty")]
    tools: &'a [Tool],
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'a ToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
}

/// Chats ask with yes and a number beside it, plain completions with the number.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Logprobs {
    Wanted(bool),
    Top(u32),
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// An attempt that this adapter cannot put into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotSendable {
    #[error("it starts from token ids or accepted ids, which the protocol does not take")]
    TokenIds,
    #[error("`{0}` is out of range")]
    OutOfRange(&'static str),
    #[error("it asks for `{0}`, which this engine does not take")]
    Unsupported(&'static str),
}

impl<'a> Request<'a> {
    pub(crate) fn new(attempt: &'a Attempt, config: &OpenAiConfig) -> Result<Self, NotSendable> {
        if !attempt.accepted.is_empty() {
            return Err(NotSendable::TokenIds);
        }
        let (messages, prompt) = match &attempt.input {
            Input::Tokens(_) => return Err(NotSendable::TokenIds),
            Input::Messages(messages) => (Some(messages), None),
            Input::Text(text) => (None, Some(&**text)),
            Input::Texts(_) => return Err(NotSendable::Unsupported("inputs")),
        };
        for message in messages.into_iter().flat_map(|messages| messages.iter()) {
            check("messages", (1..=ROLE_BYTES_MAX).contains(&message.role.len()))?;
            unless_asked("messages", config.output.images || message.images() == 0)?;
            let has_calls = !message.tool_calls.is_empty() || message.tool_call_id.is_some();
            unless_asked("messages", config.output.tools || !has_calls)?;
        }
        check_output(&attempt.output, config)?;
        let messages = messages.map(|messages| messages.iter().map(Message::of).collect());
        check("model", is_model_name(&attempt.model))?;
        check("max_tokens", attempt.max_tokens > 0)?;

        let sampling = &attempt.sampling;
        within("temperature", sampling.temperature, 0.0..=2.0)?;
        within("top_p", sampling.top_p, f32::MIN_POSITIVE..=1.0)?;
        within("presence_penalty", sampling.presence_penalty, -2.0..=2.0)?;
        within("frequency_penalty", sampling.frequency_penalty, -2.0..=2.0)?;
        within("min_p", sampling.min_p, 0.0..=1.0)?;
        within("repeat_penalty", sampling.repeat_penalty, f32::MIN_POSITIVE..=f32::MAX)?;

        let mut request = Self {
            model: &attempt.model,
            messages,
            prompt,
            stream: true,
            stream_options: StreamOptions { include_usage: true },
            max_tokens: attempt.max_tokens,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            presence_penalty: sampling.presence_penalty,
            frequency_penalty: sampling.frequency_penalty,
            // Engines read it as a signed number of 64 bits.
            seed: sampling.seed & (u64::MAX >> 1),
            top_k: None,
            min_p: None,
            repetition_penalty: None,
            repeat_penalty: None,
            n: attempt.output.n,
            logprobs: None,
            top_logprobs: None,
            response_format: attempt.output.response_format.as_ref(),
            tools: &attempt.output.tools,
            tool_choice: attempt.output.tool_choice.as_ref(),
            parallel_tool_calls: attempt.output.parallel_tool_calls,
        };
        if let Some(top) = attempt.output.logprobs {
            let is_chat = request.messages.is_some();
            request.logprobs =
                Some(if is_chat { Logprobs::Wanted(true) } else { Logprobs::Top(top) });
            request.top_logprobs = is_chat.then_some(top);
        }
        // Neutral values are sent too where they are taken: engines have defaults of their own, such as
        // a top_k of 40 in llama.cpp, or those in a model's generation_config.json in vLLM.
        match config.dialect {
            SamplingDialect::Standard => {
                unless_asked("top_k", sampling.top_k == 0)?;
                unless_asked("min_p", sampling.min_p == 0.0)?;
                unless_asked(
                    "repeat_penalty",
                    (sampling.repeat_penalty - 1.0).abs() < f32::EPSILON,
                )?;
            }
            SamplingDialect::Vllm => {
                request.top_k = Some(if sampling.top_k == 0 { -1 } else { sampling.top_k.into() });
                request.min_p = Some(sampling.min_p);
                request.repetition_penalty = Some(sampling.repeat_penalty);
            }
            SamplingDialect::LlamaCpp => {
                request.top_k = Some(sampling.top_k.into());
                request.min_p = Some(sampling.min_p);
                request.repeat_penalty = Some(sampling.repeat_penalty);
            }
        }
        Ok(request)
    }

    /// Where the request goes, below the base address.
    pub(crate) fn path(&self) -> &'static str {
        if self.messages.is_some() { "/chat/completions" } else { "/completions" }
    }
}

/// What the configuration does not say that the server takes is never sent.
fn check_output(output: &OutputRequest, config: &OpenAiConfig) -> Result<(), NotSendable> {
    let has = &config.output;
    check("n", output.choices() > 0)?;
    unless_asked("n", has.choices || output.choices() == 1)?;
    unless_asked("logprobs", has.logprobs || output.logprobs.is_none())?;
    unless_asked("tools", has.tools || output.tools.is_empty())?;
    let takes_format = match &output.response_format {
        None | Some(ResponseFormat::Text) => true,
        Some(ResponseFormat::JsonObject) => has.json_object,
        Some(ResponseFormat::JsonSchema { .. }) => has.json_schema,
    };
    unless_asked("response_format", takes_format)
}

fn check(field: &'static str, is_in_range: bool) -> Result<(), NotSendable> {
    if is_in_range { Ok(()) } else { Err(NotSendable::OutOfRange(field)) }
}

fn within(field: &'static str, value: f32, range: RangeInclusive<f32>) -> Result<(), NotSendable> {
    check(field, range.contains(&value))
}

fn unless_asked(field: &'static str, is_neutral: bool) -> Result<(), NotSendable> {
    if is_neutral { Ok(()) } else { Err(NotSendable::Unsupported(field)) }
}
