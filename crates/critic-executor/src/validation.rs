use std::fmt;

use serde_json::Value;

use crate::edit;
use crate::finding::{CriticOutput, Span, TextTarget};
use crate::input::RunInput;
use crate::status::OutputProblem;

/// A rule of the embedder for outputs. It is registered under a name with the plan and named by critics.
pub trait Validator: Send + Sync {
    /// All that is wrong with an output; empty if nothing is.
    fn validate(&self, output: &CriticOutput, input: &RunInput) -> Vec<OutputProblem>;
}

impl<F> Validator for F
where
    F: Fn(&CriticOutput, &RunInput) -> Vec<OutputProblem> + Send + Sync,
{
    fn validate(&self, output: &CriticOutput, input: &RunInput) -> Vec<OutputProblem> {
        self(output, input)
    }
}

/// How large an output may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    /// Bytes of all texts and data of one output.
    pub max_bytes: usize,
    /// Violations of one output.
    pub max_violations: usize,
}

impl Default for OutputLimits {
    /// 256 KiB and 1,000 violations.
    fn default() -> Self {
        Self { max_bytes: 256 * 1024, max_violations: 1000 }
    }
}

impl CriticOutput {
    /// All that makes this output unusable for an input: numbers outside 0 to 1, missing texts, ranges that are
    /// not in the text, and sizes above the limits. The executor refuses such an output.
    #[must_use]
    pub fn problems(&self, input: &RunInput, limits: &OutputLimits) -> Vec<OutputProblem> {
        let mut problems = Problems(Vec::new());
        let finding = &self.finding;
        if finding.violations.len() > limits.max_violations {
            let message = format!(
                "{} violations, at most {}",
                finding.violations.len(),
                limits.max_violations
            );
            problems.add("/finding/violations", message);
            return problems.0;
        }
        let bytes = self.size_bytes();
        if bytes > limits.max_bytes {
            problems.add("", format!("{bytes} bytes, at most {}", limits.max_bytes));
            return problems.0;
        }
        problems.check_ratio("/finding/severity", finding.severity);
        if let Some(uncertainty) = finding.uncertainty {
            problems.check_ratio("/finding/uncertainty", uncertainty);
        }
        for (index, violation) in finding.violations.iter().enumerate() {
            let at = |field: &str| format!("/finding/violations/{index}/{field}");
            problems.check_text(|| at("code"), &violation.code);
            problems.check_text(|| at("message"), &violation.message);
            if let Some(severity) = violation.severity {
                problems.check_ratio(&at("severity"), severity);
            }
            if let Some(span) = &violation.span {
                problems.check_span(|| at("span"), span, input);
            }
        }
        for (index, evidence) in finding.evidence.iter().enumerate() {
            let at = |field: &str| format!("/finding/evidence/{index}/{field}");
            problems.check_text(|| at("kind"), &evidence.kind);
            if let Some(span) = &evidence.span {
                problems.check_span(|| at("span"), span, input);
            }
        }
        for (index, edit) in finding.edits.iter().enumerate() {
            if let Some(problem) = edit::problem_of(edit, input) {
                problems.add(format!("/finding/edits/{index}"), problem);
            }
        }
        problems.0
    }

    fn size_bytes(&self) -> usize {
        let finding = &self.finding;
        let violations = finding
            .violations
            .iter()
            .map(|violation| violation.code.len() + violation.message.len() + 64);
        let evidence = finding.evidence.iter();
        let evidence =
            evidence.map(|item| item.kind.len() + item.excerpt.as_deref().map_or(0, str::len) + 64);
        let edits = finding.edits.iter().map(|edit| edit.replacement.len() + 64);
        let parts: usize = violations.chain(evidence).chain(edits).sum();
        parts.saturating_add(json_bytes(&self.data))
    }
}

struct Problems(Vec<OutputProblem>);

impl Problems {
    fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(OutputProblem::new(pointer, message));
    }

    fn check_ratio(&mut self, pointer: &str, number: f64) {
        if !(0.0..=1.0).contains(&number) {
            self.add(pointer, format!("{number} is not in 0 to 1"));
        }
    }

    fn check_text(&mut self, pointer: impl Fn() -> String, text: &str) {
        if text.is_empty() {
            self.add(pointer(), "is required and empty");
        }
    }

    fn check_span(&mut self, pointer: impl Fn() -> String, span: &Span, input: &RunInput) {
        let length = match span.target {
            TextTarget::Input => Some(input.input_text().len()),
            TextTarget::Output => input.output_text().map(str::len),
        };
        match length {
            None => self.add(pointer(), "there is no such text"),
            Some(length) if span.start > span.end || span.end > length => {
                self.add(
                    pointer(),
                    format!("{}..{} is not in a text of {length} bytes", span.start, span.end),
                );
            }
            Some(_) => {}
        }
    }
}

/// About how many bytes a value is as JSON. Values nest at most as deep as their parser or builder let them.
fn json_bytes(value: &Value) -> usize {
    let mut bytes = 0;
    let mut rest = Vec::new();
    let mut next = Some(value);
    while let Some(value) = next {
        bytes += match value {
            Value::Null | Value::Bool(_) => 4,
            Value::Number(_) => 8,
            Value::String(text) => text.len() + 2,
            Value::Array(items) => {
                rest.extend(items);
                2 + items.len()
            }
            Value::Object(fields) => {
                rest.extend(fields.values());
                fields.keys().map(|key| key.len() + 4).sum()
            }
        };
        next = rest.pop();
    }
    bytes
}

impl fmt::Debug for dyn Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Validator")
    }
}
