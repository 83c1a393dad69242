use api_types::{InvalidField, Priority, SamplingRequest, TaskRequest};
use serde_json::Value;

use crate::{RequestProblem, fields::Fields};

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
pub struct RequestHeaders<'a> {
    pub priority: Option<&'a str>,
    pub session_id: Option<&'a str>,
    pub deadline_ms: Option<&'a str>,
}

/// A request, as a task and the form of its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct FacadeRequest {
    /// Checked; canceled with its last connection (ORCH-245).
    pub task: TaskRequest,
    pub options: AnswerOptions,
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnswerOptions {
    /// Chunks as they come, or one answer.
    pub stream: bool,
    /// A chunk with the usage before the end of the stream.
    pub include_usage: bool,
    /// Parameters that were given and have no effect, to be counted.
    pub ignored: Vec<&'static str>,
}

pub(crate) fn model(fields: &mut Fields) -> Result<String, RequestProblem> {
    let model = fields.string("model")?.filter(|model| !model.is_empty());
    model.ok_or_else(|| RequestProblem::param("model", "is required"))
}

pub(crate) fn sampling(fields: &mut Fields) -> Result<SamplingRequest, RequestProblem> {
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
pub(crate) fn same<T: PartialEq>(
    value: Option<T>,
    other: Option<T>,
    other_name: &str,
) -> Result<Option<T>, RequestProblem> {
    if value.is_some() && other.is_some() && value != other {
        return Err(RequestProblem::param(other_name, "differs from its other name; give one"));
    }
    Ok(value.or(other))
}

/// Some servers take -1 for off, which is 0 here.
fn top_k(fields: &mut Fields) -> Result<Option<u32>, RequestProblem> {
    match fields.take("top_k") {
        None => Ok(None),
        Some(value) if value.as_i64() == Some(-1) => Ok(Some(0)),
        Some(value) => {
            let top_k = value.as_u64().and_then(|top_k| u32::try_from(top_k).ok());
            top_k.map(Some).ok_or_else(|| fields.problem("top_k", "must be 0 to 1000000, or -1"))
        }
    }
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, RequestProblem> {
    let wrong = || RequestProblem::param("stop", "must be a string or a list of strings");
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

pub(crate) fn stream_options(fields: &mut Fields) -> Result<AnswerOptions, RequestProblem> {
    let stream = fields.boolean("stream")?;
    let mut options = AnswerOptions { stream, ..AnswerOptions::default() };
    if let Some(value) = fields.take("stream_options") {
        if !stream {
            return Err(RequestProblem::param("stream_options", "is for streams: set `stream`"));
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

pub(crate) fn priority(headers: &RequestHeaders<'_>) -> Result<Priority, RequestProblem> {
    match headers.priority {
        None | Some("interactive") => Ok(Priority::Interactive),
        Some("batch") => Ok(Priority::Batch),
        Some(_) => Err(RequestProblem::param(header::PRIORITY, "must be interactive or batch")),
    }
}

pub(crate) fn deadline_ms(headers: &RequestHeaders<'_>) -> Result<Option<u64>, RequestProblem> {
    if headers.session_id.is_some() {
        return Err(RequestProblem::param(header::SESSION_ID, "sessions are not served"));
    }
    let wrong = || RequestProblem::param(header::DEADLINE_MS, "must be whole milliseconds");
    headers.deadline_ms.map(|text| text.parse().map_err(|_not_a_number| wrong())).transpose()
}

/// A native field's problem under the name that the client used.
pub(crate) fn facade_problem(problem: &InvalidField, max_tokens: Option<u32>) -> RequestProblem {
    let name = problem.field.strip_prefix("sampling.").unwrap_or(&problem.field);
    let param = match name {
        "deadline_ms" => header::DEADLINE_MS,
        "max_tokens" if max_tokens.is_none() => "max_completion_tokens",
        "logprobs" => "top_logprobs",
        other => other,
    };
    RequestProblem::param(param, &problem.message)
}
