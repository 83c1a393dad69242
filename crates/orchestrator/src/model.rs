use std::sync::Arc;

use api_types::{MessageRequest, ModelView, PreparationView};
use async_trait::async_trait;
use placement::Strategy;

use crate::pool_table::PoolModel;

/// Which models there are, as admission asks.
#[async_trait]
pub trait ModelDirectory: Send + Sync + 'static {
    /// What a model reference stands for now: an alias or a catalog id.
    ///
    /// # Errors
    /// Why no task can be admitted for it.
    fn resolve(&self, model_ref: &str) -> Result<ModelFacts, ModelRefusal>;

    /// The model of requests that name none.
    fn default_model(&self) -> Option<String>;

    /// Takes in what an attached engine serves now, and says under which catalog ids; a model without
    /// files or digest is listed as unverified.
    async fn attach(&self, pool_id: &str, models: &[adapter_host::EngineModel]) -> Vec<PoolModel>;

    /// All models, in the order of their ids; pools and replicas are filled in by the caller.
    fn list(&self) -> Vec<ModelView>;
}

/// What admission needs to know of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// Catalog id.
    pub id: Arc<str>,
    /// Digest of its file; `None` where only a remote engine holds it.
    pub digest: Option<Arc<str>>,
    /// Context of the model itself, in tokens; pools may cap it further.
    pub ctx_max: Option<u32>,
    /// Answer length of requests that name none, in tokens.
    pub max_tokens_default: u32,
    /// Work that must be done before the model can run.
    pub preparation: PreparationView,
    /// How many of its tasks may wait, where that is not as for all models.
    pub queue_capacity: Option<u64>,
    /// How its replicas are chosen, where that is not as for all models.
    pub strategy: Option<Strategy>,
}

/// Why a model reference admits no task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelRefusal {
    #[error("no model `{0}` is known; GET /v1/models lists them, [models.<id>] source adds one")]
    Unknown(String),
    #[error("model `{0}` is retired")]
    Retired(String),
    /// Known, but the trust policy does not let it be used.
    #[error("model `{model}` is not to be trusted: {reason}")]
    Untrusted { model: String, reason: String },
    /// Known, but something is missing.
    #[error("model `{model}` is not available: {missing}")]
    NotAvailable {
        model: String,
        missing: String,
        /// Whether it may become available by itself.
        retriable: bool,
    },
}

/// What is asked of a prompt before a slot is.
#[derive(Debug, Clone, Copy)]
pub enum PromptText<'a> {
    /// Text to complete.
    Text(&'a str),
    /// A conversation.
    Messages(&'a [MessageRequest]),
}

/// Renders and counts prompts with the model's own template and tokenizer.
#[async_trait]
pub trait PromptMeter: Send + Sync + 'static {
    /// The prompt's token ids; `None` where no tokenizer of the model is at hand.
    ///
    /// # Errors
    /// Why the model's own files cannot render this prompt.
    async fn render(
        &self,
        model_id: &str,
        prompt: PromptText<'_>,
    ) -> Result<Option<Arc<[u32]>>, PromptRefusal>;
}

/// Why a prompt cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptRefusal {
    #[error("the model's file has no chat template; send `prompt` instead of `messages`")]
    NoTemplate,
    /// The template or the tokenizer says no; the text is safe to show.
    #[error("the model's chat template refuses these messages: {0}")]
    Refused(String),
}
