//! Critics that ship with `critic-executor`.
//!
//! | critic | looks for | feature |
//! |---|---|---|
//! | [`patterns()`] | keywords and regular expressions | |
//! | [`pii()`] | e-mail addresses, telephone, card and account numbers | |
//! | [`length()`] | too much or too little text | |
//! | [`json_output()`] | text that is not JSON of a schema | `json-schema` |
//! | [`judge()`] | whatever a language model is told to look for | |
//! | `openai_judge()`, `http_critic()` | the same behind an OpenAI-compatible API; any service | `http` |
//!
//! With the feature `config`, `kinds()` names them for plans from files.
//!
//! What they look for is found by plain functions and types that can be used alone: [`find_pii`],
//! [`KeywordSet`], [`RegexRules`]. All of them take time linear in the text.

#[cfg(feature = "json-schema")]
mod code_fence;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "json-schema")]
mod json_critic;
mod judge;
#[cfg(feature = "config")]
mod kinds;
mod length_critic;
mod pattern_critic;
mod pii;
mod pii_critic;
mod subject;
mod text;

#[cfg(feature = "http")]
pub use http::{
    HttpClientError, HttpCritic, OpenAiJudge, Secret, SecretSource, http_critic, openai_judge,
};
#[cfg(feature = "json-schema")]
pub use json_critic::{JsonCritic, SchemaError, json_output};
pub use judge::{
    JudgeAnswer, JudgeCritic, JudgeModel, JudgeQuestion, JudgeUsage, Price, PriceTable, judge,
    verdict_schema,
};
#[cfg(feature = "config")]
pub use kinds::kinds;
pub use length_critic::{LengthCritic, length};
pub use pattern_critic::{PatternCritic, PatternRule, Patterns, patterns};
pub use pii::{PiiKind, PiiMatch, find_pii};
pub use pii_critic::{PiiCritic, pii};
pub use subject::Subject;
pub use text::{Folded, Folding, Keyword, KeywordSet, Match, PatternError, RegexRule, RegexRules};

/// Most violations in one finding; the executor refuses findings with more than 1,000. A finding that is cut
/// off has the severity of all that was found.
const VIOLATIONS_MAX: usize = 100;
