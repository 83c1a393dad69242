use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::evidence::EvidenceView;
use crate::input::{RiskLevel, RunInput};

/// What a condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateAnswer {
    /// Run the critic.
    Run,
    /// Do not run it, for this reason.
    Gate(String),
    /// It cannot be told, for this reason; the critic runs.
    Unknown(String),
}

impl From<bool> for GateAnswer {
    fn from(run: bool) -> Self {
        if run { Self::Run } else { Self::Gate("the condition does not hold".to_owned()) }
    }
}

/// An error is never a no.
impl<E: fmt::Display> From<Result<Self, E>> for GateAnswer {
    fn from(result: Result<Self, E>) -> Self {
        result.unwrap_or_else(|error| Self::Unknown(error.to_string()))
    }
}

type Condition = Arc<dyn Fn(&RunInput, &EvidenceView<'_>) -> GateAnswer + Send + Sync>;

/// When a critic runs. Anything but [`Policy::Always`] looks at the critic's evidence set.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Policy {
    /// Always.
    #[default]
    Always,
    /// If an answer in the evidence has a violation or asks for more than to allow.
    OnViolation,
    /// If the input's risk is at least a level, or an answer in the evidence has at least a severity.
    OnHighRisk {
        /// The level.
        level: RiskLevel,
        /// The severity, 0 to 1.
        severity_from: f64,
    },
    /// If an answer in the evidence has at least an uncertainty.
    OnUncertainty {
        /// The uncertainty, 0 to 1.
        uncertainty_from: f64,
    },
    /// If a function of the input and the evidence says so.
    Conditional {
        /// The function's name, which stands for it in reasons and in the plan's digest.
        name: Arc<str>,
        /// The function. A panic in it counts as unknown.
        condition: Condition,
    },
    /// If all of these say so; true if there are none.
    All(Vec<Self>),
    /// If any of these says so; false if there are none.
    Any(Vec<Self>),
    /// If this one says no.
    Not(Box<Self>),
    /// If an expression says so.
    #[cfg(feature = "cel")]
    Cel(crate::cel::CelExpression),
}

impl Policy {
    /// [`Policy::OnHighRisk`] from [`RiskLevel::High`] and severity 0.7.
    #[must_use]
    pub fn on_high_risk() -> Self {
        Self::OnHighRisk { level: RiskLevel::High, severity_from: 0.7 }
    }

    /// [`Policy::OnUncertainty`] from 0.7.
    #[must_use]
    pub fn on_uncertainty() -> Self {
        Self::OnUncertainty { uncertainty_from: 0.7 }
    }

    /// A function of the input and the evidence. It may return a [`GateAnswer`], a `bool`, or a `Result` of the
    /// former whose error means that it cannot be told.
    ///
    /// ```
    /// use critic_executor::{GateAnswer, Policy};
    ///
    /// let policy = Policy::conditional("long inputs", |input, _evidence| input.input_text().len() > 1000);
    /// let policy = Policy::conditional("paying tenants", |input, _evidence| match input.context_value("tier") {
    ///     Some(tier) if tier == "free" => GateAnswer::Gate("free tier".into()),
    ///     Some(_) => GateAnswer::Run,
    ///     None => GateAnswer::Unknown("no tier in the context".into()),
    /// });
    /// assert_eq!(policy.name(), "paying tenants");
    /// ```
    pub fn conditional<F, R>(name: impl Into<Arc<str>>, condition: F) -> Self
    where
        F: Fn(&RunInput, &EvidenceView<'_>) -> R + Send + Sync + 'static,
        R: Into<GateAnswer>,
    {
        let condition: Condition =
            Arc::new(move |input, evidence| condition(input, evidence).into());
        Self::Conditional { name: name.into(), condition }
    }

    /// All of some policies.
    pub fn all(policies: impl IntoIterator<Item = Self>) -> Self {
        Self::All(policies.into_iter().collect())
    }

    /// Any of some policies.
    pub fn any(policies: impl IntoIterator<Item = Self>) -> Self {
        Self::Any(policies.into_iter().collect())
    }

    /// The opposite of a policy. What cannot be told stays so.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "`all`, `any` and `not` belong together as constructors"
    )]
    pub fn not(policy: Self) -> Self {
        Self::Not(Box::new(policy))
    }

    /// The policy's name in reasons, records and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Always => "always",
            Self::OnViolation => "on_violation",
            Self::OnHighRisk { .. } => "on_high_risk",
            Self::OnUncertainty { .. } => "on_uncertainty",
            Self::Conditional { name, .. } => name,
            Self::All(_) => "all",
            Self::Any(_) => "any",
            Self::Not(_) => "not",
            #[cfg(feature = "cel")]
            Self::Cel(_) => "cel",
        }
    }

    /// The policy's kind: its name, but for conditions, whose names are the embedder's own words.
    #[cfg(feature = "metrics")]
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnViolation => "on_violation",
            Self::OnHighRisk { .. } => "on_high_risk",
            Self::OnUncertainty { .. } => "on_uncertainty",
            Self::Conditional { .. } => "conditional",
            Self::All(_) => "all",
            Self::Any(_) => "any",
            Self::Not(_) => "not",
            #[cfg(feature = "cel")]
            Self::Cel(_) => "cel",
        }
    }

    /// Whether the policy looks at no evidence at all.
    #[must_use]
    pub fn is_always(&self) -> bool {
        matches!(self, Self::Always)
    }

    /// Whether the embedder's own code or expression looks at the input.
    pub(crate) fn needs_input(&self) -> bool {
        match self {
            Self::Conditional { .. } => true,
            #[cfg(feature = "cel")]
            Self::Cel(_) => true,
            Self::All(policies) | Self::Any(policies) => policies.iter().any(Self::needs_input),
            Self::Not(policy) => policy.needs_input(),
            Self::Always
            | Self::OnViolation
            | Self::OnHighRisk { .. }
            | Self::OnUncertainty { .. } => false,
        }
    }

    /// Numbers that are not between 0 and 1, with their names.
    pub(crate) fn bad_ratios(&self) -> Vec<&'static str> {
        let bad = |ratio: &f64| !(0.0..=1.0).contains(ratio);
        match self {
            Self::OnHighRisk { severity_from, .. } if bad(severity_from) => {
                vec!["policy.severity_from"]
            }
            Self::OnUncertainty { uncertainty_from } if bad(uncertainty_from) => {
                vec!["policy.uncertainty_from"]
            }
            Self::All(policies) | Self::Any(policies) => {
                policies.iter().flat_map(Self::bad_ratios).collect()
            }
            Self::Not(policy) => policy.bad_ratios(),
            _ => Vec::new(),
        }
    }

    /// Thresholds at which a gate may turn true: severities, then uncertainties.
    pub(crate) fn thresholds(&self, severities: &mut Vec<f64>, uncertainties: &mut Vec<f64>) {
        match self {
            Self::OnHighRisk { severity_from, .. } => severities.push(*severity_from),
            Self::OnUncertainty { uncertainty_from } => uncertainties.push(*uncertainty_from),
            Self::All(policies) | Self::Any(policies) => {
                policies.iter().for_each(|policy| policy.thresholds(severities, uncertainties));
            }
            Self::Not(policy) => policy.thresholds(severities, uncertainties),
            _ => {}
        }
    }

    /// The policy as data, for the digest of a plan.
    pub(crate) fn canonical(&self) -> Value {
        match self {
            Self::Always | Self::OnViolation => json!(self.name()),
            Self::OnHighRisk { level, severity_from } => {
                json!({ "on_high_risk": [level.as_str(), severity_from] })
            }
            Self::OnUncertainty { uncertainty_from } => {
                json!({ "on_uncertainty": uncertainty_from })
            }
            Self::Conditional { name, .. } => json!({ "conditional": &**name }),
            Self::All(policies) => {
                json!({ "all": policies.iter().map(Self::canonical).collect::<Vec<_>>() })
            }
            Self::Any(policies) => {
                json!({ "any": policies.iter().map(Self::canonical).collect::<Vec<_>>() })
            }
            Self::Not(policy) => json!({ "not": policy.canonical() }),
            #[cfg(feature = "cel")]
            Self::Cel(expression) => json!({ "cel": expression.source() }),
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({})", self.canonical())
    }
}
