//! Deciding gates. Pure: everything a decision needs is an argument.

use std::sync::Arc;

use crate::catch::catch;
use crate::evidence::{EvidenceSummary, EvidenceView};
use crate::input::RunInput;
use crate::policy::{GateAnswer, Policy};
use crate::ternary::Ternary;

/// What a gate decided, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateDecision {
    /// True and unknown let the critic run.
    pub answer: Ternary,
    /// Why, for people. Critics are named in plan order.
    pub reason: Arc<str>,
}

impl GateDecision {
    /// What every gate says in a run without gating.
    pub(crate) fn switched_off() -> Self {
        Self { answer: Ternary::True, reason: Arc::from("gating is off") }
    }

    /// Whether the critic runs although nobody could tell whether it has to.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.answer == Ternary::Unknown
    }
}

/// What a gate can see.
pub(crate) struct GateInputs<'a> {
    pub(crate) input: &'a RunInput,
    pub(crate) summary: EvidenceSummary,
    /// All of the evidence, where it is complete. Until then only the built-in kinds can find a witness.
    pub(crate) complete: Option<EvidenceView<'a>>,
    pub(crate) name_of: &'a dyn Fn(u32) -> &'a str,
}

/// Decides a gate, with its reason. Where the evidence is not complete, yes and no are what it will say whatever
/// the rest of the evidence will be.
pub(crate) fn decide(policy: &Policy, inputs: &GateInputs<'_>) -> GateDecision {
    let (answer, reason) = evaluate(policy, inputs, true);
    GateDecision { answer, reason: reason.into() }
}

/// Whether a gate is true whatever the rest of its evidence will be.
pub(crate) fn has_witness(policy: &Policy, inputs: &GateInputs<'_>) -> bool {
    evaluate(policy, inputs, false).0 == Ternary::True
}

fn evaluate(policy: &Policy, inputs: &GateInputs<'_>, with_reason: bool) -> (Ternary, String) {
    let say = |text: &dyn Fn() -> String| if with_reason { text() } else { String::new() };
    let summary = &inputs.summary;
    // A built-in gate without a witness says no only if nothing is missing and nothing is still to come.
    let no_witness = |what: &str| match summary.missing {
        _ if inputs.complete.is_none() => {
            (Ternary::Unknown, say(&|| "the evidence is not complete".to_owned()))
        }
        Some(index) => (
            Ternary::Unknown,
            say(&|| format!("{what}, but `{}` is missing", (inputs.name_of)(index))),
        ),
        None => (Ternary::False, say(&|| what.to_owned())),
    };
    let highest = |found: Option<(f64, u32)>, from: f64, what: &str| {
        found.filter(|(value, _)| *value >= from).map(|(value, index)| {
            say(&|| format!("`{}` has {what} {value}, at least {from}", (inputs.name_of)(index)))
        })
    };
    match policy {
        Policy::Always => (Ternary::True, say(&|| "always".to_owned())),
        Policy::OnViolation => match summary.violation {
            Some(index) => {
                (Ternary::True, say(&|| format!("`{}` found something", (inputs.name_of)(index))))
            }
            None => no_witness("nothing was found"),
        },
        Policy::OnHighRisk { level, severity_from } => match inputs.input.risk_level() {
            Some(risk) if risk >= *level => (
                Ternary::True,
                say(&|| format!("the risk is {}, at least {}", risk.as_str(), level.as_str())),
            ),
            risk => match highest(summary.severity, *severity_from, "severity") {
                Some(reason) => (Ternary::True, reason),
                None if risk.is_none() => {
                    (Ternary::Unknown, say(&|| "the input has no risk level".to_owned()))
                }
                None => no_witness("neither risk nor severity is high"),
            },
        },
        Policy::OnUncertainty { uncertainty_from } => {
            match highest(summary.uncertainty, *uncertainty_from, "uncertainty") {
                Some(reason) => (Ternary::True, reason),
                None => no_witness("no answer is uncertain"),
            }
        }
        Policy::Conditional { name, condition } => {
            custom(name, inputs, |view| condition(inputs.input, view))
        }
        Policy::All(policies) => {
            combine(policies, inputs, with_reason, Ternary::True, Ternary::and, Ternary::False)
        }
        Policy::Any(policies) => {
            combine(policies, inputs, with_reason, Ternary::False, Ternary::or, Ternary::True)
        }
        Policy::Not(policy) => {
            let (answer, reason) = evaluate(policy, inputs, with_reason);
            (!answer, say(&|| format!("not ({reason})")))
        }
        #[cfg(feature = "cel")]
        Policy::Cel(expression) => {
            custom("cel", inputs, |view| expression.evaluate(inputs.input, view))
        }
    }
}

/// Asks the embedder's own code, which is only shown complete evidence.
fn custom(
    name: &str,
    inputs: &GateInputs<'_>,
    ask: impl FnOnce(&EvidenceView<'_>) -> GateAnswer,
) -> (Ternary, String) {
    let Some(view) = &inputs.complete else {
        return (Ternary::Unknown, "the evidence is not complete".to_owned());
    };
    match catch(|| ask(view)) {
        Ok(GateAnswer::Run) => (Ternary::True, format!("`{name}` says so")),
        Ok(GateAnswer::Gate(reason)) => (Ternary::False, reason),
        Ok(GateAnswer::Unknown(cause)) => (Ternary::Unknown, cause),
        Err(panic) => (Ternary::Unknown, format!("`{name}` panicked: {}", panic.0)),
    }
}

fn combine(
    policies: &[Policy],
    inputs: &GateInputs<'_>,
    with_reason: bool,
    identity: Ternary,
    operation: fn(Ternary, Ternary) -> Ternary,
    deciding: Ternary,
) -> (Ternary, String) {
    let parts: Vec<_> =
        policies.iter().map(|policy| evaluate(policy, inputs, with_reason)).collect();
    let answer = parts.iter().fold(identity, |answer, (part, _)| operation(answer, *part));
    let reason = match parts.iter().find(|(part, _)| *part == answer && answer == deciding) {
        Some((_, reason)) => reason.clone(),
        None => {
            let told =
                parts.iter().filter(|(part, _)| *part == answer).map(|(_, reason)| &**reason);
            told.collect::<Vec<_>>().join("; ")
        }
    };
    (answer, reason)
}
