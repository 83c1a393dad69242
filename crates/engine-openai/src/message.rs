use std::borrow::Cow;

use api_types::{Content, ContentPart, MessageRequest, ToolCall};
use serde::Serialize;

/// A message as engines take it. Text in parts is sent as one string: not every template knows parts.
#[derive(Debug, Serialize)]
pub(crate) struct Message<'a> {
    role: &'a str,
    content: Option<MessageContent<'a>>,
    #[serde(skip_serializing_if = "<[ToolCall]>::is_empty")]
    tool_calls: &'a [ToolCall],
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum MessageContent<'a> {
    Text(Cow<'a, str>),
    Parts(&'a [ContentPart]),
}

impl<'a> Message<'a> {
    pub(crate) fn of(message: &'a MessageRequest) -> Self {
        let content = match &message.content {
            Content::Absent => None,
            Content::Text(text) => Some(MessageContent::Text(text.into())),
            Content::Parts(parts) if message.images() > 0 => Some(MessageContent::Parts(parts)),
            parts @ Content::Parts(_) => Some(MessageContent::Text(parts.text().into())),
        };
        Self {
            role: &message.role,
            content,
            tool_calls: &message.tool_calls,
            tool_call_id: message.tool_call_id.as_deref(),
        }
    }
}
