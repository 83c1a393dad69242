use api_types::{Content, ContentPart, ImageDetail, ImageUrl, MessageRequest, ToolCall};
use serde_json::Value;

use crate::{RequestProblem, fields::Fields};

/// The conversation in `messages`.
pub(crate) fn messages(value: Value) -> Result<Vec<MessageRequest>, RequestProblem> {
    let Value::Array(messages) = value else {
        return Err(RequestProblem::param("messages", "must be a list of messages"));
    };
    if messages.is_empty() {
        return Err(RequestProblem::param("messages", "must hold at least one message"));
    }
    messages
        .into_iter()
        .enumerate()
        .map(|(index, value)| message(Fields::of(value, &format!("messages[{index}]"))?))
        .collect()
}

fn message(mut fields: Fields) -> Result<MessageRequest, RequestProblem> {
    let role = match fields.string("role")?.as_deref() {
        // Templates know the older name of the two.
        Some("system" | "developer") => "system",
        Some("user") => "user",
        Some("assistant") => "assistant",
        Some("tool") => "tool",
        Some(_) => {
            let allowed = "must be one of system, developer, user, assistant, tool";
            return Err(fields.problem("role", allowed));
        }
        None => return Err(fields.problem("role", "is required")),
    };
    let tool_calls = match fields.take("tool_calls") {
        None => Vec::new(),
        Some(value) => serde_json::from_value::<Vec<ToolCall>>(value)
            .map_err(|wrong| fields.problem("tool_calls", wrong.to_string()))?,
    };
    if !tool_calls.is_empty() && role != "assistant" {
        return Err(fields.problem("tool_calls", "is for messages of the assistant"));
    }
    let tool_call_id = fields.string("tool_call_id")?;
    if tool_call_id.is_some() != (role == "tool") {
        return Err(
            fields.problem("tool_call_id", "is for messages of role tool, and required there")
        );
    }
    let content = match fields.take("content") {
        Some(value) => content(value, &fields.path("content"))?,
        None if tool_calls.is_empty() => return Err(fields.problem("content", "is required")),
        None => Content::Absent,
    };
    // Answers of the official client come back with these, empty.
    match fields.take("annotations") {
        Some(Value::Array(list)) if !list.is_empty() => {
            return Err(fields.problem("annotations", "is not served"));
        }
        _ => {}
    }
    if let Some(name) = fields.next_left() {
        return Err(fields.problem(name, "is unknown here or not served"));
    }
    Ok(MessageRequest { role: role.to_owned(), content, tool_calls, tool_call_id })
}

fn content(value: Value, path: &str) -> Result<Content, RequestProblem> {
    let parts = match value {
        Value::String(text) => return Ok(Content::Text(text)),
        Value::Array(parts) => parts,
        _ => return Err(RequestProblem::param(path, "must be a string or a list of parts")),
    };
    let part = |(index, value)| {
        let mut fields = Fields::of(value, &format!("{path}[{index}]"))?;
        let part = match fields.string("type")?.as_deref() {
            Some("text") => {
                let text = fields.string("text")?;
                ContentPart::Text {
                    text: text.ok_or_else(|| fields.problem("text", "is required"))?,
                }
            }
            Some("image_url") => ContentPart::ImageUrl { image_url: image_url(&mut fields)? },
            Some(_) => return Err(fields.problem("type", "must be text or image_url")),
            None => return Err(fields.problem("type", "is required")),
        };
        if let Some(name) = fields.next_left() {
            return Err(fields.problem(name, "is unknown here or not served"));
        }
        Ok(part)
    };
    parts.into_iter().enumerate().map(part).collect::<Result<_, _>>().map(Content::Parts)
}

fn image_url(fields: &mut Fields) -> Result<ImageUrl, RequestProblem> {
    let value = fields.take("image_url");
    let value = value.ok_or_else(|| fields.problem("image_url", "is required"))?;
    let mut fields = Fields::of(value, &fields.path("image_url"))?;
    let url = fields.string("url")?.ok_or_else(|| fields.problem("url", "is required"))?;
    let detail = match fields.string("detail")?.as_deref() {
        None => None,
        Some("auto") => Some(ImageDetail::Auto),
        Some("low") => Some(ImageDetail::Low),
        Some("high") => Some(ImageDetail::High),
        Some(_) => return Err(fields.problem("detail", "must be auto, low or high")),
    };
    match fields.next_left() {
        None => Ok(ImageUrl { url, detail }),
        Some(name) => Err(fields.problem(name, "is unknown here or not served")),
    }
}
