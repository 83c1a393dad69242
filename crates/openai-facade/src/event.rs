use std::borrow::Cow;

use api_types::{EndEvent, TokenLogprob, ToolDelta};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What every chunk and answer of one completion says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    pub form: AnswerForm,
    /// Such as `chatcmpl-` and the task's id; the same in all chunks.
    pub id: String,
    /// As the client named it.
    pub model: String,
    /// Seconds since 1970.
    pub created_s: u64,
}

/// Which route's objects an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerForm {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Text,
}

impl AnswerForm {
    /// What the ids of its answers begin with.
    #[must_use]
    pub fn id_prefix(self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl",
            Self::Text => "cmpl",
        }
    }
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
    pub(crate) choice: u16,
    #[serde(default)]
    pub(crate) channel: Channel,
    pub(crate) delta: Option<ToolDelta>,
    #[serde(borrow)]
    pub(crate) logprobs: Option<&'a RawValue>,
}

/// The text, as the JSON that it is, of a `token` event of the first choice's content with nothing beside its
/// count and no escape in it, as nearly all are. `None` of all other data, which is then read as JSON.
pub(crate) fn plain_text(data: &[u8]) -> Option<&[u8]> {
    let behind_index = without_digits(data.strip_prefix(b"{\"i\":")?)?;
    let text = behind_index.strip_prefix(b",\"t\":")?;
    let inner = text.strip_prefix(b"\"")?;
    let inner_bytes = memchr::memchr2(b'"', b'\\', inner)?;
    // Without a branch for each byte.
    let (mut is_plain, mut is_ascii) = (true, true);
    for byte in &inner[..inner_bytes] {
        is_plain &= *byte >= b' ';
        is_ascii &= byte.is_ascii();
    }
    if !is_plain || !is_ascii && std::str::from_utf8(&inner[..inner_bytes]).is_err() {
        return None;
    }
    let count = inner[inner_bytes..].strip_prefix(b"\",\"n\":")?;
    let end = count.strip_prefix(b"null").or_else(|| without_digits(count))?;
    (end == b"}").then(|| &text[..inner_bytes + 2])
}

fn without_digits(bytes: &[u8]) -> Option<&[u8]> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0).then(|| &bytes[digits..])
}

/// A `token` event whose text is wanted; borrowed where nothing in it is escaped.
#[derive(Deserialize)]
pub(crate) struct TextToken<'a> {
    #[serde(borrow)]
    pub(crate) t: Cow<'a, str>,
    #[serde(default)]
    pub(crate) choice: u16,
    #[serde(default)]
    pub(crate) channel: Channel,
    pub(crate) delta: Option<ToolDelta>,
    pub(crate) logprobs: Option<Vec<TokenLogprob>>,
}

/// Where a token belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Channel {
    #[default]
    Content,
    Reasoning,
    Tool,
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

/// The finish reason of each choice.
pub(crate) fn finish_reasons(end: &EndEvent) -> Vec<&str> {
    match &end.finish_reasons {
        Some(reasons) => reasons.iter().map(|reason| finish_reason(reason)).collect(),
        None => vec![finish_reason(&end.finish_reason)],
    }
}
