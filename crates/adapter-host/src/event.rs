use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The channel of a piece of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// The answer itself.
    #[default]
    Content,
    /// The model's reasoning, where the engine tells it apart.
    Reasoning,
    /// Arguments of a tool call.
    Tool,
}

/// What an engine reports during an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineEvent {
    /// The engine took up the attempt, with the settings that equal arithmetic would need again
    /// (threads, chunk size, kernels); null where there are none. Sent once, first, by adapters that
    /// have such settings.
    Started { run_settings: serde_json::Value },
    /// The prompt is being read.
    PromptProgress { tokens_done: u32, tokens_total: u32 },
    /// So many of the accepted ids have been fed through decode again.
    Replayed { tokens: u32 },
    /// New output.
    Output(Output),
    /// What the work gave where that is no text, as JSON; once, and `Finished` follows. Of
    /// [`Input::Texts`](crate::Input::Texts) it is `{"embeddings": [[…], …]}`, one list of finite numbers
    /// for each text, in their order.
    Result(Bytes),
    /// The engine is done; the last event.
    Finished(Finish),
}

/// One piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Which of several answers; 0 where there is one.
    pub choice: u16,
    /// Which channel the bytes belong to.
    pub channel: Channel,
    /// The token's id where the engine tells it.
    pub id: Option<u32>,
    /// How many tokens this is; `None` where the engine's chunks are not known to be tokens.
    pub tokens: Option<u32>,
    /// Raw bytes; may end inside a UTF-8 sequence. On [`Channel::Tool`] part of a call's arguments, whole
    /// characters.
    pub bytes: Bytes,
    /// The tool call that the bytes belong to, on [`Channel::Tool`] and nowhere else.
    pub tool: Option<ToolCallPart>,
    /// Log probabilities of these tokens where they were asked for: a JSON list of
    /// [`TokenLogprob`](api_types::TokenLogprob).
    pub logprobs: Option<Bytes>,
}

/// Which tool call a piece of output is part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallPart {
    /// Number of the call in its answer, from 0.
    pub index: u32,
    /// The engine's id of the call, in its first piece.
    pub id: Option<String>,
    /// Name of the function, in the first piece.
    pub name: Option<String>,
}

impl Output {
    /// A piece of text of the first answer, on the channel of content.
    #[must_use]
    pub fn text(id: Option<u32>, tokens: Option<u32>, bytes: Bytes) -> Self {
        Self { choice: 0, channel: Channel::Content, id, tokens, bytes, tool: None, logprobs: None }
    }
}

/// Why and how an engine ended an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// Why generation ended; of several answers, the first.
    pub reason: FinishReason,
    /// Why the answers after the first one ended, in their order.
    pub further: Vec<FinishReason>,
    /// The engine's own count of prompt tokens, where it gives one.
    pub prompt_tokens: Option<u32>,
    /// The engine's own count of generated tokens, where it gives one.
    pub output_tokens: Option<u32>,
}

/// Why an engine stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its answer.
    Stop,
    /// The token limit was reached.
    Length,
    /// The model calls a tool.
    ToolCalls,
    /// A filter of the engine's own ended it.
    ContentFilter,
}
