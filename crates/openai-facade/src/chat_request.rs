use std::fmt;

use api_types::{InvalidField, Priority, SamplingRequest, TaskRequest, parse_json};
use serde_json::{Map, Value};

use crate::{ChatProblem, fields::Fields, message};

/// Headers of a request that the facade reads besides the body.
pub mod header {
    /// `interactive` or `batch`.
    pub const PRIORITY: &str = "X-Priority";
    /// Sessions are not served yet: the header is refused.
    pub const SESSION_ID: &str = "X-Session-Id";
    /// Milliseconds from admission.
    pub const DEADLINE_MS: &str = "X-Deadline-Ms";
}

/// Values of the headers in [`header`], as given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChatHeaders<'a> {
    pub priority: Option<&'a str>,
    pub session_id: Option<&'a str>,
    pub deadline_ms: Option<&'a str>,
}

/// A chat completion request, as a task and the form of its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// Checked; canceled with its last connection (ORCH-245).
    pub task: TaskRequest,
    pub options: ChatOptions,
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChatOptions {
    /// Chunks as they come, or one answer.
    pub stream: bool,
    /// A chunk with the usage before the end of the stream.
    pub include_usage: bool,
    /// Parameters that were given and have no effect, to be counted.
    pub ignored: Vec<&'static str>,
}

/// Parameters that change no answer: they are for the provider's own books, caches and prices.
const HARMLESS: [&str; 8] = [
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
];

/// Parameters that would change the answer and are not served, with the one value of each that asks for
/// nothing.
const NOT_SERVED: [(&str, Neutral); 16] = [
    ("audio", Neutral::None),
    ("function_call", Neutral::Text("none")),
    ("functions", Neutral::Empty),
    ("logit_bias", Neutral::Empty),
    ("logprobs", Neutral::False),
    ("modalities", Neutral::TextList),
    ("n", Neutral::Number(1)),
    ("prediction", Neutral::None),
    ("reasoning_effort", Neutral::None),
    ("response_format", Neutral::TextFormat),
    ("tool_choice", Neutral::Text("none")),
    ("tools", Neutral::Empty),
    ("top_logprobs", Neutral::Number(0)),
    ("verbosity", Neutral::Text("medium")),
    ("web_search_options", Neutral::None),
    ("moderation", Neutral::None),
];

/// The value of a parameter that asks for what happens anyway.
#[derive(Debug, Clone, Copy)]
enum Neutral {
    None,
    False,
    Number(u64),
    Text(&'static str),
    /// An empty list or object.
    Empty,
    /// `["text"]`.
    TextList,
    /// `{"type": "text"}`.
    TextFormat,
}

/// Reads the body and headers of `POST /v1/chat/completions`.
///
/// # Errors
/// The first parameter that is missing, has a value that is not taken, is unknown, or would change the
/// answer and is not served.
pub fn parse_chat(body: &[u8], headers: &ChatHeaders<'_>) -> Result<ChatRequest, ChatProblem> {
    let mut fields = Fields::of_body(parse_json::<Map<String, Value>>(body)?);
    let model = fields.string("model")?.filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| ChatProblem::param("model", "is required"))?;
    let messages = fields.take("messages").ok_or_else(|| fields.problem("messages", "is required"));
    let messages = message::messages(messages?)?;
    let max_tokens = fields.unsigned_32("max_tokens")?;
    let max_completion_tokens = fields.unsigned_32("max_completion_tokens")?;
    let sampling = sampling(&mut fields)?;
    let mut options = stream_options(&mut fields)?;
    for (name, neutral) in NOT_SERVED {
        if fields.take(name).is_some_and(|value| !neutral.is(&value)) {
            return Err(ChatProblem::param(name, neutral.to_string()));
        }
    }
    options.ignored.extend(HARMLESS.iter().filter(|name| fields.take(name).is_some()));
    if let Some(name) = fields.next_left() {
        return Err(fields.problem(name, "is unknown; remove it"));
    }
    let task = TaskRequest {
        messages: Some(messages),
        model_ref: Some(model),
        priority: priority(headers)?,
        max_tokens: same(max_tokens, max_completion_tokens, "max_completion_tokens")?,
        deadline_ms: deadline_ms(headers)?,
        sampling,
        cancel_on_disconnect: true,
        ..TaskRequest::default()
    };
    task.validate().map_err(|problem| facade_problem(&problem, max_tokens))?;
    Ok(ChatRequest { task, options })
}

fn sampling(fields: &mut Fields) -> Result<SamplingRequest, ChatProblem> {
    let repeat_penalty = fields.number("repeat_penalty")?;
    let repetition_penalty = fields.number("repetition_penalty")?;
    Ok(SamplingRequest {
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        top_k: top_k(fields)?,
        min_p: fields.number("min_p")?,
        repeat_penalty: same(repeat_penalty, repetition_penalty, "repetition_penalty")?,
        presence_penalty: fields.number("presence_penalty")?,
        frequency_penalty: fields.number("frequency_penalty")?,
        seed: fields.unsigned("seed")?,
        stop: stop(fields)?,
    })
}

/// The one value of two names for one thing.
fn same<T: PartialEq>(
    value: Option<T>,
    other: Option<T>,
    other_name: &str,
) -> Result<Option<T>, ChatProblem> {
    if value.is_some() && other.is_some() && value != other {
        return Err(ChatProblem::param(other_name, "differs from its other name; give one"));
    }
    Ok(value.or(other))
}

/// Some servers take -1 for off, which is 0 here.
fn top_k(fields: &mut Fields) -> Result<Option<u32>, ChatProblem> {
    match fields.take("top_k") {
        None => Ok(None),
        Some(value) if value.as_i64() == Some(-1) => Ok(Some(0)),
        Some(value) => {
            let top_k = value.as_u64().and_then(|top_k| u32::try_from(top_k).ok());
            top_k.map(Some).ok_or_else(|| fields.problem("top_k", "must be 0 to 1000000, or -1"))
        }
    }
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, ChatProblem> {
    let wrong = || ChatProblem::param("stop", "must be a string or a list of strings");
    match fields.take("stop") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(texts)) => texts
            .into_iter()
            .map(|text| match text {
                Value::String(text) => Ok(text),
                _ => Err(wrong()),
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

fn stream_options(fields: &mut Fields) -> Result<ChatOptions, ChatProblem> {
    let stream = fields.boolean("stream")?;
    let mut options = ChatOptions { stream, ..ChatOptions::default() };
    if let Some(value) = fields.take("stream_options") {
        if !stream {
            return Err(ChatProblem::param("stream_options", "is for streams: set `stream`"));
        }
        let mut fields = Fields::of(value, "stream_options")?;
        options.include_usage = fields.boolean("include_usage")?;
        // Padding against measuring the length of chunks; there is none here either way.
        if fields.take("include_obfuscation").is_some() {
            options.ignored.push("stream_options.include_obfuscation");
        }
        if let Some(name) = fields.next_left() {
            return Err(fields.problem(name, "is unknown; remove it"));
        }
    }
    Ok(options)
}

fn priority(headers: &ChatHeaders<'_>) -> Result<Priority, ChatProblem> {
    match headers.priority {
        None | Some("interactive") => Ok(Priority::Interactive),
        Some("batch") => Ok(Priority::Batch),
        Some(_) => Err(ChatProblem::param(header::PRIORITY, "must be interactive or batch")),
    }
}

fn deadline_ms(headers: &ChatHeaders<'_>) -> Result<Option<u64>, ChatProblem> {
    if headers.session_id.is_some() {
        return Err(ChatProblem::param(header::SESSION_ID, "sessions are not served"));
    }
    let wrong = || ChatProblem::param(header::DEADLINE_MS, "must be whole milliseconds");
    headers.deadline_ms.map(|text| text.parse().map_err(|_not_a_number| wrong())).transpose()
}

/// A native field's problem under the name that the client used.
fn facade_problem(problem: &InvalidField, max_tokens: Option<u32>) -> ChatProblem {
    let name = problem.field.strip_prefix("sampling.").unwrap_or(&problem.field);
    let param = match name {
        "deadline_ms" => header::DEADLINE_MS,
        "max_tokens" if max_tokens.is_none() => "max_completion_tokens",
        other => other,
    };
    ChatProblem::param(param, &problem.message)
}

impl Neutral {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::None => false,
            Self::False => *value == Value::Bool(false),
            Self::Number(number) => value.as_u64() == Some(number),
            Self::Text(text) => value.as_str() == Some(text),
            Self::Empty => {
                value.as_array().is_some_and(Vec::is_empty)
                    || value.as_object().is_some_and(Map::is_empty)
            }
            Self::TextList => {
                value.as_array().is_some_and(|list| matches!(&list[..], [one] if one == "text"))
            }
            Self::TextFormat => value.as_object().is_some_and(|format| {
                format.len() == 1 && format.get("type").is_some_and(|kind| kind == "text")
            }),
        }
    }
}

impl fmt::Display for Neutral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not served; remove it")?;
        match self {
            Self::None => Ok(()),
            Self::False => f.write_str(" or give false"),
            Self::Number(number) => write!(f, " or give {number}"),
            Self::Text(text) => write!(f, " or give \"{text}\""),
            Self::Empty => f.write_str(" or leave it empty"),
            Self::TextList => f.write_str(" or give [\"text\"]"),
            Self::TextFormat => f.write_str(" or give {\"type\": \"text\"}"),
        }
    }
}
