use api_types::{Content, ContentPart, MessageRequest};
use serde_json::Value;

use crate::{ChatProblem, fields::Fields};

/// The conversation in `messages`.
pub(crate) fn messages(value: Value) -> Result<Vec<MessageRequest>, ChatProblem> {
    let Value::Array(messages) = value else {
        return Err(ChatProblem::param("messages", "must be a list of messages"));
    };
    if messages.is_empty() {
        return Err(ChatProblem::param("messages", "must hold at least one message"));
    }
    messages
        .into_iter()
        .enumerate()
        .map(|(index, value)| message(Fields::of(value, &format!("messages[{index}]"))?))
        .collect()
}

fn message(mut fields: Fields) -> Result<MessageRequest, ChatProblem> {
    let role = match fields.string("role")?.as_deref() {
        // Templates know the older name of the two.
        Some("system" | "developer") => "system",
        Some("user") => "user",
        Some("assistant") => "assistant",
        Some("tool" | "function") => {
            return Err(fields.problem("role", "tools are not served; remove the message"));
        }
        Some(_) => {
            let allowed = "must be one of system, developer, user, assistant";
            return Err(fields.problem("role", allowed));
        }
        None => return Err(fields.problem("role", "is required")),
    };
    let content = match fields.take("content") {
        Some(value) => content(value, &fields.path("content"))?,
        None => return Err(fields.problem("content", "is required")),
    };
    // Answers of the official client come back with these, empty.
    for name in ["tool_calls", "annotations"] {
        match fields.take(name) {
            None => {}
            Some(Value::Array(list)) if list.is_empty() => {}
            Some(_) => return Err(fields.problem(name, "is not served")),
        }
    }
    if let Some(name) = fields.next_left() {
        return Err(fields.problem(name, "is unknown here or not served"));
    }
    Ok(MessageRequest { role: role.to_owned(), content })
}

fn content(value: Value, path: &str) -> Result<Content, ChatProblem> {
    let parts = match value {
        Value::String(text) => return Ok(Content::Text(text)),
        Value::Array(parts) => parts,
        _ => return Err(ChatProblem::param(path, "must be a string or a list of text parts")),
    };
    let part = |(index, value)| {
        let mut fields = Fields::of(value, &format!("{path}[{index}]"))?;
        match fields.string("type")?.as_deref() {
            Some("text") => {}
            Some(_) => return Err(fields.problem("type", "only text parts are served")),
            None => return Err(fields.problem("type", "is required")),
        }
        let text = fields.string("text")?.ok_or_else(|| fields.problem("text", "is required"))?;
        if let Some(name) = fields.next_left() {
            return Err(fields.problem(name, "is unknown here or not served"));
        }
        Ok(ContentPart::Text { text })
    };
    parts.into_iter().enumerate().map(part).collect::<Result<_, _>>().map(Content::Parts)
}
