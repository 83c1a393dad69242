use std::{fmt, sync::Arc};

use async_trait::async_trait;
use critic_executor::CriticError;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::json;

use super::{
    client::{self, HttpClientError},
    secret::SecretSource,
    trace_context::with_trace,
};
use crate::{JudgeAnswer, JudgeModel, JudgeQuestion, JudgeUsage};

/// Tokens that a verdict may take unless told otherwise.
const MAX_TOKENS: u32 = 1024;

/// A judge behind an OpenAI-compatible API (`POST <base>/chat/completions`), asked at temperature 0 with the
/// reply's JSON Schema as its response format.
pub struct OpenAiJudge {
    client: Client,
    url: Url,
    model: String,
    max_tokens: u32,
    credential: Option<Arc<dyn SecretSource>>,
}

/// The judge `model` of the server at `base`, such as `https://host/v1`.
///
/// # Errors
/// An address that is none or that holds a credential, or a process without a crypto provider.
pub fn openai_judge(base: &str, model: impl Into<String>) -> Result<OpenAiJudge, HttpClientError> {
    let url = client::address(&format!("{}/chat/completions", base.trim_end_matches('/')))?;
    let client = client::client()?;
    Ok(OpenAiJudge { client, url, model: model.into(), max_tokens: MAX_TOKENS, credential: None })
}

impl OpenAiJudge {
    /// Sends this credential as a bearer token.
    #[must_use]
    pub fn bearer(mut self, source: impl SecretSource + 'static) -> Self {
        self.credential = Some(Arc::new(source));
        self
    }

    /// Most tokens of a reply. One that needs more is cut, which is no verdict.
    #[must_use]
    pub fn max_tokens(mut self, most: u32) -> Self {
        self.max_tokens = most;
        self
    }
}

impl fmt::Debug for OpenAiJudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("OpenAiJudge");
        debug
            .field("host", &self.url.host_str())
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

#[async_trait]
impl JudgeModel for OpenAiJudge {
    fn name(&self) -> &str {
        &self.model
    }

    async fn ask(&self, question: JudgeQuestion) -> Result<JudgeAnswer, CriticError> {
        let body = json!({
            "model": self.model,
            "temperature": 0,
            "max_tokens": self.max_tokens,
            "messages": [
                { "role": "system", "content": question.system },
                { "role": "user", "content": question.user },
            ],
            "response_format": {
                "type": "json_schema",
                "json_schema": { "name": "verdict", "strict": true, "schema": question.schema },
            },
        });
        let request = self.client.post(self.url.clone()).json(&body);
        let mut request = with_trace(request, question.trace_id.as_deref());
        if let Some(source) = &self.credential {
            request = request.bearer_auth(source.secret()?.expose());
        }
        let body = client::send(request, question.remaining).await?;
        let completion: Completion = serde_json::from_slice(&body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            CriticError::invalid(format!(
                "the server's answer is no completion (line {line}, column {column})"
            ))
        })?;
        let usage = completion.usage.map(|usage| JudgeUsage {
            tokens_in: usage.prompt_tokens,
            tokens_out: usage.completion_tokens,
        });
        let mut choices = completion.choices.into_iter();
        let (Some(choice), None) = (choices.next(), choices.next()) else {
            return Err(CriticError::invalid("the server's answer has not exactly one choice"));
        };
        let refusal = choice.message.refusal.filter(|refusal| !refusal.is_empty());
        let refusal = refusal.or_else(|| {
            let is_filtered = choice.finish_reason.as_deref() == Some("content_filter");
            is_filtered.then(|| "the server's filter".to_owned())
        });
        Ok(JudgeAnswer {
            content: choice.message.content.unwrap_or_default(),
            refusal,
            is_cut: choice.finish_reason.as_deref() != Some("stop"),
            usage,
        })
    }
}
