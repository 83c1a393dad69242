use api_types::{ResponseFormat, TaskRequest, Tool, ToolChoice, ToolMode, parse_json};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    FacadeRequest, RequestHeaders, RequestProblem,
    fields::Fields,
    message,
    neutral::{Neutral, refuse_unserved},
    parameters::CHAT_PARAMETERS,
    request::{deadline_ms, facade_problem, model, priority, same, sampling, stream_options},
};

/// Parameters that change no answer: they are for the provider's own books, caches and prices.
pub(crate) const HARMLESS: [&str; 7] = [
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
];

/// Parameters that would change the answer and are not served, with the one value of each that asks for
/// nothing.
const NOT_SERVED: [(&str, Neutral); 10] = [
    ("audio", Neutral::None),
    ("function_call", Neutral::Text("none")),
    ("functions", Neutral::Empty),
    ("logit_bias", Neutral::Empty),
    ("modalities", Neutral::TextList),
    ("moderation", Neutral::None),
    ("prediction", Neutral::None),
    ("reasoning_effort", Neutral::None),
    ("verbosity", Neutral::Text("medium")),
    ("web_search_options", Neutral::None),
];

/// Parameters that are the native ones, read from the text itself: schemas keep the order of their keys.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Native {
    tools: Option<Vec<Tool>>,
    tool_choice: Option<ToolChoice>,
    response_format: Option<ResponseFormat>,
}

/// Reads the body and headers of `POST /v1/chat/completions`.
///
/// # Errors
/// The first parameter that is missing, has a value that is not taken, is unknown, or would change the
/// answer and is not served.
pub fn parse_chat(
    body: &[u8],
    headers: &RequestHeaders<'_>,
) -> Result<FacadeRequest, RequestProblem> {
    let mut fields = Fields::of_body(parse_json::<Map<String, Value>>(body)?, &CHAT_PARAMETERS);
    let model = model(&mut fields)?;
    let messages = fields.take("messages").ok_or_else(|| fields.problem("messages", "is required"));
    let messages = message::messages(messages?)?;
    let max_tokens = fields.unsigned_32("max_tokens")?;
    let max_completion_tokens = fields.unsigned_32("max_completion_tokens")?;
    let sampling = sampling(&mut fields)?;
    let mut options = stream_options(&mut fields)?;
    let n = fields.unsigned_16("n")?;
    let logprobs = logprobs(&mut fields)?;
    let parallel_tool_calls = fields.optional_boolean("parallel_tool_calls")?;
    refuse_unserved(&mut fields, &NOT_SERVED)?;
    for name in ["tools", "tool_choice", "response_format"] {
        fields.take(name);
    }
    options
        .ignored
        .extend(HARMLESS.iter().filter(|name| fields.take_without_effect(name).is_some()));
    if let Some(name) = fields.next_left() {
        return Err(fields.problem(name, "is unknown; remove it"));
    }
    let native: Native = parse_json(body)?;
    let tools = native.tools.unwrap_or_default();
    let asks_for_none = |choice: &ToolChoice| *choice == ToolChoice::Mode(ToolMode::None);
    let has_tools = !tools.is_empty();
    if parallel_tool_calls.is_some() && !has_tools {
        // There are no calls to make at once.
        options.ignored.push("parallel_tool_calls");
    }
    let task = TaskRequest {
        messages: Some(messages),
        model_ref: Some(model),
        priority: priority(headers)?,
        max_tokens: same(max_tokens, max_completion_tokens, "max_completion_tokens")?,
        deadline_ms: deadline_ms(headers)?,
        sampling,
        n: n.filter(|n| *n != 1),
        logprobs,
        response_format: native.response_format.filter(|format| *format != ResponseFormat::Text),
        parallel_tool_calls: parallel_tool_calls.filter(|_| has_tools),
        tools,
        tool_choice: native.tool_choice.filter(|choice| has_tools || !asks_for_none(choice)),
        cancel_on_disconnect: true,
        ..TaskRequest::default()
    };
    task.validate().map_err(|problem| facade_problem(&problem, max_tokens))?;
    Ok(FacadeRequest { task, options })
}

/// How many alternatives are to be told with each token's log probability.
fn logprobs(fields: &mut Fields) -> Result<Option<u32>, RequestProblem> {
    let wanted = fields.boolean("logprobs")?;
    let top = fields.unsigned_32("top_logprobs")?;
    match (wanted, top) {
        (true, top) => Ok(Some(top.unwrap_or(0))),
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => Err(fields.problem("top_logprobs", "is for `logprobs`: set it")),
    }
}
