use std::{
    borrow::Cow,
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use adapter_host::{AdapterError, AttemptId, Channel, EngineEvent, Finish, FinishReason, Output};
use bytes::Bytes;
use futures_core::Stream;
use serde_json::Value;

use crate::{
    ApiKey,
    chunk::{Chunk, Usage, finish_reason},
    masked::masked,
    open_attempts::OpenAttempt,
    refusal::ErrorText,
};

/// Longest line, and longest event, of an engine's stream. One token takes some 200 bytes.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// The response body of an attempt, read where it is polled.
pub(crate) struct OpenAiStream {
    id: AttemptId,
    /// Given up, and with it the connection, when the stream is over.
    attempt: Option<OpenAttempt>,
    parser: sse::Parser,
    ready: VecDeque<EngineEvent>,
    finish_reason: Option<FinishReason>,
    usage: Option<Usage>,
    chunk_is_token: bool,
    /// For masking.
    api_key: Option<Arc<ApiKey>>,
}

impl OpenAiStream {
    pub(crate) fn new(
        id: AttemptId,
        attempt: OpenAttempt,
        chunk_is_token: bool,
        api_key: Option<Arc<ApiKey>>,
    ) -> Self {
        Self {
            id,
            attempt: Some(attempt),
            parser: sse::Parser::new(EVENT_BYTES_MAX),
            ready: VecDeque::with_capacity(2),
            finish_reason: None,
            usage: None,
            chunk_is_token,
            api_key,
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
                let Some(attempt) = &self.attempt else { return Poll::Ready(Ok(None)) };
                let Some(bytes) = ready!(attempt.poll_bytes(cx))? else {
                    return Poll::Ready(Ok(None));
                };
                self.parser.push(&bytes);
            }
        }
        Poll::Ready(Ok(self.ready.pop_front()))
    }

    fn read_chunk(&mut self, event: &sse::Event) -> Result<(), AdapterError> {
        let data = &event.data;
        let chunk: Chunk<'_> = serde_json::from_slice(data).map_err(|error| {
            // The error tells line and column, and no text of the engine.
            tracing::warn!(attempt = %self.id, category = ?error.classify(), column = error.column(), "unreadable chunk");
            protocol("a chunk is not what the protocol says".to_owned())
        })?;
        if chunk.error.is_some() || event.event.as_deref() == Some("error") {
            let body = serde_json::from_slice::<Value>(data).unwrap_or_default();
            let text = ErrorText::of(&body).message;
            self.log_text("the engine failed in the middle of an answer", &text);
            return Err(lost("it sent an error in the middle of the answer"));
        }
        self.usage = chunk.usage.or(self.usage);
        for choice in chunk.choices {
            if choice.index != 0 {
                return Err(protocol("it sent more answers than were asked for".to_owned()));
            }
            // One chunk is one token even where it carries text of both channels.
            let mut tokens = self.chunk_is_token.then_some(1);
            let (reasoning, content) = match choice.delta {
                Some(delta) => (delta.reasoning_content, delta.content),
                None => (None, choice.text),
            };
            for (channel, text) in [(Channel::Reasoning, reasoning), (Channel::Content, content)] {
                if let Some(text) = text.filter(|text| !text.0.is_empty()) {
                    let bytes = match text.0 {
                        Cow::Borrowed(text) => data.slice_ref(text.as_bytes()),
                        Cow::Owned(text) => Bytes::from(text),
                    };
                    let output = Output { choice: 0, channel, id: None, tokens, bytes };
                    tokens = tokens.map(|_| 0);
                    self.ready.push_back(EngineEvent::Output(output));
                }
            }
            if let Some(reason) = choice.finish_reason {
                let Some(known) = finish_reason(&reason.0) else {
                    self.log_text("the engine ended an answer for a reason of its own", &reason.0);
                    return Err(lost(
                        "it ended the answer for a reason that the protocol does not know",
                    ));
                };
                self.finish_reason = Some(known);
            }
        }
        Ok(())
    }

    fn log_text(&self, what: &'static str, text: &str) {
        let text = masked(text, self.api_key.as_deref().map(ApiKey::reveal));
        tracing::warn!(attempt = %self.id, text, "{what}");
    }

    fn finish(&mut self, cx: &mut Context<'_>) -> Result<EngineEvent, AdapterError> {
        // A body that was read to its end leaves a connection that can be used again. After [DONE] the
        // end is usually there already; where it is not, nobody waits for it.
        if let Some(attempt) = self.attempt.take() {
            let _ = attempt.poll_bytes(cx);
        }
        let reason =
            self.finish_reason.ok_or_else(|| lost("the answer ended without a finish reason"))?;
        Ok(EngineEvent::Finished(Finish {
            reason,
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
