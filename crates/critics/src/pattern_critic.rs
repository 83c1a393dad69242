use async_trait::async_trait;
use critic_executor::{
    Critic, CriticContext, CriticError, CriticOutput, Evidence, Finding, TextTarget, Violation,
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Folding, Keyword, KeywordSet, Match, PatternError, RegexRule, RegexRules, Subject,
    VIOLATIONS_MAX,
};

/// Looks for keywords and regular expressions, all of them in one pass each.
///
/// ```
/// use critic_executor::{Critic, CriticContext, RunInput};
/// use critics::{PatternRule, patterns};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let critic = patterns()
///     .keyword("wire transfer", PatternRule::new("fraud", 0.7))
///     .regex(r"sk-[A-Za-z0-9]{20,}", PatternRule::new("api_key", 1.0))
///     .build()
///     .unwrap();
/// let ctx = CriticContext::standalone(RunInput::new("Do a Wire Transfer now"));
/// let finding = critic.evaluate(&ctx).await.unwrap().finding;
/// assert_eq!((finding.severity, finding.violations[0].code.as_str()), (0.7, "fraud"));
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct PatternCritic {
    patterns: Patterns,
    keywords: KeywordSet,
    regexes: RegexRules,
    /// No match is worse than this.
    severity_max: f64,
}

/// What a match of a pattern means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PatternRule {
    /// Code of the violation, not empty.
    pub code: String,
    /// How bad it is, 0 to 1.
    pub severity: f64,
    /// Message for people; the code's if it is empty.
    pub message: String,
    /// Only where it is no part of a longer word.
    pub is_whole_word: bool,
}

/// A pattern critic in the making. Looks past case, invisible characters and width unless told otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Patterns {
    subject: Subject,
    folding: Folding,
    keywords: Vec<(String, PatternRule)>,
    regexes: Vec<(String, PatternRule)>,
}

/// A pattern critic without patterns yet.
#[must_use]
pub fn patterns() -> Patterns {
    Patterns::default()
}

impl PatternRule {
    /// A whole word of a severity, without a message of its own.
    pub fn new(code: impl Into<String>, severity: f64) -> Self {
        Self { code: code.into(), severity, message: String::new(), is_whole_word: true }
    }

    /// Sets the message for people.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Also inside longer words.
    #[must_use]
    pub fn anywhere(mut self) -> Self {
        self.is_whole_word = false;
        self
    }
}

impl Default for Patterns {
    fn default() -> Self {
        let folding = Folding::ALL;
        Self { subject: Subject::default(), folding, keywords: Vec::new(), regexes: Vec::new() }
    }
}

impl Patterns {
    /// Looks at another text than the latest.
    #[must_use]
    pub fn of(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// What the search looks past. Of it, regular expressions know the case only.
    #[must_use]
    pub fn folding(mut self, folding: Folding) -> Self {
        self.folding = folding;
        self
    }

    /// Adds a word or phrase.
    #[must_use]
    pub fn keyword(mut self, keyword: impl Into<String>, rule: PatternRule) -> Self {
        self.keywords.push((keyword.into(), rule));
        self
    }

    /// Adds a regular expression in the syntax of the `regex` crate.
    #[must_use]
    pub fn regex(mut self, pattern: impl Into<String>, rule: PatternRule) -> Self {
        self.regexes.push((pattern.into(), rule));
        self
    }

    /// Prepares the search.
    ///
    /// # Errors
    /// The first pattern that cannot be searched for.
    pub fn build(self) -> Result<PatternCritic, PatternError> {
        let keyword = |(text, rule): &(String, PatternRule)| Keyword {
            text: text.clone(),
            is_whole_word: rule.is_whole_word,
        };
        let keywords: Vec<_> = self.keywords.iter().map(keyword).collect();
        let regex = |(pattern, rule): &(String, PatternRule)| RegexRule {
            pattern: pattern.clone(),
            ignores_case: self.folding.case,
            is_whole_word: rule.is_whole_word,
        };
        let regexes: Vec<_> = self.regexes.iter().map(regex).collect();
        let rules = self.keywords.iter().chain(&self.regexes);
        Ok(PatternCritic {
            keywords: KeywordSet::new(&keywords, self.folding)?,
            regexes: RegexRules::new(&regexes)?,
            severity_max: rules.map(|(_, rule)| rule.severity).fold(0.0, f64::max),
            patterns: self,
        })
    }
}

impl PatternCritic {
    fn finding(&self, target: TextTarget, text: &str) -> Finding {
        let mut found =
            Found { target, finding: Finding::clean(), severity_max: self.severity_max };
        self.keywords.search(text, |one| found.add(&self.patterns.keywords[one.pattern].1, one));
        self.regexes.search(text, |one| found.add(&self.patterns.regexes[one.pattern].1, one));
        found.finding
    }
}

struct Found {
    target: TextTarget,
    finding: Finding,
    severity_max: f64,
}

impl Found {
    /// Adds a match; false once further ones cannot change anything.
    fn add(&mut self, rule: &PatternRule, found: Match) -> bool {
        let is_full = self.finding.violations.len() >= VIOLATIONS_MAX;
        // A worse one is told even when the list is full, in the place of the last.
        if is_full && rule.severity > self.finding.severity {
            self.finding.violations.pop();
            self.finding.evidence.pop();
        } else if is_full {
            return self.finding.severity < self.severity_max;
        }
        let message = if rule.message.is_empty() {
            format!("matches a pattern for {}", rule.code)
        } else {
            rule.message.clone()
        };
        let violation = Violation::new(rule.code.as_str(), message)
            .with_severity(rule.severity)
            .with_span(self.target, found.span.clone());
        self.finding.violations.push(violation);
        self.finding.evidence.push(Evidence::new("pattern").with_span(self.target, found.span));
        self.finding.severity = self.finding.severity.max(rule.severity);
        true
    }
}

#[async_trait]
impl Critic for PatternCritic {
    async fn evaluate(&self, ctx: &CriticContext) -> Result<CriticOutput, CriticError> {
        let (target, text) = self.patterns.subject.of(ctx)?;
        Ok(self.finding(target, text).into())
    }

    fn settings(&self) -> Value {
        serde_json::json!({ "patterns": self.patterns })
    }
}
