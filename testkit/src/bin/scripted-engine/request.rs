use serde::Deserialize;
use serde_json::{Map, Value};
use testkit::prompt_of_messages;

/// A generation request, chat or plain.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    pub(crate) model: String,
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    pub(crate) stream: bool,
    #[serde(default)]
    stream_options: StreamOptions,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    n: Option<u32>,
    /// True for chats, a number for plain completions.
    logprobs: Option<Value>,
    #[serde(default)]
    tools: Vec<Tool>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    function: Function,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

impl Request {
    pub(crate) fn prompt(&self, is_chat: bool) -> String {
        if !is_chat {
            return self.prompt.clone();
        }
        let texts: Vec<_> = self.messages.iter().map(|it| (&*it.role, it.text())).collect();
        prompt_of_messages(texts.iter().map(|(role, text)| (*role, text.as_str())))
    }

    pub(crate) fn choices(&self) -> u32 {
        self.n.unwrap_or(1)
    }

    pub(crate) fn wants_logprobs(&self) -> bool {
        self.logprobs.as_ref().is_some_and(|value| value.is_u64() || *value == Value::Bool(true))
    }

    /// Name of the first tool.
    pub(crate) fn tool(&self) -> Option<&str> {
        self.tools.first().map(|tool| tool.function.name.as_str())
    }

    pub(crate) fn max_tokens(&self) -> Option<u32> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    pub(crate) fn includes_usage(&self) -> bool {
        self.stream_options.include_usage
    }
}

impl Message {
    /// Its text; what else it has is taken and leaves no trace.
    fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => {
                parts.iter().filter_map(|part| part.text.as_deref()).collect()
            }
        }
    }
}

/// A request for embeddings.
#[derive(Debug, Deserialize)]
pub(crate) struct EmbeddingRequest {
    pub(crate) model: String,
    pub(crate) input: Vec<String>,
}

/// The fields of a request body as they were sent, without the text.
pub(crate) fn fields_for_log(body: &[u8]) -> Map<String, Value> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    fields.remove("messages");
    fields.remove("prompt");
    fields.remove("input");
    fields
}
