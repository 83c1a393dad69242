use api_types::{TaskRequest, parse_json};
use serde_json::{Map, Value};

use crate::{
    FacadeRequest, RequestHeaders, RequestProblem,
    chat_request::HARMLESS,
    fields::Fields,
    neutral::{Neutral, refuse_unserved},
    parameters::COMPLETION_PARAMETERS,
    request::{deadline_ms, facade_problem, model, priority, sampling, stream_options},
};

/// Parameters that would change the answer and are not served. `best_of` above `n` would generate answers
/// that nobody sees.
const NOT_SERVED: [(&str, Neutral); 4] = [
    ("best_of", Neutral::Number(1)),
    ("echo", Neutral::False),
    ("logit_bias", Neutral::Empty),
    ("suffix", Neutral::Text("")),
];

/// Answer length where none is asked for: the official default of this route, in tokens.
const MAX_TOKENS_DEFAULT: u32 = 16;

/// Most alternatives of a token that this route gives.
const LOGPROBS_MAX: u32 = 5;

/// Reads the body and headers of `POST /v1/completions`. One prompt a request: a task has one prompt, and
/// a batch of them would have to be canceled, queued and answered as one.
///
/// # Errors
/// The first parameter that is missing, has a value that is not taken, is unknown, or would change the
/// answer and is not served.
pub fn parse_completion(
    body: &[u8],
    headers: &RequestHeaders<'_>,
) -> Result<FacadeRequest, RequestProblem> {
    let mut fields =
        Fields::of_body(parse_json::<Map<String, Value>>(body)?, &COMPLETION_PARAMETERS);
    let model = model(&mut fields)?;
    let prompt = prompt(&mut fields)?;
    let max_tokens = fields.unsigned_32("max_tokens")?;
    let sampling = sampling(&mut fields)?;
    let mut options = stream_options(&mut fields)?;
    let n = fields.unsigned_16("n")?;
    let logprobs = fields.unsigned_32("logprobs")?;
    if logprobs.is_some_and(|top| top > LOGPROBS_MAX) {
        return Err(fields.problem("logprobs", "must be 0 to 5"));
    }
    refuse_unserved(&mut fields, &NOT_SERVED)?;
    options
        .ignored
        .extend(HARMLESS.iter().filter(|name| fields.take_without_effect(name).is_some()));
    if let Some(name) = fields.next_left() {
        return Err(fields.problem(name, "is unknown; remove it"));
    }
    let task = TaskRequest {
        prompt: Some(prompt),
        model_ref: Some(model),
        priority: priority(headers)?,
        max_tokens: Some(max_tokens.unwrap_or(MAX_TOKENS_DEFAULT)),
        deadline_ms: deadline_ms(headers)?,
        sampling,
        n: n.filter(|n| *n != 1),
        logprobs,
        cancel_on_disconnect: true,
        ..TaskRequest::default()
    };
    task.validate().map_err(|problem| facade_problem(&problem, task.max_tokens))?;
    Ok(FacadeRequest { task, options })
}

fn prompt(fields: &mut Fields) -> Result<String, RequestProblem> {
    let wrong = |message: &str| Err(RequestProblem::param("prompt", message));
    match fields.take("prompt") {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(mut texts)) => match (texts.len(), texts.pop()) {
            (1, Some(Value::String(text))) => Ok(text),
            (_, Some(Value::String(_))) => wrong("one prompt a request is served"),
            _ => wrong("must be a string; token ids are not served"),
        },
        Some(_) => wrong("must be a string"),
        None => wrong("is required"),
    }
}
