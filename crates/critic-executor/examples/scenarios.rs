//! What gating saves: two kinds of requests, each with and without gates, side by side.
//!
//! Time is simulated, so the table is the same on every machine.

use std::time::Duration;

use critic_executor::{
    CriticContext, CriticError, CriticOutput, CriticSpec, ExecutionPlan, Executor, Finding,
    MicroDollars, PlanErrors, Policy, RunInput, RunOptions, RunReport, Stage, StageMode, Violation,
};

fn critic(name: String, millis: u64, severity: f64) -> CriticSpec {
    CriticSpec::new(name, move |_ctx: CriticContext| async move {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        let mut finding = Finding::new(severity);
        if severity > 0.0 {
            finding = finding.with_violation(Violation::new("example", "something was found"));
        }
        Ok::<_, CriticError>(CriticOutput::from(finding))
    })
}

fn low_risk() -> Result<ExecutionPlan, PlanErrors> {
    let fast = (0..2).map(|index| {
        critic(format!("fast-{index}"), 50, 0.0)
            .stage(Stage::FastCritics)
            .cost(MicroDollars::from_dollars(0.005))
    });
    let deep = (0..8).map(|index| {
        let cost = MicroDollars::from_dollars(if index == 0 { 0.07 } else { 0.06 });
        let deep =
            critic(format!("deep-{index}"), 2500 - 100 * index, 0.0).stage(Stage::DeepAnalysis);
        deep.policy(Policy::OnViolation).cost(cost)
    });
    ExecutionPlan::build(fast.chain(deep))
}

fn high_risk(mode: StageMode) -> Result<ExecutionPlan, PlanErrors> {
    let names = ["fast-0", "fast-1"];
    let fast = names.map(|name| {
        critic(name.to_owned(), 50, 0.7)
            .stage(Stage::FastCritics)
            .cost(MicroDollars::from_dollars(0.005))
    });
    let gated = |spec: CriticSpec, dollars| {
        spec.policy(Policy::OnViolation).evidence(names).cost(MicroDollars::from_dollars(dollars))
    };
    let core = (0..3).map(|index| gated(critic(format!("core-{index}"), 400, 0.0), 0.05));
    let deep = (0..5).map(|index| {
        gated(critic(format!("deep-{index}"), 1200, 0.0).stage(Stage::DeepAnalysis), 0.08)
    });
    ExecutionPlan::builder().mode(mode).critics(fast).critics(core).critics(deep).build()
}

fn row(scenario: &str, how: &str, report: &RunReport) -> String {
    let decision = report.decision();
    format!(
        "{scenario:<18} {how:<15} {:>8} {:>11} {:>4} {:>6}  {}",
        format!("{} ms", report.elapsed().as_millis()),
        report.cost().total.spent.to_string(),
        decision.coverage.answered.len(),
        decision.coverage.gated.len(),
        decision.verdict.as_str(),
    )
}

#[expect(clippy::print_stdout, reason = "the table is what the example is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        println!(
            "{:<18} {:<15} {:>8} {:>11} {:>4} {:>6}  verdict",
            "scenario", "how", "time", "cost", "run", "gated"
        );
        let plans = [
            ("low risk", low_risk()?),
            ("high risk, strict", high_risk(StageMode::Strict)?),
            ("high risk, relaxed", high_risk(StageMode::Relaxed)?),
        ];
        let executor = Executor::default();
        for (scenario, plan) in plans {
            let everything = RunOptions::new().without_gating();
            let all = executor.run_with(&plan, RunInput::new("text"), everything).await?;
            println!("{}", row(scenario, "run everything", &all));
            let gated = executor.run(&plan, RunInput::new("text")).await?;
            println!("{}", row(scenario, "gated", &gated));
        }
        Ok(())
    })
}
