use gguf::GgufError;

/// Why a model's text side could not be read, or a prompt not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// The header lacks something that a tokenizer needs, or holds another type there.
    #[error("the model file's header does not describe a tokenizer")]
    Header(#[from] GgufError),
    /// A kind of tokenizer whose exact rules are not built in.
    #[error("tokenizer {kind} is not supported; {supported}")]
    UnsupportedTokenizer {
        /// What the file asks for.
        kind: String,
        /// What would be supported.
        supported: &'static str,
    },
    /// The tokenizer's tables contradict each other or themselves.
    #[error("the tokenizer's tables are unusable: {reason}")]
    InvalidVocabulary {
        /// What is wrong.
        reason: String,
    },
    /// Messages for a model without a chat template.
    #[error("the model has no chat template; send a prompt instead of messages")]
    NoTemplate,
    /// The template is not a program that can be run here.
    #[error("the model's chat template cannot be used: {message}")]
    InvalidTemplate {
        /// What is wrong, and where.
        message: String,
    },
    /// The template refused these messages, or failed on them.
    #[error("the model's chat template refused the messages: {message}")]
    TemplateRejected {
        /// What the template or its interpreter said.
        message: String,
    },
    /// The template went over one of the [`TemplateLimits`](crate::TemplateLimits).
    #[error("the model's chat template went over its limit of {limit} {what}")]
    TemplateLimit {
        /// What there was too much of.
        what: &'static str,
        /// The most that is allowed.
        limit: u64,
    },
}
