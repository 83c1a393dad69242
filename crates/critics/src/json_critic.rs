use async_trait::async_trait;
use critic_executor::{Critic, CriticContext, CriticError, CriticOutput, Finding, Violation};
use jsonschema::Validator;
use serde_json::Value;

use crate::{Subject, VIOLATIONS_MAX, code_fence::only_fence};

/// Checks that a text is JSON of a schema (JSON Schema, draft 2020-12 unless the schema names another one).
///
/// ```
/// use critic_executor::{Critic, CriticContext, RunInput};
/// use serde_json::json;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let critic = critics::json_output(json!({"type": "object", "required": ["city"]})).unwrap();
/// let ctx = CriticContext::standalone(RunInput::new("Where?").output(r#"{"town": "Ulm"}"#));
/// let finding = critic.evaluate(&ctx).await.unwrap().finding;
/// assert_eq!(finding.violations[0].code, "json.schema");
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct JsonCritic {
    subject: Subject,
    severity: f64,
    takes_fence: bool,
    schema: Value,
    validator: std::sync::Arc<Validator>,
}

/// A schema that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the JSON Schema cannot be used: {message}")]
pub struct SchemaError {
    message: String,
}

/// A check of the latest text against a schema, of severity 1, without extraction from a code fence.
///
/// # Errors
/// A schema that is none, or that refers to another document: nothing is fetched.
pub fn json_output(schema: Value) -> Result<JsonCritic, SchemaError> {
    let validator = jsonschema::options()
        .build(&schema)
        .map_err(|error| SchemaError { message: error.to_string() })?;
    Ok(JsonCritic {
        subject: Subject::default(),
        severity: 1.0,
        takes_fence: false,
        schema,
        validator: std::sync::Arc::new(validator),
    })
}

impl JsonCritic {
    /// Looks at another text than the latest.
    #[must_use]
    pub fn of(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// How bad text that breaks the schema is, 0 to 1.
    #[must_use]
    pub fn severity(mut self, severity: f64) -> Self {
        self.severity = severity;
        self
    }

    /// Takes the content of the text's code fence where it has exactly one, and the whole text where it has
    /// none. Two fences are a violation: nobody said which one counts.
    #[must_use]
    pub fn take_fence(mut self) -> Self {
        self.takes_fence = true;
        self
    }

    fn finding(&self, text: &str) -> Finding {
        let found = if self.takes_fence { only_fence(text) } else { Ok(text) };
        let violations = match found.map(serde_json::from_str::<Value>) {
            Err(count) => {
                vec![Violation::new("json.fences", format!("{count} code fences, 1 is allowed"))]
            }
            Ok(Err(error)) => vec![Violation::new("json.syntax", error.to_string())],
            Ok(Ok(value)) => {
                let errors = self.validator.iter_errors(&value).take(VIOLATIONS_MAX);
                let violation = |error: jsonschema::ValidationError<'_>| {
                    let at = error.instance_path().to_string();
                    Violation::new("json.schema", format!("at `{at}`: {}", error.masked()))
                };
                errors.map(violation).collect()
            }
        };
        let mut finding = Finding::new(if violations.is_empty() { 0.0 } else { self.severity });
        finding.violations =
            violations.into_iter().map(|one| one.with_severity(self.severity)).collect();
        finding
    }
}

#[async_trait]
impl Critic for JsonCritic {
    async fn evaluate(&self, ctx: &CriticContext) -> Result<CriticOutput, CriticError> {
        let (_, text) = self.subject.of(ctx)?;
        Ok(self.finding(text).into())
    }

    fn settings(&self) -> Value {
        serde_json::json!({ "json_output": {
            "subject": self.subject,
            "severity": self.severity,
            "takes_fence": self.takes_fence,
            "schema": self.schema,
        } })
    }
}
