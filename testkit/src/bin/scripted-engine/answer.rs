use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::{Body, Frame};
use serde_json::{Value, json};
use testkit::{Fault, FaultKind, Script};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep},
};

use crate::request_log::Entry;

/// Exit status of an engine that was told to die.
pub(crate) const DEATH: i32 = 70;
const HUGE_LINE_BYTES: usize = 2 << 20;

/// What is sent, and how.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Number of the request.
    pub(crate) id: u64,
    pub(crate) script: Script,
    /// Length of the answer after `max_tokens`.
    pub(crate) tokens: u32,
    pub(crate) prompt_tokens: u32,
    pub(crate) is_chat: bool,
    pub(crate) includes_usage: bool,
    pub(crate) model: String,
    pub(crate) fault: Option<Fault>,
    pub(crate) rate: f64,
    /// Tokens that come at once.
    pub(crate) burst: u32,
    /// Tokens tell their time in place of the script's text.
    pub(crate) has_stamps: bool,
    pub(crate) split_bytes: usize,
    /// Answers, all with the same tokens, sent in turns.
    pub(crate) choices: u32,
    pub(crate) has_logprobs: bool,
    /// The tool that is called with the tokens as its arguments.
    pub(crate) tool: Option<String>,
    pub(crate) reasoning_tokens: u32,
}

/// Where the text of a token stands in the frame of its chunk.
const PLACE: &str = "@text@";

impl Answer {
    /// The response of a request that does not stream.
    pub(crate) fn whole(&self) -> Value {
        let text = self.script.text(self.tokens);
        let choice = if self.is_chat {
            json!({"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": self.finish_reason()})
        } else {
            json!({"index": 0, "text": text, "finish_reason": self.finish_reason()})
        };
        let object = if self.is_chat { "chat.completion" } else { "text_completion" };
        json!({
            "id": "scripted", "object": object, "created": 0, "model": self.model, "choices": [choice],
            "usage": self.usage(),
        })
    }

    fn finish_reason(&self) -> &'static str {
        match &self.tool {
            _ if self.tokens < self.script.tokens() => "length",
            Some(_) => "tool_calls",
            None => "stop",
        }
    }

    fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens, "completion_tokens": self.tokens * self.choices,
            "total_tokens": self.prompt_tokens + self.tokens * self.choices,
        })
    }

    fn chunk(&self, choices: &Value, usage: &Value) -> String {
        let object = if self.is_chat { "chat.completion.chunk" } else { "text_completion" };
        let mut chunk = json!({
            "id": "scripted", "object": object, "created": 0, "model": self.model, "choices": choices,
        });
        if !usage.is_null() {
            chunk["usage"] = usage.clone();
        }
        format!("data: {chunk}\n\n")
    }

    /// What comes before and after the text in the chunk of a token: most of a chunk never changes.
    fn chunk_around_text(&self) -> (Bytes, Bytes) {
        let choice = if self.is_chat {
            json!({"index": 0, "delta": {"content": PLACE}, "finish_reason": null})
        } else {
            json!({"index": 0, "text": PLACE, "finish_reason": null})
        };
        let chunk = self.chunk(&json!([choice]), &Value::Null);
        let (before, after) =
            chunk.rsplit_once(&format!("\"{PLACE}\"")).expect("the text was put there");
        (before.to_owned().into(), after.to_owned().into())
    }

    /// Whether all tokens have chunks of one frame.
    fn is_plain(&self) -> bool {
        self.choices == 1 && !self.has_logprobs && self.tool.is_none() && self.reasoning_tokens == 0
    }

    /// The chunks of a token, one for each answer.
    fn token_chunks(&self, index: u32) -> String {
        let text = self.script.token(index);
        let choices = (0..self.choices).map(|choice| {
            let mut of_choice = json!({"index": choice, "finish_reason": null});
            if !self.is_chat {
                of_choice["text"] = text.into();
            } else if self.tool.is_some() {
                let call = json!({"index": 0, "function": {"arguments": text}});
                of_choice["delta"] = json!({"tool_calls": [call]});
            } else if index < self.reasoning_tokens {
                of_choice["delta"] = json!({"reasoning_content": text});
            } else {
                of_choice["delta"] = json!({"content": text});
            }
            if self.has_logprobs {
                of_choice["logprobs"] = self.logprobs(index, text);
            }
            self.chunk(&json!([of_choice]), &Value::Null)
        });
        choices.collect()
    }

    /// Token i has the log probability -i / 8.
    fn logprobs(&self, index: u32, text: &str) -> Value {
        let logprob = -f64::from(index) / 8.0;
        if self.is_chat {
            let other = json!({"token": "else", "logprob": logprob - 1.0, "bytes": null});
            let bytes = text.as_bytes();
            json!({"content": [{"token": text, "logprob": logprob, "bytes": bytes, "top_logprobs": [other]}]})
        } else {
            json!({
                "tokens": [text], "token_logprobs": [logprob], "text_offset": [0],
                "top_logprobs": [{"else": logprob - 1.0}],
            })
        }
    }

    fn head(&self) -> String {
        if !self.is_chat {
            return String::new();
        }
        let mut delta = json!({"role": "assistant", "content": ""});
        if let Some(name) = &self.tool {
            // As everywhere: engines make the ids of calls up, no two answers have the same.
            let id = format!("call-{}", self.id);
            let function = json!({"name": name, "arguments": ""});
            delta["tool_calls"] =
                json!([{"index": 0, "id": id, "type": "function", "function": function}]);
        }
        let choices = (0..self.choices).map(|choice| {
            let of_choice = json!({"index": choice, "delta": delta, "finish_reason": null});
            self.chunk(&json!([of_choice]), &Value::Null)
        });
        choices.collect()
    }

    fn tail(&self) -> String {
        let choices = (0..self.choices).map(|choice| {
            let mut of_choice = json!({"index": choice, "finish_reason": self.finish_reason()});
            if self.is_chat {
                of_choice["delta"] = json!({});
            } else {
                of_choice["text"] = "".into();
            }
            self.chunk(&json!([of_choice]), &Value::Null)
        });
        let mut tail: String = choices.collect();
        if self.includes_usage {
            tail += &self.chunk(&json!([]), &self.usage());
        }
        tail + "data: [DONE]\n\n"
    }
}

/// The time in the form of a token.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever reads a token compares its time with the own"
)]
fn stamp() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("@{:020}@", since.as_nanos())
}

/// What the whole process has sent, and when it is to die of it.
#[derive(Debug)]
pub(crate) struct Counters {
    tokens: AtomicU64,
    tokens_max: u64,
    bytes: AtomicU64,
    bytes_max: u64,
}

impl Counters {
    pub(crate) fn new(tokens_max: Option<u64>, bytes_max: Option<u64>) -> Self {
        Self {
            tokens: AtomicU64::new(0),
            tokens_max: tokens_max.unwrap_or(u64::MAX),
            bytes: AtomicU64::new(0),
            bytes_max: bytes_max.unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn count_token(&self, entry: &mut Entry) {
        entry.count_token();
        self.tokens.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes so many of `bytes` as may still be sent.
    fn take_bytes(&self, bytes: usize) -> usize {
        let wanted = bytes as u64;
        let before = self.bytes.fetch_add(wanted, Ordering::Relaxed);
        let left = self.bytes_max.saturating_sub(before);
        usize::try_from(left.min(wanted)).expect("not more than was wanted")
    }

    fn is_over(&self) -> bool {
        self.tokens.load(Ordering::Relaxed) >= self.tokens_max
            || self.bytes.load(Ordering::Relaxed) >= self.bytes_max
    }
}

/// The body of a streamed answer: paced, split and broken as asked.
pub(crate) struct TokenBody {
    answer: Answer,
    around_text: (Bytes, Bytes),
    counters: Arc<Counters>,
    entry: Entry,
    /// Held until the last byte is on its way.
    _slot: OwnedSemaphorePermit,
    stage: Stage,
    next_token: u32,
    start: Instant,
    due: Pin<Box<Sleep>>,
    outbox: BytesMut,
    /// What was handed out has gone to the socket.
    is_flushed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Tokens,
    Broken(FaultKind),
    Ended,
}

impl TokenBody {
    pub(crate) fn new(
        answer: Answer,
        counters: Arc<Counters>,
        entry: Entry,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let start = Instant::now();
        Self {
            around_text: answer.chunk_around_text(),
            answer,
            counters,
            entry,
            _slot: slot,
            stage: Stage::Head,
            next_token: 0,
            start,
            due: Box::pin(tokio::time::sleep_until(start)),
            outbox: BytesMut::new(),
            is_flushed: true,
        }
    }

    /// Fills the outbox with what comes next; `None` at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<()>>> {
        match self.stage {
            Stage::Head => {
                self.outbox.put_slice(self.answer.head().as_bytes());
                self.stage = Stage::Tokens;
            }
            Stage::Tokens => {
                let fault = self.answer.fault.filter(|fault| fault.after_tokens == self.next_token);
                if let Some(fault) = fault.filter(|_| self.next_token < self.answer.tokens) {
                    self.stage = Stage::Broken(fault.kind);
                    return Poll::Ready(Some(Ok(())));
                }
                ready!(self.poll_due(cx));
                if self.next_token < self.answer.tokens {
                    self.put_token();
                } else {
                    self.outbox.put_slice(self.answer.tail().as_bytes());
                    self.stage = Stage::Ended;
                }
            }
            Stage::Broken(kind) => return self.poll_break(kind),
            Stage::Ended => {
                self.entry.end();
                return Poll::Ready(None);
            }
        }
        Poll::Ready(Some(Ok(())))
    }

    /// Token i is due i intervals after the start, so that lateness does not add up.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.answer.rate <= 0.0 || self.next_token >= self.answer.tokens {
            return Poll::Ready(());
        }
        let first = self.next_token - self.next_token % self.answer.burst;
        let offset = Duration::from_secs_f64(f64::from(first) / self.answer.rate);
        let due = self.start + offset;
        if self.due.deadline() != due {
            self.due.as_mut().reset(due);
        }
        self.due.as_mut().poll(cx)
    }

    fn put_token(&mut self) {
        if self.answer.is_plain() {
            self.outbox.put_slice(&self.around_text.0);
            if self.answer.has_stamps {
                self.outbox.put_slice(format!("\"{}\"", stamp()).as_bytes());
            } else {
                let text = self.answer.script.token(self.next_token);
                serde_json::to_writer((&mut self.outbox).writer(), text)
                    .expect("a buffer takes everything");
            }
            self.outbox.put_slice(&self.around_text.1);
        } else {
            self.outbox.put_slice(self.answer.token_chunks(self.next_token).as_bytes());
        }
        self.next_token += 1;
        self.counters.count_token(&mut self.entry);
    }

    fn poll_break(&mut self, kind: FaultKind) -> Poll<Option<io::Result<()>>> {
        match kind {
            FaultKind::Die => std::process::exit(DEATH),
            FaultKind::Stall => return Poll::Pending,
            FaultKind::Close => {
                self.entry.fail();
                return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
            }
            FaultKind::Truncate => {
                self.entry.fail();
                return Poll::Ready(None);
            }
            FaultKind::Garbage => self.outbox.put_slice(b"data: {\"choices\": [gar\n\n"),
            FaultKind::HugeLine => self.outbox.put_bytes(b'x', HUGE_LINE_BYTES),
            FaultKind::Error => {
                let error = json!({"error": {"message": "failed as directed", "code": 500}});
                self.outbox.put_slice(format!("data: {error}\n\n").as_bytes());
            }
        }
        self.stage = Stage::Tokens;
        self.answer.fault = None;
        Poll::Ready(Some(Ok(())))
    }
}

impl Body for TokenBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        loop {
            // The server writes out what it was given when it finds the body pending.
            let must_flush = this.answer.split_bytes < usize::MAX
                || this.counters.is_over()
                || matches!(this.stage, Stage::Broken(_));
            if must_flush && !this.is_flushed {
                this.is_flushed = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !this.outbox.is_empty() {
                let bytes = this.outbox.len().min(this.answer.split_bytes);
                let bytes = this.counters.take_bytes(bytes);
                if bytes == 0 {
                    std::process::exit(DEATH);
                }
                this.is_flushed = false;
                return Poll::Ready(Some(Ok(Frame::data(this.outbox.split_to(bytes).freeze()))));
            }
            if this.counters.is_over() {
                std::process::exit(DEATH);
            }
            if let Err(error) = match ready!(this.poll_fill(cx)) {
                Some(filled) => filled,
                None => return Poll::Ready(None),
            } {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}
