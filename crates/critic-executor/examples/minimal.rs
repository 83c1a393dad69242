//! The smallest use: closures, one timeout, one report.

use std::time::Duration;

use critic_executor::{CriticContext, Finding, RunInput, SimpleError, SimpleOrchestrator};

fn main() -> Result<(), SimpleError> {
    let report = SimpleOrchestrator::new()
        .timeout(Duration::from_secs(10))
        .critic("length", |ctx: CriticContext| async move {
            Ok(Finding::new(if ctx.input().chars().count() > 4_000 { 0.7 } else { 0.0 }).into())
        })
        .critic("shouting", |ctx: CriticContext| async move {
            let (loud, all) = (ctx.input().matches(char::is_uppercase).count(), ctx.input().len());
            Ok(Finding::new(if loud * 2 > all { 0.6 } else { 0.0 }).into())
        })
        .run_blocking(RunInput::new("PLEASE ANSWER ME"))?;
    #[expect(clippy::print_stdout, reason = "an example shows what it finds")]
    for decided in report.deciding() {
        println!("{:?}: {}", decided.decider, decided.reason);
    }
    #[expect(clippy::print_stdout, reason = "an example shows what it finds")]
    {
        println!("verdict: {}", report.decision().verdict.as_str());
    }
    Ok(())
}
