use std::{
    borrow::Cow,
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use adapter_host::{
    AdapterError, AttemptId, Channel, EngineEvent, Finish, FinishReason, Output, ToolCallPart,
};
use bytes::{Buf as _, Bytes};
use futures_core::Stream;
use serde_json::Value;

use crate::{
    chunk::{CallDelta, Choice, Chunk, Usage, finish_reason},
    chunk_pattern::ChunkPattern,
    logprobs,
    open_attempts::OpenAttempt,
    refusal::ErrorText,
};

/// Longest line, and longest event, of an engine's stream. One token takes some 200 bytes.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// What an answer is to look like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) attempt: AttemptId,
    /// Answers that were asked for.
    pub(crate) choices: u16,
    pub(crate) chunk_is_token: bool,
    pub(crate) wants_logprobs: bool,
    pub(crate) wants_tools: bool,
}

/// Most calls of tools in one answer.
const CALLS_MAX: u32 = 128;

/// The response body of an attempt, read where it is polled.
pub(crate) struct OpenAiStream {
    expected: Expected,
    /// Given up, and with it the connection, when the stream is over.
    attempt: Option<OpenAttempt>,
    parser: sse::Parser,
    ready: VecDeque<EngineEvent>,
    /// Of the last chunk that was nothing but text.
    pattern: Option<ChunkPattern>,
    /// Of each answer, once it has ended.
    finish_reasons: Vec<Option<FinishReason>>,
    usage: Option<Usage>,
}

impl OpenAiStream {
    pub(crate) fn new(expected: Expected, attempt: OpenAttempt) -> Self {
        Self {
            expected,
            attempt: Some(attempt),
            parser: sse::Parser::new(EVENT_BYTES_MAX),
            ready: VecDeque::new(),
            pattern: None,
            finish_reasons: vec![None; expected.choices.into()],
            usage: None,
        }
    }

    /// Reads on until something is ready; `None` when the engine is done.
    fn poll_ready(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<EngineEvent>, AdapterError>> {
        while self.ready.is_empty() {
            if let Some(event) =
                self.parser.next_event().map_err(|error| protocol(error.to_string()))?
            {
                if &event.data[..] == b"[DONE]" {
                    return Poll::Ready(Ok(None));
                }
                self.read_chunk(&event)?;
            } else {
                let Some(attempt) = &mut self.attempt else { return Poll::Ready(Ok(None)) };
                let Some(mut bytes) = ready!(attempt.poll_bytes(cx))? else {
                    return Poll::Ready(Ok(None));
                };
                if self.parser.is_between_events() {
                    let passed = self.read_alike(&bytes);
                    bytes.advance(passed);
                }
                if !bytes.is_empty() {
                    self.parser.push(bytes);
                }
            }
        }
        let first = self.ready.pop_front();
        if self.ready.is_empty() {
            // The room is another stream's until the next token comes.
            self.ready = VecDeque::new();
        }
        Poll::Ready(Ok(first))
    }

    /// Reads events at the start of `bytes` that differ from the one before in their text alone, and gives
    /// their length. What is left is for the parser.
    fn read_alike(&mut self, bytes: &[u8]) -> usize {
        let mut left = bytes;
        while let Some(event) = left.strip_prefix(b"data: ")
            && let Some(end) = memchr::memchr(b'\n', event)
            && let Some(behind) = event[end..].strip_prefix(b"\n\n")
            && self.read_like_the_last(&event[..end])
        {
            left = behind;
        }
        bytes.len() - left.len()
    }

    /// Reads a chunk that differs from the one before in its text alone; false where it is another.
    fn read_like_the_last(&mut self, data: &[u8]) -> bool {
        let Some(pattern) = &self.pattern else { return false };
        let Some(text) = pattern.text_of(data) else { return false };
        if !text.is_empty() {
            let (choice, channel) = (pattern.choice, pattern.channel);
            let tokens = self.expected.chunk_is_token.then_some(1);
            let text = Bytes::copy_from_slice(text);
            let output = Output { choice, channel, ..Output::text(None, tokens, text) };
            self.ready.push_back(EngineEvent::Output(output));
        }
        true
    }

    fn read_chunk(&mut self, event: &sse::Event) -> Result<(), AdapterError> {
        let data = &event.data;
        if event.event.is_none() && self.read_like_the_last(data) {
            return Ok(());
        }
        let chunk: Chunk<'_> = serde_json::from_slice(data).map_err(|error| {
            // The error tells line and column, and no text of the engine.
            tracing::warn!(event = "engine_unreadable", attempt_id = %self.expected.attempt, category = ?error.classify(), column = error.column(), "unreadable chunk");
            protocol("a chunk is not what the protocol says".to_owned())
        })?;
        if chunk.error.is_some() || event.event.as_deref() == Some("error") {
            let body = serde_json::from_slice::<Value>(data).unwrap_or_default();
            let text = ErrorText::of(&body).message;
            self.log_text("the engine failed in the middle of an answer", &text);
            return Err(lost("it sent an error in the middle of the answer"));
        }
        self.usage = chunk.usage.or(self.usage);
        if let Some(pattern) = self.pattern_of(&chunk, event) {
            self.pattern = Some(pattern);
        }
        for choice in chunk.choices {
            self.read_choice(choice, data)?;
        }
        Ok(())
    }

    /// The pattern of a chunk that is a piece of text and nothing else.
    fn pattern_of(&self, chunk: &Chunk<'_>, event: &sse::Event) -> Option<ChunkPattern> {
        let [choice] = &chunk.choices[..] else { return None };
        let index = u16::try_from(choice.index).ok().filter(|it| *it < self.expected.choices)?;
        let has_logprobs = self.expected.wants_logprobs && choice.logprobs.is_some();
        if event.event.is_some()
            || chunk.usage.is_some()
            || choice.finish_reason.is_some()
            || has_logprobs
        {
            return None;
        }
        let (channel, text) = match (&choice.delta, &choice.text) {
            (None, Some(text)) => (Channel::Content, text),
            (Some(delta), None) if delta.tool_calls.is_none() => {
                match (&delta.content, &delta.reasoning_content) {
                    (Some(text), None) => (Channel::Content, text),
                    (None, Some(text)) => (Channel::Reasoning, text),
                    _ => return None,
                }
            }
            _ => return None,
        };
        let Cow::Borrowed(text) = text.0 else { return None };
        ChunkPattern::of(&event.data, text, index, channel)
    }

    fn read_choice(&mut self, choice: Choice<'_>, data: &Bytes) -> Result<(), AdapterError> {
        let index = u16::try_from(choice.index).ok().filter(|it| *it < self.expected.choices);
        let Some(index) = index else {
            return Err(protocol("it sent more answers than were asked for".to_owned()));
        };
        // One chunk is one token even where it carries several pieces.
        let mut tokens = self.expected.chunk_is_token.then_some(1);
        let mut logprobs = match choice.logprobs.filter(|_| self.expected.wants_logprobs) {
            None => None,
            Some(json) => logprobs::entries(json.get()).map_err(|_unreadable| {
                protocol("its log probabilities are not what the protocol says".to_owned())
            })?,
        };
        let (reasoning, content, calls) = match choice.delta {
            Some(delta) => (delta.reasoning_content, delta.content, delta.tool_calls),
            None => (None, choice.text, None),
        };
        for (channel, text) in [(Channel::Reasoning, reasoning), (Channel::Content, content)] {
            // A token may have no text, such as one that does not end a character; it has its place among
            // the log probabilities all the same.
            let is_told = channel == Channel::Content && logprobs.is_some();
            if let Some(text) = text.filter(|text| is_told || !text.0.is_empty()) {
                let bytes = match text.0 {
                    Cow::Borrowed(text) => data.slice_ref(text.as_bytes()),
                    Cow::Owned(text) => Bytes::from(text),
                };
                let logprobs = logprobs.take_if(|_| channel == Channel::Content);
                let output = Output {
                    choice: index,
                    channel,
                    logprobs,
                    ..Output::text(None, tokens, bytes)
                };
                tokens = tokens.map(|_| 0);
                self.ready.push_back(EngineEvent::Output(output));
            }
        }
        for (place, call) in (0..).zip(calls.unwrap_or_default()) {
            let output = self.read_call(index, place, call, tokens)?;
            tokens = tokens.map(|_| 0);
            self.ready.push_back(EngineEvent::Output(output));
        }
        if let Some(reason) = choice.finish_reason {
            let Some(known) = finish_reason(&reason.0) else {
                self.log_text("the engine ended an answer for a reason of its own", &reason.0);
                return Err(lost(
                    "it ended the answer for a reason that the protocol does not know",
                ));
            };
            self.finish_reasons[usize::from(index)] = Some(known);
        }
        Ok(())
    }

    /// Part of a tool call. Engines that send calls whole leave the index out.
    fn read_call(
        &self,
        choice: u16,
        place: u32,
        call: CallDelta,
        tokens: Option<u32>,
    ) -> Result<Output, AdapterError> {
        if !self.expected.wants_tools {
            return Err(protocol("it calls a tool, and has none".to_owned()));
        }
        let index = call.index.unwrap_or(place);
        if index >= CALLS_MAX {
            return Err(protocol("it calls more tools than one answer may".to_owned()));
        }
        let (name, arguments) = match call.function {
            Some(function) => (function.name, function.arguments),
            None => (None, None),
        };
        let present = |text: &String| !text.is_empty();
        let arguments = arguments.unwrap_or_default();
        // A chunk is a token where it has text.
        let tokens = tokens.map(|tokens| if arguments.is_empty() { 0 } else { tokens });
        let (id, name) = (call.id.filter(present), name.filter(present));
        Ok(Output {
            choice,
            channel: Channel::Tool,
            tool: Some(ToolCallPart { index, id, name }),
            ..Output::text(None, tokens, arguments.into())
        })
    }

    fn log_text(&self, what: &'static str, text: &str) {
        // The text may repeat the prompt.
        let text_bytes = text.len();
        tracing::warn!(event = "engine_failed", attempt_id = %self.expected.attempt, text_bytes, "{what}");
    }

    fn finish(&mut self, cx: &mut Context<'_>) -> Result<EngineEvent, AdapterError> {
        // A body that was read to its end leaves a connection that can be used again. After [DONE] the
        // end is usually there already; where it is not, nobody waits for it.
        if let Some(mut attempt) = self.attempt.take() {
            let _ = attempt.poll_bytes(cx);
        }
        let reasons: Option<Vec<FinishReason>> = self.finish_reasons.iter().copied().collect();
        let reasons = reasons.ok_or_else(|| lost("the answer ended without a finish reason"))?;
        let (reason, further) = reasons.split_first().expect("at least one answer is asked for");
        Ok(EngineEvent::Finished(Finish {
            reason: *reason,
            further: further.to_vec(),
            prompt_tokens: self.usage.and_then(|usage| usage.prompt_tokens),
            output_tokens: self.usage.and_then(|usage| usage.completion_tokens),
        }))
    }
}

impl Stream for OpenAiStream {
    type Item = Result<EngineEvent, AdapterError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.attempt.is_none() {
            return Poll::Ready(None);
        }
        if let Some(pattern) = &self.pattern {
            // It comes while the socket is read.
            pattern.lines().fetch();
        }
        let item = match ready!(self.poll_ready(cx)) {
            Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
            Ok(None) => self.finish(cx),
            Err(error) => Err(error),
        };
        self.attempt = None;
        Poll::Ready(Some(item))
    }
}

fn protocol(reason: String) -> AdapterError {
    AdapterError::Protocol { reason }
}

fn lost(reason: &str) -> AdapterError {
    AdapterError::Lost { reason: reason.to_owned() }
}
