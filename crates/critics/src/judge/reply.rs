use critic_executor::{CriticError, Finding, Verdict, Violation};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::VIOLATIONS_MAX;

/// The reply that a judge has to give: all of the message, with every field and no other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    verdict: ReplyVerdict,
    severity: f64,
    uncertainty: f64,
    violations: Vec<ReplyViolation>,
    reason: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReplyVerdict {
    Allow,
    Escalate,
    Block,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyViolation {
    code: String,
    message: String,
}

/// The JSON Schema of a judge's reply, in the subset that structured output of OpenAI-compatible servers takes.
#[must_use]
pub fn verdict_schema() -> Value {
    let violation = json!({
        "type": "object",
        "properties": { "code": { "type": "string" }, "message": { "type": "string" } },
        "required": ["code", "message"],
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "properties": {
            "verdict": { "type": "string", "enum": ["allow", "escalate", "block"] },
            "severity": { "type": "number" },
            "uncertainty": { "type": "number" },
            "violations": { "type": "array", "items": violation },
            "reason": { "type": "string" },
        },
        "required": ["verdict", "severity", "uncertainty", "violations", "reason"],
        "additionalProperties": false,
    })
}

/// Reads a message that is one JSON object of the schema and nothing else.
///
/// # Errors
/// An invalid one for everything else; nothing is searched for in the message, and no verdict is guessed.
pub(super) fn read(content: &str) -> Result<Finding, CriticError> {
    let invalid = |message: String| {
        CriticError::invalid(format!("the judge's reply is not a verdict: {message}"))
    };
    let reply: Reply = serde_json::from_str(content).map_err(|error| {
        // Neither the error's text nor the message is repeated: both quote what was judged.
        invalid(format!(
            "no JSON object of the schema (line {}, column {})",
            error.line(),
            error.column()
        ))
    })?;
    for (name, value) in [("severity", reply.severity), ("uncertainty", reply.uncertainty)] {
        if !(0.0..=1.0).contains(&value) {
            return Err(invalid(format!("{name} is not within 0 to 1")));
        }
    }
    if reply.violations.len() > VIOLATIONS_MAX {
        return Err(invalid(format!("more than {VIOLATIONS_MAX} violations")));
    }
    let verdict = match reply.verdict {
        ReplyVerdict::Allow => Verdict::Allow,
        ReplyVerdict::Escalate => Verdict::Escalate,
        ReplyVerdict::Block => Verdict::Block,
    };
    let mut finding =
        Finding::new(reply.severity).with_uncertainty(reply.uncertainty).with_verdict(verdict);
    for violation in reply.violations {
        if violation.code.is_empty() || violation.message.is_empty() {
            return Err(invalid("a violation without code or message".to_owned()));
        }
        finding = finding.with_violation(Violation::new(violation.code, violation.message));
    }
    let is_told = !finding.violations.is_empty() || verdict == Verdict::Allow;
    if !is_told {
        finding = finding.with_violation(Violation::new("judge", reply.reason));
    }
    Ok(finding)
}
