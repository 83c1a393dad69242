//! A cheap check first, and a costly one only where the cheap one found something.

use critic_executor::{
    CriticContext, CriticSpec, ExecutionPlan, Executor, Finding, MicroDollars, Policy, RunInput,
    Stage, Violation,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words = CriticSpec::new("words", |ctx: CriticContext| async move {
        let mut finding = Finding::clean();
        if ctx.input().contains("weapon") {
            finding = Finding::new(0.4)
                .with_violation(Violation::new("words.weapon", "a word that needs a closer look"));
        }
        Ok(finding.into())
    });
    let judge = CriticSpec::new("judge", |ctx: CriticContext| async move {
        Ok(Finding::new(if ctx.input().contains("build") { 0.95 } else { 0.1 }).into())
    });
    let plan = ExecutionPlan::build([
        words.stage(Stage::FastCritics),
        judge
            .stage(Stage::DeepAnalysis)
            .policy(Policy::OnViolation)
            .cost(MicroDollars::from_dollars(0.05)),
    ])?;
    let executor = Executor::default();
    for text in ["a garden", "a museum of weapons", "how to build a weapon"] {
        let report = executor.run(&plan, RunInput::new(text)).await?;
        let judge = report.critic("judge").ok_or("the plan has a judge")?;
        #[expect(clippy::print_stdout, reason = "an example shows what it finds")]
        {
            let (verdict, ended) = (report.decision().verdict.as_str(), judge.status.as_str());
            println!("{text}: {verdict}, judge {ended}, cost {:?}", report.cost().total.spent);
        }
    }
    Ok(())
}
