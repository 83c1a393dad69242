use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::canonical_json;

/// How much harm a request could do, as the caller judged it before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskLevel {
    /// Nothing much can go wrong.
    Low,
    /// Ordinary care.
    Medium,
    /// Harm is likely if the answer is wrong.
    High,
    /// Harm is likely and grave.
    Critical,
}

impl RiskLevel {
    /// The level's name in records and expressions.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What a run judges: one text that went into a model and, if there is one, the text that came out.
///
/// It is shared by `Arc` between all critics of a run and of later runs; the executor never changes it.
///
/// ```
/// use critic_executor::{RiskLevel, RunInput};
///
/// let input = RunInput::new("What is 2 + 2?").output("4").risk(RiskLevel::Low).context("tenant", "blue");
/// assert_eq!(input.input_text(), "What is 2 + 2?");
/// assert_eq!(input.output_text(), Some("4"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RunInput {
    input: Arc<str>,
    output: Option<Arc<str>>,
    context: BTreeMap<String, Value>,
    risk: Option<RiskLevel>,
    trace_id: Option<Arc<str>>,
}

impl RunInput {
    /// An input without a model output, context, risk level or trace id.
    pub fn new(input: impl Into<Arc<str>>) -> Self {
        Self {
            input: input.into(),
            output: None,
            context: BTreeMap::new(),
            risk: None,
            trace_id: None,
        }
    }

    /// Adds the model's output.
    #[must_use]
    pub fn output(mut self, output: impl Into<Arc<str>>) -> Self {
        self.output = Some(output.into());
        self
    }

    /// Adds an entry to the context map; a later one with the same key replaces it.
    #[must_use]
    pub fn context(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.context.insert(key.into(), value.into());
        self
    }

    /// Sets the risk level. Without one, gates on risk cannot say no.
    #[must_use]
    pub fn risk(mut self, level: RiskLevel) -> Self {
        self.risk = Some(level);
        self
    }

    /// Sets the id under which the caller traces this request. It is in no record and decides nothing.
    #[must_use]
    pub fn trace_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.trace_id = Some(id.into());
        self
    }

    /// The text that went into the model.
    #[must_use]
    pub fn input_text(&self) -> &str {
        &self.input
    }

    /// The text that came out of the model, if the run judges one.
    #[must_use]
    pub fn output_text(&self) -> Option<&str> {
        self.output.as_deref()
    }

    /// One entry of the context map.
    #[must_use]
    pub fn context_value(&self, key: &str) -> Option<&Value> {
        self.context.get(key)
    }

    /// The whole context map, in the order of its keys.
    #[must_use]
    pub fn context_map(&self) -> &BTreeMap<String, Value> {
        &self.context
    }

    /// The risk level, if the caller gave one.
    #[must_use]
    pub fn risk_level(&self) -> Option<RiskLevel> {
        self.risk
    }

    /// The trace id, if the caller gave one.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// SHA-256 over everything that can change a result: texts, context and risk, not the trace id.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"critic-executor input 1\0");
        for text in [Some(&*self.input), self.output_text(), self.risk.map(RiskLevel::as_str)] {
            match text {
                Some(text) => {
                    hash.update([1]);
                    hash.update((text.len() as u64).to_le_bytes());
                    hash.update(text);
                }
                None => hash.update([0]),
            }
        }
        for (key, value) in &self.context {
            let value = canonical_json::to_string(value);
            hash.update((key.len() as u64).to_le_bytes());
            hash.update(key);
            hash.update((value.len() as u64).to_le_bytes());
            hash.update(value);
        }
        hash.finalize().into()
    }
}
