mod client;
mod critic;
mod openai_judge;
mod retry_after;
mod secret;
mod trace_context;

pub use client::HttpClientError;
pub use critic::{HttpCritic, http_critic};
pub use openai_judge::{OpenAiJudge, openai_judge};
pub use secret::{Secret, SecretSource};
