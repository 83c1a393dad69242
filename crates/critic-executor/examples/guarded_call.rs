//! A call of a model, guarded in three ways: critics before it, at the same time, and on its answer.

use std::convert::Infallible;
use std::time::Duration;

use critic_executor::{
    CriticContext, CriticSpec, ExecutionPlan, Executor, Finding, GuardRun, PlanErrors, RunInput,
    guard,
};

async fn model(question: &str) -> Result<String, Infallible> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(format!("You asked: {question}"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), PlanErrors> {
    let secrets = CriticSpec::new("secrets", |ctx: CriticContext| async move {
        let text = ctx.output().unwrap_or(ctx.input());
        Ok(Finding::new(if text.contains("password") { 0.95 } else { 0.0 }).into())
    });
    let plan = ExecutionPlan::build([secrets])?;
    let executor = Executor::default();
    for question in ["What is 2 + 2?", "What is the password?"] {
        let input = || RunInput::new(question);
        let runs = [
            ("before", GuardRun::before(&executor, &plan, input())),
            ("alongside", GuardRun::alongside(&executor, &plan, input())),
            (
                "after",
                GuardRun::after(&executor, &plan, |answer: &String| {
                    input().output(answer.as_str())
                }),
            ),
        ];
        for (when, run) in runs {
            let said = match guard(run, model(question)).await {
                Ok(guarded) => guarded.output,
                Err(error) => error.to_string(),
            };
            #[expect(clippy::print_stdout, reason = "an example shows what it finds")]
            {
                println!("{when:>9}: {said}");
            }
        }
    }
    Ok(())
}
