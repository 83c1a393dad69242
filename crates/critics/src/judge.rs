mod critic;
mod price_table;
mod question;
mod reply;

pub use critic::{JudgeCritic, judge};
pub use price_table::{Price, PriceTable};
pub use reply::verdict_schema;

use std::time::Duration;

use async_trait::async_trait;
use critic_executor::CriticError;

/// A language model that is asked for a verdict. Implement it for a model that is reached in another way than
/// over an OpenAI-compatible API.
#[async_trait]
pub trait JudgeModel: Send + Sync {
    /// The model's name, as it stands in price tables and plan digests.
    fn name(&self) -> &str;

    /// Has the question answered once, without retries of its own.
    ///
    /// # Errors
    /// Why there is no answer; the kind decides whether the executor tries again.
    async fn ask(&self, question: JudgeQuestion) -> Result<JudgeAnswer, CriticError>;
}

/// What a judge is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeQuestion {
    /// The rules, for the system message.
    pub system: String,
    /// The texts under review, for the user's message.
    pub user: String,
    /// Schema of the reply, for models that can be held to one.
    pub schema: serde_json::Value,
    /// Time that is left for the answer.
    pub remaining: Duration,
    /// Id under which the caller traces the request.
    pub trace_id: Option<String>,
}

/// What the model said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JudgeAnswer {
    /// The whole message.
    pub content: String,
    /// Why the model says that it will not answer.
    pub refusal: Option<String>,
    /// Whether the message was cut off: by its length, by a filter.
    pub is_cut: bool,
    /// Tokens read and written, where the model tells.
    pub usage: Option<JudgeUsage>,
}

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JudgeUsage {
    /// Tokens of the question.
    pub tokens_in: u64,
    /// Tokens of the answer.
    pub tokens_out: u64,
}
