use api_types::{EndEvent, ErrorBody, EventKind, TokenLogprob, ToolDelta};
use serde::Serialize;

use crate::{
    AnswerForm, Completion, EventProblem, FacadeError,
    event::{Channel, TextToken, Usage, finish_reasons},
    facade_error,
    text_logprobs::TextLogprobs,
};

/// Folds a task's events into one answer.
#[derive(Debug)]
pub struct Collector {
    completion: Completion,
    choices: Vec<Collected>,
}

/// How a request without streaming is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200 with this `chat.completion` or `text_completion` object.
    Completion(Vec<u8>),
    Error(FacadeError),
}

/// What came of one choice.
#[derive(Debug, Default)]
struct Collected {
    content: String,
    reasoning: String,
    tool_calls: Vec<CollectedCall>,
    logprobs: Option<Vec<TokenLogprob>>,
}

#[derive(Debug, Default)]
struct CollectedCall {
    id: String,
    name: String,
    arguments: String,
}

impl Collector {
    /// Without text.
    #[must_use]
    pub fn new(completion: Completion) -> Self {
        Self { completion, choices: Vec::new() }
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
                self.choice(token.choice).take(token);
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

    fn choice(&mut self, index: u16) -> &mut Collected {
        let index = usize::from(index);
        if self.choices.len() <= index {
            self.choices.resize_with(index + 1, Collected::default);
        }
        &mut self.choices[index]
    }

    fn completion(&mut self, end: &EndEvent) -> Vec<u8> {
        let form = self.completion.form;
        let mut choices = Vec::new();
        for (index, reason) in (0..).zip(finish_reasons(end)) {
            let collected = std::mem::take(self.choice(index));
            choices.push(collected.choice(form, index, reason));
        }
        let object = CompletionObject {
            id: &self.completion.id,
            object: match form {
                AnswerForm::Chat => "chat.completion",
                AnswerForm::Text => "text_completion",
            },
            created: self.completion.created_s,
            model: &self.completion.model,
            choices,
            usage: Usage::of(end),
        };
        serde_json::to_vec(&object).expect("the object is JSON")
    }
}

impl Collected {
    fn take(&mut self, token: TextToken<'_>) {
        match (token.delta, token.channel) {
            (Some(delta), _) => self.take_call(delta, &token.t),
            (None, Channel::Reasoning) => self.reasoning.push_str(&token.t),
            (None, Channel::Content | Channel::Tool) => self.content.push_str(&token.t),
        }
        if let Some(logprobs) = token.logprobs {
            self.logprobs.get_or_insert_default().extend(logprobs);
        }
    }

    fn take_call(&mut self, delta: ToolDelta, arguments: &str) {
        // Calls come in the order of their indexes, so that none can be far out.
        let index = usize::try_from(delta.index).unwrap_or(usize::MAX);
        if index >= self.tool_calls.len() {
            self.tool_calls.push(CollectedCall::default());
        }
        let last = self.tool_calls.len() - 1;
        let call = &mut self.tool_calls[index.min(last)];
        call.id.push_str(delta.id.as_deref().unwrap_or_default());
        call.name.push_str(delta.name.as_deref().unwrap_or_default());
        call.arguments.push_str(arguments);
    }

    fn choice(self, form: AnswerForm, index: u16, finish_reason: &str) -> Choice<'_> {
        if form == AnswerForm::Text {
            let logprobs = self.logprobs.map(|tokens| {
                let mut logprobs = TextLogprobs::default();
                logprobs.add(tokens, &mut 0);
                logprobs
            });
            return Choice::Text { index, text: self.content, logprobs, finish_reason };
        }
        let calls = self.tool_calls.into_iter().map(|call| ToolCallObject {
            id: call.id,
            kind: "function",
            function: FunctionObject { name: call.name, arguments: call.arguments },
        });
        let tool_calls: Vec<_> = calls.collect();
        let has_content = tool_calls.is_empty() || !self.content.is_empty();
        let message = Message {
            role: "assistant",
            content: has_content.then_some(self.content),
            reasoning_content: Some(self.reasoning).filter(|text| !text.is_empty()),
            tool_calls,
            refusal: (),
        };
        let logprobs = self.logprobs.map(|content| ChatLogprobs { content, refusal: () });
        Choice::Chat { index, message, logprobs, finish_reason }
    }
}

/// The official `chat.completion` or `text_completion`.
#[derive(Serialize)]
struct CompletionObject<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    usage: Option<Usage>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Chat { index: u16, message: Message, logprobs: Option<ChatLogprobs>, finish_reason: &'a str },
    Text { index: u16, text: String, logprobs: Option<TextLogprobs>, finish_reason: &'a str },
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    /// Null where the answer is calls of tools and nothing else.
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCallObject>,
    /// Always null.
    refusal: (),
}

#[derive(Serialize)]
struct ToolCallObject {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionObject,
}

#[derive(Serialize)]
struct FunctionObject {
    name: String,
    arguments: String,
}

#[derive(Serialize)]
struct ChatLogprobs {
    content: Vec<TokenLogprob>,
    /// Always null.
    refusal: (),
}
