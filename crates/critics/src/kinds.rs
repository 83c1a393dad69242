use critic_executor::config::CriticKinds;
use serde::Deserialize;

use crate::length_critic::{LengthCritic, length};
use crate::pattern_critic::{PatternCritic, PatternRule, patterns};
use crate::pii::PiiKind;
use crate::pii_critic::{PiiCritic, pii};
use crate::subject::Subject;
use crate::text::{Folding, PatternError};

/// The critics of this crate for files: `length`, `patterns`, `pii` and, with the feature `json-schema`, `json`.
/// Their settings are named like their methods. Critics behind HTTP need credentials, which do not belong into
/// files: a program that has them registers kinds of its own.
///
/// ```
/// use critic_executor::config::PlanFile;
///
/// let file = PlanFile::from_toml("plan.toml", r#"
///     [critics.length]
///     kind = "length"
///     settings = { max_chars = 4000, of = "input" }
///
///     [critics.names]
///     kind = "patterns"
///     [[critics.names.settings.keywords]]
///     text = "project falcon"
///     code = "secret.project"
///     severity = 0.9
///
///     [critics.personal]
///     kind = "pii"
///     settings = { kinds = ["email", "iban"], redact = true }
/// "#)?;
/// let plan = file.plan(&critics::kinds())?;
/// assert_eq!(plan.names().collect::<Vec<_>>(), ["length", "names", "personal"]);
/// # Ok::<(), critic_executor::config::ConfigErrors>(())
/// ```
#[must_use]
pub fn kinds() -> CriticKinds {
    let kinds = CriticKinds::new()
        .kind("length", |settings: LengthSettings| settings.make())
        .kind("patterns", |settings: PatternSettings| settings.make())
        .kind("pii", |settings: Option<PiiSettings>| settings.unwrap_or_default().make());
    #[cfg(feature = "json-schema")]
    let kinds = kinds.kind("json", |settings: JsonSettings| settings.make());
    kinds
}

/// A severity as a file gives it.
fn checked(severity: f64) -> Result<f64, String> {
    if (0.0..=1.0).contains(&severity) {
        Ok(severity)
    } else {
        Err(format!("`severity` must be in 0 to 1, not {severity}"))
    }
}

/// A setter of a bound.
type SetBound = fn(LengthCritic, usize) -> LengthCritic;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LengthSettings {
    #[serde(default)]
    of: Subject,
    severity: Option<f64>,
    min_bytes: Option<usize>,
    max_bytes: Option<usize>,
    min_chars: Option<usize>,
    max_chars: Option<usize>,
    min_lines: Option<usize>,
    max_lines: Option<usize>,
    min_words: Option<usize>,
    max_words: Option<usize>,
}

impl LengthSettings {
    fn make(self) -> Result<LengthCritic, String> {
        let mut critic = length().of(self.of);
        if let Some(severity) = self.severity {
            critic = critic.severity(checked(severity)?);
        }
        let bounds: [(Option<usize>, SetBound); 8] = [
            (self.min_bytes, LengthCritic::min_bytes),
            (self.max_bytes, LengthCritic::max_bytes),
            (self.min_chars, LengthCritic::min_chars),
            (self.max_chars, LengthCritic::max_chars),
            (self.min_lines, LengthCritic::min_lines),
            (self.max_lines, LengthCritic::max_lines),
            (self.min_words, LengthCritic::min_words),
            (self.max_words, LengthCritic::max_words),
        ];
        if bounds.iter().all(|(bound, _)| bound.is_none()) {
            return Err("a length without a bound finds nothing; set one".to_owned());
        }
        let bounds = bounds.into_iter().filter_map(|(bound, set)| Some((bound?, set)));
        Ok(bounds.fold(critic, |critic, (bound, set)| set(critic, bound)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatternSettings {
    #[serde(default)]
    of: Subject,
    #[serde(default)]
    folding: FoldingSettings,
    #[serde(default)]
    keywords: Vec<Rule>,
    #[serde(default)]
    regexes: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FoldingSettings {
    case: bool,
    invisible: bool,
    width: bool,
}

impl Default for FoldingSettings {
    fn default() -> Self {
        let Folding { case, invisible, width } = Folding::ALL;
        Self { case, invisible, width }
    }
}

/// A keyword or a regular expression.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    text: String,
    code: String,
    severity: f64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    anywhere: bool,
}

impl Rule {
    fn make(self) -> Result<(String, PatternRule), String> {
        let rule = PatternRule::new(self.code, checked(self.severity)?).with_message(self.message);
        Ok((self.text, if self.anywhere { rule.anywhere() } else { rule }))
    }
}

impl PatternSettings {
    fn make(self) -> Result<PatternCritic, String> {
        if self.keywords.is_empty() && self.regexes.is_empty() {
            return Err("name at least one of `keywords` and `regexes`".to_owned());
        }
        let FoldingSettings { case, invisible, width } = self.folding;
        let mut all = patterns().of(self.of).folding(Folding { case, invisible, width });
        for rule in self.keywords {
            let (text, rule) = rule.make()?;
            all = all.keyword(text, rule);
        }
        for rule in self.regexes {
            let (text, rule) = rule.make()?;
            all = all.regex(text, rule);
        }
        all.build().map_err(|error| match &error {
            PatternError::Regex { source, .. } => format!("{error}: {source}"),
            _ => error.to_string(),
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PiiSettings {
    of: Subject,
    kinds: Option<Vec<PiiKind>>,
    severity: Option<f64>,
    redact: bool,
}

impl PiiSettings {
    fn make(self) -> Result<PiiCritic, String> {
        let mut critic = pii().of(self.of);
        if let Some(kinds) = self.kinds {
            critic = critic.kinds(kinds);
        }
        if self.redact {
            critic = critic.redact();
        }
        match self.severity {
            Some(severity) => Ok(critic.severity(checked(severity)?)),
            None => Ok(critic),
        }
    }
}

#[cfg(feature = "json-schema")]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonSettings {
    schema: serde_json::Value,
    #[serde(default)]
    of: Subject,
    severity: Option<f64>,
    #[serde(default)]
    take_fence: bool,
}

#[cfg(feature = "json-schema")]
impl JsonSettings {
    fn make(self) -> Result<crate::JsonCritic, String> {
        let critic = crate::json_output(self.schema).map_err(|error| error.to_string())?;
        let critic = critic.of(self.of);
        let critic = if self.take_fence { critic.take_fence() } else { critic };
        match self.severity {
            Some(severity) => Ok(critic.severity(checked(severity)?)),
            None => Ok(critic),
        }
    }
}
