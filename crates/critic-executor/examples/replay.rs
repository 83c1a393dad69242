//! A run's record, kept as JSON: what it says, whether the same plan still comes to the same verdict, and what a
//! changed plan would have made of the very same findings. No critic is called again.

use critic_executor::{
    CriticContext, CriticSpec, ExecutionPlan, Executor, Finding, PlanErrors, Policy, Replay,
    RunInput, RunRecord, Stage, VerdictMap, Violation, replay, simulate,
};

fn words() -> CriticSpec {
    let critic = |ctx: CriticContext| async move {
        let mut finding = Finding::clean();
        if ctx.input().contains("weapon") {
            finding = Finding::new(0.4).with_violation(Violation::new("weapon", "names a weapon"));
        }
        Ok(finding.into())
    };
    CriticSpec::new("words", critic).stage(Stage::FastCritics)
}

fn judge() -> CriticSpec {
    let critic = |_ctx: CriticContext| async { Ok(Finding::new(0.7).into()) };
    CriticSpec::new("judge", critic).stage(Stage::DeepAnalysis).policy(Policy::OnViolation)
}

fn todays_plan() -> Result<ExecutionPlan, PlanErrors> {
    ExecutionPlan::build([words(), judge()])
}

/// Blocks where today's plan escalates.
fn stricter_plan() -> Result<ExecutionPlan, PlanErrors> {
    let map = VerdictMap { block_from: Some(0.7), escalate_from: Some(0.4) };
    ExecutionPlan::builder().critics([words(), judge()]).verdict_map(map).build()
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it finds")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plan = todays_plan()?;
    let report = Executor::default().run(&plan, RunInput::new("a museum of weapons")).await?;
    let kept: String = report.record().to_json();
    println!("kept {} bytes: {kept}\n", kept.len());

    let record: RunRecord = RunRecord::from_json(&kept)?;
    let show = |title: &str, replay: &Replay| {
        println!("{title}: {}", replay.decision.verdict.as_str());
        for difference in &replay.differences {
            let (before, now) = (&difference.recorded, &difference.replayed);
            println!("  {}: {before} then, {now} now", difference.what);
        }
    };
    show("the same plan", &replay(&plan, &record));
    show("a stricter plan", &simulate(&stricter_plan()?, &record));
    Ok(())
}
