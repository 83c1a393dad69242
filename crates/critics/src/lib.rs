//! Critics that ship with `critic-executor`.
//!
//! What they look for is found by plain functions and types that can be used alone: [`find_pii`],
//! [`KeywordSet`], [`RegexRules`]. All of them take time linear in the text.

mod pii;
mod text;

pub use pii::{PiiKind, PiiMatch, find_pii};
pub use text::{Folded, Folding, Keyword, KeywordSet, Match, PatternError, RegexRule, RegexRules};
