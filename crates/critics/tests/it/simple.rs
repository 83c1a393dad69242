use std::time::Duration;

use critic_executor::{
    CriticContext, CriticError, CriticOutput, Finding, RunInput, SimpleError, SimpleOrchestrator,
    Verdict,
};
use critics::length;

async fn check_tone(text: Option<&str>) -> Result<CriticOutput, CriticError> {
    tokio::task::yield_now().await; // as whatever asks somebody else does
    let is_loud = text.is_some_and(|text| text.contains('!'));
    Ok(Finding::new(if is_loud { 0.7 } else { 0.0 }).into())
}

async fn judge(prompt: &str, answer: &str) -> Result<Verdict, SimpleError> {
    let report = SimpleOrchestrator::new()
        .timeout(Duration::from_secs(10))
        .critic("length", length().max_chars(4_000))
        .critic("tone", |ctx: CriticContext| async move { check_tone(ctx.output()).await })
        .run(RunInput::new(prompt).output(answer))
        .await?;
    Ok(report.decision().verdict)
}

/// Verifies: CRIT-231
#[tokio::test]
async fn the_small_case_takes_five_lines() {
    assert_eq!(judge("question", "answer").await.unwrap(), Verdict::Allow);
    assert_eq!(judge("question", "answer!").await.unwrap(), Verdict::Escalate);
    assert_ne!(judge("question", &"a".repeat(4_001)).await.unwrap(), Verdict::Allow);
}
