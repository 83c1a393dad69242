use api_types::{EndEvent, ErrorBody, EventKind};
use serde::Serialize;

use crate::{
    Completion, EventProblem, Progress,
    event::{Channel, RawToken, Usage, finish_reason},
    facade_error,
};

/// Writes a task's events as the `data:` chunks of a chat completion stream (ORCH-242, ORCH-246).
#[derive(Debug)]
pub struct ChunkWriter {
    /// Everything of a chunk before its choices.
    head: Vec<u8>,
    /// Everything of a chunk behind its choices.
    tail: &'static [u8],
    include_usage: bool,
    has_role: bool,
}

impl ChunkWriter {
    /// Nothing is written before the first event.
    #[must_use]
    pub fn new(completion: &Completion, include_usage: bool) -> Self {
        let mut head = b"data: {\"id\":".to_vec();
        write_json(&mut head, &completion.id);
        head.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        write_json(&mut head, &completion.created_s);
        head.extend_from_slice(b",\"model\":");
        write_json(&mut head, &completion.model);
        head.extend_from_slice(b",\"choices\":[");
        let tail: &[u8] = if include_usage { b"],\"usage\":null}\n\n" } else { b"]}\n\n" };
        Self { head, tail, include_usage, has_role: false }
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
            EventKind::Started => self.write_role(out),
            EventKind::Token => {
                let token: RawToken<'_> =
                    serde_json::from_slice(data).map_err(EventProblem::of("token"))?;
                self.write_role(out);
                self.write_token(&token, out);
            }
            EventKind::Metrics => {}
            EventKind::End => {
                let end: EndEvent =
                    serde_json::from_slice(data).map_err(EventProblem::of("end"))?;
                self.write_role(out);
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

    /// The first chunk of a stream, once.
    fn write_role(&mut self, out: &mut Vec<u8>) {
        if !self.has_role {
            self.has_role = true;
            self.write_choice(out, |out| {
                out.extend_from_slice(b"{\"role\":\"assistant\",\"content\":\"\"}");
            });
        }
    }

    fn write_token(&self, token: &RawToken<'_>, out: &mut Vec<u8>) {
        let text = token.t.get().as_bytes();
        if text == b"\"\"" {
            return;
        }
        self.write_choice(out, |out| {
            out.extend_from_slice(match token.channel {
                Channel::Content => b"{\"content\":",
                Channel::Reasoning => b"{\"reasoning_content\":",
            });
            out.extend_from_slice(text);
            out.push(b'}');
        });
    }

    /// A chunk that is not the last of its choice.
    fn write_choice(&self, out: &mut Vec<u8>, delta: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"{\"index\":0,\"delta\":");
        delta(out);
        out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":null}");
        out.extend_from_slice(self.tail);
    }

    fn write_end(&self, end: &EndEvent, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":");
        write_json(out, finish_reason(&end.finish_reason));
        out.push(b'}');
        out.extend_from_slice(self.tail);
        if self.include_usage {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(b"],\"usage\":");
            write_json(out, &Usage::of(end));
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
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
