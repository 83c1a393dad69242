mod fold;
mod keyword_set;
mod regex_set;
mod word_boundary;

pub use fold::{Folded, Folding};
pub use keyword_set::{Keyword, KeywordSet};
pub use regex_set::{RegexRule, RegexRules};

use std::ops::Range;

/// Where a pattern was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Index of the pattern in the order in which the patterns were given.
    pub pattern: usize,
    /// Bytes of the searched text, on character boundaries.
    pub span: Range<usize>,
}

/// Patterns that cannot be searched for.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// A keyword without a visible character would be found everywhere or nowhere.
    #[error("keyword {index} is empty once it is folded; remove it")]
    EmptyKeyword {
        /// Index in the order given.
        index: usize,
    },
    /// All keywords together need too large an automaton.
    #[error("the keywords need too large an automaton; use fewer or shorter ones")]
    TooManyKeywords(#[source] aho_corasick::BuildError),
    /// A regular expression is wrong or too large.
    #[error("regular expression {index} cannot be used")]
    Regex {
        /// Index in the order given.
        index: usize,
        #[source]
        source: Box<regex::Error>,
    },
    /// All regular expressions together are too large.
    #[error("the regular expressions together are too large; use fewer or simpler ones")]
    TooManyRegexes(#[source] Box<regex::Error>),
}
