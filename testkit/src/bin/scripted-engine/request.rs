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
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: String,
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
        prompt_of_messages(self.messages.iter().map(|message| (&*message.role, &*message.content)))
    }

    pub(crate) fn max_tokens(&self) -> Option<u32> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    pub(crate) fn includes_usage(&self) -> bool {
        self.stream_options.include_usage
    }
}

/// The fields of a request body as they were sent, without the text.
pub(crate) fn fields_for_log(body: &[u8]) -> Map<String, Value> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    fields.remove("messages");
    fields.remove("prompt");
    fields
}
