use async_trait::async_trait;
use critic_executor::{Critic, CriticContext, CriticError, CriticOutput, Finding, Violation};
use serde::Serialize;
use serde_json::Value;

use crate::Subject;

/// Checks that a text is neither too long nor too short. Without a bound it finds nothing.
///
/// ```
/// use critic_executor::{Critic, CriticContext, RunInput};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let critic = critics::length().max_chars(5).min_words(2);
/// let ctx = CriticContext::standalone(RunInput::new("hello there"));
/// let finding = critic.evaluate(&ctx).await.unwrap().finding;
/// assert_eq!(finding.violations[0].code, "length.chars.max");
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LengthCritic {
    subject: Subject,
    severity: f64,
    bytes: Bounds,
    chars: Bounds,
    lines: Bounds,
    words: Bounds,
}

/// The least and the most that is fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
struct Bounds {
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<usize>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Chars,
    Lines,
    Words,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Chars => "chars",
            Self::Lines => "lines",
            Self::Words => "words",
        }
    }

    fn count(self, text: &str) -> usize {
        match self {
            Self::Bytes => text.len(),
            Self::Chars => text.chars().count(),
            Self::Lines => text.lines().count(),
            Self::Words => text.split_whitespace().count(),
        }
    }
}

/// A length check without bounds yet.
#[must_use]
pub fn length() -> LengthCritic {
    LengthCritic::default()
}

impl Default for LengthCritic {
    fn default() -> Self {
        let none = Bounds::default();
        Self {
            subject: Subject::default(),
            severity: 1.0,
            bytes: none,
            chars: none,
            lines: none,
            words: none,
        }
    }
}

/// One pair of setters for each way of counting.
macro_rules! bounds {
    ($($unit:literal, $field:ident, $min:ident, $max:ident;)*) => {
        $(
            #[doc = concat!("At least so many ", $unit, ".")]
            #[must_use]
            pub fn $min(mut self, least: usize) -> Self {
                self.$field.min = Some(least);
                self
            }

            #[doc = concat!("At most so many ", $unit, ".")]
            #[must_use]
            pub fn $max(mut self, most: usize) -> Self {
                self.$field.max = Some(most);
                self
            }
        )*
    };
}

impl LengthCritic {
    /// Looks at another text than the latest.
    #[must_use]
    pub fn of(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// How bad a wrong length is, 0 to 1; 1 unless told otherwise.
    #[must_use]
    pub fn severity(mut self, severity: f64) -> Self {
        self.severity = severity;
        self
    }

    bounds! {
        "bytes of UTF-8", bytes, min_bytes, max_bytes;
        "characters (Unicode scalar values)", chars, min_chars, max_chars;
        "lines; a line end at the very end opens no further one", lines, min_lines, max_lines;
        "words, parted by white space", words, min_words, max_words;
    }

    /// What is wrong with a text.
    fn finding(&self, text: &str) -> Finding {
        let all = [
            (Unit::Bytes, self.bytes),
            (Unit::Chars, self.chars),
            (Unit::Lines, self.lines),
            (Unit::Words, self.words),
        ];
        let mut finding = Finding::clean();
        for (unit, bounds) in all.into_iter().filter(|(_, bounds)| *bounds != Bounds::default()) {
            let (found, unit) = (unit.count(text), unit.name());
            let breaks = [
                ("min", bounds.min.filter(|least| found < *least)),
                ("max", bounds.max.filter(|most| found > *most)),
            ];
            for (bound, limit) in breaks {
                let Some(limit) = limit else { continue };
                let message = format!("{found} {unit}, {bound} is {limit}");
                let violation = Violation::new(format!("length.{unit}.{bound}"), message);
                finding = finding.with_violation(violation.with_severity(self.severity));
                finding.severity = self.severity;
            }
        }
        finding
    }
}

#[async_trait]
impl Critic for LengthCritic {
    async fn evaluate(&self, ctx: &CriticContext) -> Result<CriticOutput, CriticError> {
        let (_, text) = self.subject.of(ctx)?;
        Ok(self.finding(text).into())
    }

    fn settings(&self) -> Value {
        serde_json::json!({ "length": self })
    }
}
