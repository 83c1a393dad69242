use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::{Match, PatternError};

/// Regular expressions that are searched for without backtracking, in time linear in the text: one pass says
/// which of them match, and only for those their places are looked up.
#[derive(Debug, Clone)]
pub struct RegexRules {
    set: RegexSet,
    each: Vec<Regex>,
}

/// A regular expression to look for, in the syntax of the `regex` crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegexRule {
    /// The expression.
    pub pattern: String,
    /// Looks past upper and lower case.
    pub ignores_case: bool,
    /// Only where it is no part of a longer word.
    pub is_whole_word: bool,
}

/// Most bytes that one compiled expression may take; all together may take [`SET_BYTES_MAX`].
const REGEX_BYTES_MAX: usize = 2 * 1024 * 1024;
const SET_BYTES_MAX: usize = 32 * 1024 * 1024;

impl RegexRules {
    /// Compiles the expressions.
    ///
    /// # Errors
    /// The first expression that is wrong or too large.
    pub fn new(rules: &[RegexRule]) -> Result<Self, PatternError> {
        let mut each = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            let compiled = RegexBuilder::new(&rule.expression())
                .size_limit(REGEX_BYTES_MAX)
                .build()
                .map_err(|source| PatternError::Regex { index, source: Box::new(source) })?;
            each.push(compiled);
        }
        let set = RegexSetBuilder::new(rules.iter().map(RegexRule::expression))
            .size_limit(SET_BYTES_MAX)
            .build()
            .map_err(|source| PatternError::TooManyRegexes(Box::new(source)))?;
        Ok(Self { set, each })
    }

    /// Hands every occurrence to `found`, expression by expression, until it returns false.
    pub fn search(&self, text: &str, mut found: impl FnMut(Match) -> bool) {
        for pattern in self.set.matches(text) {
            for one in self.each[pattern].find_iter(text) {
                if !found(Match { pattern, span: one.range() }) {
                    return;
                }
            }
        }
    }
}

impl RegexRule {
    fn expression(&self) -> String {
        let flags = if self.ignores_case { "(?i)" } else { "" };
        let pattern = &self.pattern;
        if self.is_whole_word {
            // Half boundaries hold also where the expression starts or ends with a symbol.
            format!("{flags}\\b{{start-half}}(?:{pattern})\\b{{end-half}}")
        } else {
            format!("{flags}(?:{pattern})")
        }
    }
}
