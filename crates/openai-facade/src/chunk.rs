use api_types::{EndEvent, ErrorBody, EventKind, TokenLogprob, ToolDelta};
use serde::Serialize;

use crate::{
    AnswerForm, Completion, EventProblem, Progress,
    event::{Channel, RawToken, Usage, finish_reasons, plain_text},
    facade_error,
    text_logprobs::TextLogprobs,
};

/// Writes a task's events as the `data:` chunks of a stream (ORCH-242, ORCH-246).
#[derive(Debug)]
pub struct ChunkWriter {
    form: AnswerForm,
    /// Everything of a chunk before its choices.
    head: Vec<u8>,
    /// Everything of a chunk behind its choices.
    tail: &'static [u8],
    include_usage: bool,
    /// What was said of the first choice, which mostly is the only one.
    first: ChoiceState,
    /// Of each choice behind it that was heard of.
    further: Vec<ChoiceState>,
}

#[derive(Debug, Clone, Default)]
struct ChoiceState {
    has_role: bool,
    /// Characters of the tokens whose log probabilities were given.
    text_offset: u64,
}

/// What is shown of a token.
#[derive(Clone, Copy)]
struct Shown<'a> {
    /// A JSON string.
    text: &'a [u8],
    choice: u16,
    channel: Channel,
    delta: Option<&'a ToolDelta>,
    /// In the words of the route.
    logprobs: Option<&'a [u8]>,
}

impl<'a> Shown<'a> {
    fn plain(text: &'a [u8]) -> Self {
        Self { text, choice: 0, channel: Channel::Content, delta: None, logprobs: None }
    }
}

impl ChunkWriter {
    /// Nothing is written before the first event.
    #[must_use]
    pub fn new(completion: &Completion, include_usage: bool) -> Self {
        let mut head = b"data: {\"id\":".to_vec();
        write_json(&mut head, &completion.id);
        head.extend_from_slice(match completion.form {
            AnswerForm::Chat => b",\"object\":\"chat.completion.chunk\",\"created\":",
            AnswerForm::Text => b",\"object\":\"text_completion\",\"created\":",
        });
        write_json(&mut head, &completion.created_s);
        head.extend_from_slice(b",\"model\":");
        write_json(&mut head, &completion.model);
        head.extend_from_slice(b",\"choices\":[");
        let tail: &[u8] = if include_usage { b"],\"usage\":null}\n\n" } else { b"]}\n\n" };
        Self {
            form: completion.form,
            head,
            tail,
            include_usage,
            first: ChoiceState::default(),
            further: Vec::new(),
        }
    }

    /// What each chunk begins with.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Appends what the stream shows of an event, with `data` as it is stored.
    ///
    /// # Errors
    /// `data` is not that of such an event; nothing was appended.
    pub fn write(
        &mut self,
        kind: EventKind,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress, EventProblem> {
        match kind {
            EventKind::Started => self.write_role(0, out),
            EventKind::Token => match plain_text(data) {
                Some(text) => {
                    self.write_role(0, out);
                    self.write_text(&Shown::plain(text), out);
                }
                None => {
                    let token: RawToken<'_> =
                        serde_json::from_slice(data).map_err(EventProblem::of("token"))?;
                    self.write_role(token.choice, out);
                    self.write_token(&token, out)?;
                }
            },
            EventKind::Metrics => {}
            EventKind::End => {
                let end: EndEvent =
                    serde_json::from_slice(data).map_err(EventProblem::of("end"))?;
                self.write_end(&end, out);
                return Ok(Progress::Ended);
            }
            EventKind::Error => {
                let error: ErrorBody =
                    serde_json::from_slice(data).map_err(EventProblem::of("error"))?;
                write_error(&error, out);
                return Ok(Progress::Ended);
            }
        }
        Ok(Progress::More)
    }

    fn choice(&mut self, index: u16) -> &mut ChoiceState {
        let Some(place) = usize::from(index).checked_sub(1) else { return &mut self.first };
        if self.further.len() <= place {
            self.further.resize(place + 1, ChoiceState::default());
        }
        &mut self.further[place]
    }

    /// The first chunk of a choice of a chat, once.
    fn write_role(&mut self, index: u16, out: &mut Vec<u8>) {
        let choice = self.choice(index);
        if !std::mem::replace(&mut choice.has_role, true) && self.form == AnswerForm::Chat {
            self.write_choice(index, out, b"null", |out| {
                out.extend_from_slice(b"{\"role\":\"assistant\",\"content\":\"\"}");
            });
        }
    }

    fn write_token(&mut self, token: &RawToken<'_>, out: &mut Vec<u8>) -> Result<(), EventProblem> {
        let logprobs = self.logprobs(token)?;
        let shown = Shown {
            choice: token.choice,
            channel: token.channel,
            delta: token.delta.as_ref(),
            logprobs: logprobs.as_deref(),
            ..Shown::plain(token.t.get().as_bytes())
        };
        self.write_text(&shown, out);
        Ok(())
    }

    fn write_text(&self, token: &Shown<'_>, out: &mut Vec<u8>) {
        let Shown { text, choice, channel, delta, logprobs } = *token;
        if text == b"\"\"" && delta.is_none() && logprobs.is_none() {
            return;
        }
        let logprobs = logprobs.unwrap_or(b"null");
        if self.form == AnswerForm::Text {
            // This route has one channel.
            if channel == Channel::Content {
                self.write_choice(choice, out, logprobs, |out| out.extend_from_slice(text));
            }
            return;
        }
        self.write_choice(choice, out, logprobs, |out| match (delta, channel) {
            (Some(delta), _) => write_tool_delta(out, delta, text),
            (None, Channel::Reasoning) => {
                out.extend_from_slice(b"{\"reasoning_content\":");
                out.extend_from_slice(text);
                out.push(b'}');
            }
            (None, Channel::Content | Channel::Tool) => {
                out.extend_from_slice(b"{\"content\":");
                out.extend_from_slice(text);
                out.push(b'}');
            }
        });
    }

    /// The log probabilities of a token in the words of the route.
    fn logprobs(&mut self, token: &RawToken<'_>) -> Result<Option<Vec<u8>>, EventProblem> {
        let Some(raw) = token.logprobs else { return Ok(None) };
        let mut json = Vec::new();
        match self.form {
            AnswerForm::Chat => {
                json.extend_from_slice(b"{\"content\":");
                json.extend_from_slice(raw.get().as_bytes());
                json.extend_from_slice(b",\"refusal\":null}");
            }
            AnswerForm::Text => {
                let tokens: Vec<TokenLogprob> =
                    serde_json::from_str(raw.get()).map_err(EventProblem::of("token"))?;
                let mut logprobs = TextLogprobs::default();
                logprobs.add(tokens, &mut self.choice(token.choice).text_offset);
                write_json(&mut json, &logprobs);
            }
        }
        Ok(Some(json))
    }

    /// A chunk that is not the last of its choice.
    fn write_choice(
        &self,
        index: u16,
        out: &mut Vec<u8>,
        logprobs: &[u8],
        delta: impl FnOnce(&mut Vec<u8>),
    ) {
        self.write_choice_head(index, out);
        delta(out);
        out.extend_from_slice(b",\"logprobs\":");
        out.extend_from_slice(logprobs);
        out.extend_from_slice(b",\"finish_reason\":null}");
        out.extend_from_slice(self.tail);
    }

    fn write_choice_head(&self, index: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"{\"index\":");
        write_json(out, &index);
        out.extend_from_slice(match self.form {
            AnswerForm::Chat => b",\"delta\":",
            AnswerForm::Text => b",\"text\":",
        });
    }

    fn write_end(&mut self, end: &EndEvent, out: &mut Vec<u8>) {
        for (index, reason) in (0..).zip(finish_reasons(end)) {
            self.write_role(index, out);
            self.write_choice_head(index, out);
            out.extend_from_slice(match self.form {
                AnswerForm::Chat => b"{}",
                AnswerForm::Text => b"\"\"",
            });
            out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":");
            write_json(out, reason);
            out.push(b'}');
            out.extend_from_slice(self.tail);
        }
        if self.include_usage {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(b"],\"usage\":");
            write_json(out, &Usage::of(end));
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// Part of a tool call; `arguments` is a JSON string.
fn write_tool_delta(out: &mut Vec<u8>, delta: &ToolDelta, arguments: &[u8]) {
    out.extend_from_slice(b"{\"tool_calls\":[{\"index\":");
    write_json(out, &delta.index);
    if let Some(id) = &delta.id {
        out.extend_from_slice(b",\"id\":");
        write_json(out, id);
        out.extend_from_slice(b",\"type\":\"function\"");
    }
    out.extend_from_slice(b",\"function\":{");
    if let Some(name) = &delta.name {
        out.extend_from_slice(b"\"name\":");
        write_json(out, name);
        out.push(b',');
    }
    out.extend_from_slice(b"\"arguments\":");
    out.extend_from_slice(arguments);
    out.extend_from_slice(b"}}]}");
}

/// The last event of a stream that broke off; no `[DONE]` follows.
fn write_error(error: &ErrorBody, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    write_json(out, &facade_error(error, None).body);
    out.extend_from_slice(b"\n\n");
}

fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("these types are JSON and memory takes it");
}
