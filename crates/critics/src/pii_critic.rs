use async_trait::async_trait;
use critic_executor::{
    Critic, CriticContext, CriticError, CriticOutput, Edit, Evidence, Finding, TextTarget,
    Violation,
};
use serde::Serialize;
use serde_json::Value;

use crate::{PiiKind, Subject, VIOLATIONS_MAX, find_pii};

/// Finds personal data by its form and check digits, and redacts it on request.
///
/// ```
/// use critic_executor::{Critic, CriticContext, RunInput};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let critic = critics::pii().redact();
/// let ctx = CriticContext::standalone(RunInput::new("I am ada@example.org"));
/// let finding = critic.evaluate(&ctx).await.unwrap().finding;
/// assert_eq!(finding.violations[0].code, "pii.email");
/// assert_eq!(finding.edits[0].replacement, "[email]");
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PiiCritic {
    subject: Subject,
    kinds: Vec<PiiKind>,
    severity: f64,
    redacts: bool,
}

/// A search for personal data of all kinds, of severity 0.6, without redaction.
#[must_use]
pub fn pii() -> PiiCritic {
    PiiCritic::default()
}

impl Default for PiiCritic {
    fn default() -> Self {
        Self {
            subject: Subject::default(),
            kinds: PiiKind::ALL.to_vec(),
            severity: 0.6,
            redacts: false,
        }
    }
}

impl PiiCritic {
    /// Looks at another text than the latest.
    #[must_use]
    pub fn of(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// Looks only for these kinds.
    #[must_use]
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = PiiKind>) -> Self {
        self.kinds = kinds.into_iter().collect();
        self
    }

    /// How bad personal data is, 0 to 1.
    #[must_use]
    pub fn severity(mut self, severity: f64) -> Self {
        self.severity = severity;
        self
    }

    /// Proposes edits that hide what is found behind the name of its kind, and takes what can be hidden for
    /// harmless: severity 0 unless it is set afterwards.
    #[must_use]
    pub fn redact(mut self) -> Self {
        self.redacts = true;
        self.severity = 0.0;
        self
    }

    fn finding(&self, target: TextTarget, text: &str) -> Finding {
        let found = find_pii(text, &self.kinds);
        let mut finding = Finding::new(if found.is_empty() { 0.0 } else { self.severity });
        for (index, one) in found.iter().enumerate() {
            let name = one.kind.name();
            if self.redacts {
                let edit = Edit::redact_as(target, one.span.clone(), format!("[{name}]"));
                finding = finding.with_edit(edit);
            }
            if index < VIOLATIONS_MAX {
                let violation =
                    Violation::new(format!("pii.{name}"), format!("holds personal data: {name}"))
                        .with_severity(self.severity)
                        .with_span(target, one.span.clone());
                let evidence = Evidence::new(name).with_span(target, one.span.clone()).personal();
                finding = finding.with_violation(violation).with_evidence(evidence);
            }
        }
        finding
    }
}

#[async_trait]
impl Critic for PiiCritic {
    async fn evaluate(&self, ctx: &CriticContext) -> Result<CriticOutput, CriticError> {
        let (target, text) = self.subject.of(ctx)?;
        Ok(self.finding(target, text).into())
    }

    fn settings(&self) -> Value {
        serde_json::json!({ "pii": self })
    }
}
