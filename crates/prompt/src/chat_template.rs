mod hardening;
mod meter;
mod operations;
mod sandbox;

use sha2::{Digest, Sha256};

use crate::{PromptError, TemplateLimits};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who speaks: `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl ChatMessage {
    /// A turn of `role` that says `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A model's chat template: Jinja, from a stranger.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    source: String,
}

/// What a template sees.
#[derive(Debug)]
pub(crate) struct RenderInput<'a> {
    pub(crate) messages: &'a [ChatMessage],
    pub(crate) add_generation_prompt: bool,
    pub(crate) bos_token: &'a str,
    pub(crate) eos_token: &'a str,
    pub(crate) now_ms: Option<u64>,
}

impl ChatTemplate {
    pub(crate) fn new(source: &str) -> Self {
        Self { source: source.to_owned() }
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn digest(&self) -> String {
        let digest = Sha256::digest(self.source.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }

    pub(crate) fn render(
        &self,
        input: &RenderInput<'_>,
        limits: &TemplateLimits,
    ) -> Result<String, PromptError> {
        let limit = limits.source_bytes_max;
        if self.source.len() as u64 > limit {
            return Err(PromptError::TemplateLimit { what: "bytes of source", limit });
        }
        sandbox::render(&self.source, input, limits)
    }
}
