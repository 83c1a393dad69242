//! Asking a critic outside any run.

use critic_executor::{Critic, CriticContext, CriticError, Finding, RunInput};

pub(crate) async fn of(critic: &impl Critic, input: RunInput) -> Result<Finding, CriticError> {
    let output = critic.evaluate(&CriticContext::standalone(input)).await?;
    Ok(output.finding)
}

pub(crate) fn codes(finding: &Finding) -> Vec<&str> {
    finding.violations.iter().map(|violation| violation.code.as_str()).collect()
}
