use std::borrow::Cow;

use api_types::EndEvent;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What every chunk and answer of one completion says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Such as `chatcmpl-` and the task's id; the same in all chunks.
    pub id: String,
    /// As the client named it.
    pub model: String,
    /// Seconds since 1970.
    pub created_s: u64,
}

/// Whether more events can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    More,
    /// The terminal event was taken in; nothing follows.
    Ended,
}

/// An event that the facade cannot show.
#[derive(Debug, thiserror::Error)]
#[error("cannot read a task's `{event}` event")]
pub struct EventProblem {
    /// Name of the event.
    pub event: &'static str,
    #[source]
    pub source: serde_json::Error,
}

impl EventProblem {
    pub(crate) fn of(event: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self { event, source }
    }
}

/// A `token` event whose text stays the JSON that it is: it is copied, not read and written anew.
#[derive(Deserialize)]
pub(crate) struct RawToken<'a> {
    #[serde(borrow)]
    pub(crate) t: &'a RawValue,
    #[serde(default)]
    pub(crate) channel: Channel,
}

/// A `token` event whose text is wanted; borrowed where nothing in it is escaped.
#[derive(Deserialize)]
pub(crate) struct TextToken<'a> {
    #[serde(borrow)]
    pub(crate) t: Cow<'a, str>,
    #[serde(default)]
    pub(crate) channel: Channel,
}

/// Where a token belongs. There is no `tool`: tools are refused with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Channel {
    #[default]
    Content,
    Reasoning,
}

/// Tokens of prompt and answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) total_tokens: u64,
}

impl Usage {
    /// `None` where the engine told too little: nothing is made up.
    pub(crate) fn of(end: &EndEvent) -> Option<Self> {
        let (prompt_tokens, completion_tokens) = (end.tokens_in?, end.tokens_out?);
        let total_tokens = prompt_tokens.saturating_add(completion_tokens);
        Some(Self { prompt_tokens, completion_tokens, total_tokens })
    }
}

/// The official value for a native `finish_reason`. An answer that was cut off by a cancel or a budget
/// is `length`, the one value that says that an answer is incomplete; clients take `stop` for whole.
pub(crate) fn finish_reason(native: &str) -> &str {
    match native {
        "canceled" | "budget" => "length",
        other => other,
    }
}
