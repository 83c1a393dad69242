use api_types::{EndEvent, ErrorBody, EventKind};
use serde::Serialize;

use crate::{
    Completion, EventProblem, FacadeError,
    event::{Channel, TextToken, Usage, finish_reason},
    facade_error,
};

/// Folds a task's events into one chat completion answer.
#[derive(Debug)]
pub struct Collector {
    completion: Completion,
    content: String,
    reasoning: String,
}

/// How a request without streaming is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200 with this `chat.completion` object.
    Completion(Vec<u8>),
    Error(FacadeError),
}

impl Collector {
    /// Without text.
    #[must_use]
    pub fn new(completion: Completion) -> Self {
        Self { completion, content: String::new(), reasoning: String::new() }
    }

    /// Takes in an event, with `data` as it is stored; the terminal one gives the answer.
    ///
    /// # Errors
    /// `data` is not that of such an event.
    pub fn take(&mut self, kind: EventKind, data: &[u8]) -> Result<Option<Answer>, EventProblem> {
        match kind {
            EventKind::Started | EventKind::Metrics => Ok(None),
            EventKind::Token => {
                let token: TextToken<'_> =
                    serde_json::from_slice(data).map_err(EventProblem::of("token"))?;
                match token.channel {
                    Channel::Content => self.content.push_str(&token.t),
                    Channel::Reasoning => self.reasoning.push_str(&token.t),
                }
                Ok(None)
            }
            EventKind::End => {
                let end: EndEvent =
                    serde_json::from_slice(data).map_err(EventProblem::of("end"))?;
                Ok(Some(Answer::Completion(self.completion(&end))))
            }
            EventKind::Error => {
                let error: ErrorBody =
                    serde_json::from_slice(data).map_err(EventProblem::of("error"))?;
                Ok(Some(Answer::Error(facade_error(&error, None))))
            }
        }
    }

    fn completion(&self, end: &EndEvent) -> Vec<u8> {
        let reasoning_content = (!self.reasoning.is_empty()).then_some(self.reasoning.as_str());
        let message =
            Message { role: "assistant", content: &self.content, reasoning_content, refusal: () };
        let choice = Choice {
            index: 0,
            message,
            logprobs: (),
            finish_reason: finish_reason(&end.finish_reason),
        };
        let object = CompletionObject {
            id: &self.completion.id,
            object: "chat.completion",
            created: self.completion.created_s,
            model: &self.completion.model,
            choices: [choice],
            usage: Usage::of(end),
        };
        serde_json::to_vec(&object).expect("the object is JSON")
    }
}

/// The official `chat.completion`.
#[derive(Serialize)]
struct CompletionObject<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    /// Always null.
    logprobs: (),
    finish_reason: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    /// Always null.
    refusal: (),
}
