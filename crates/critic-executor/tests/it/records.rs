use critic_executor::{
    CriticError, CriticSpec, Edit, Evidence, ExecutionPlan, Executor, Finding, Policy, RiskLevel,
    RunInput, RunRecord, Stage, StageMode, TextTarget, Verdict, Violation, replay, simulate,
};
use proptest::prelude::*;

use crate::support::{clean, failing, found, ms, plan, run, violation};

/// A random plan whose outcomes are fixed and whose times are not.
pub(crate) fn random_plan(shape: &[(u8, u8, u8)], times: &[u64], mode: StageMode) -> ExecutionPlan {
    let critics = shape.iter().enumerate().map(|(index, (stage, kind, link))| {
        let name = format!("c{index}");
        let time = times[index % times.len()];
        let spec = match kind % 4 {
            0 => clean(&name, time),
            1 => found(&name, time, violation(0.3)),
            2 => found(&name, time, Finding::new(0.8).with_uncertainty(0.9)),
            _ => failing(&name, time, || CriticError::permanent("no")),
        };
        let stage = Stage::ALL[usize::from(stage % 6)];
        let policy = match link % 5 {
            0 | 1 => Policy::Always,
            2 => Policy::OnViolation,
            3 => Policy::on_high_risk(),
            _ => Policy::not(Policy::on_uncertainty()),
        };
        let earlier = (0..index).filter(|other| shape[*other].0 % 6 <= shape[index].0 % 6);
        let upstream = earlier
            .filter(|other| (other + usize::from(*link)) % 3 == 0)
            .map(|other| format!("c{other}"));
        let upstream: Vec<_> = upstream.take(2).collect();
        let spec = spec.stage(stage).policy(policy);
        if link % 2 == 0 { spec.requires(upstream) } else { spec.after(upstream) }
    });
    ExecutionPlan::builder()
        .mode(mode)
        .critics(critics.collect::<Vec<CriticSpec>>())
        .build()
        .unwrap()
}

fn record_of(plan: &ExecutionPlan) -> RunRecord {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let input = RunInput::new("text").risk(RiskLevel::Medium);
    runtime.block_on(async { Executor::default().run(plan, input).await.unwrap().record() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Verifies: CRIT-083, CRIT-211
    #[test]
    fn neither_times_nor_mode_change_a_record(
        shape in proptest::collection::vec((0..6_u8, 0..4_u8, 0..30_u8), 1..14),
        times in proptest::collection::vec(0..400_u64, 1..14),
        other_times in proptest::collection::vec(0..400_u64, 1..14),
    ) {
        let record = record_of(&random_plan(&shape, &times, StageMode::Relaxed));
        let again = record_of(&random_plan(&shape, &other_times, StageMode::Relaxed));
        prop_assert_eq!(record.to_json(), again.to_json());
        let mut strict = record_of(&random_plan(&shape, &other_times, StageMode::Strict));
        prop_assert_ne!(&strict.plan, &record.plan);
        strict.plan.clone_from(&record.plan);
        prop_assert_eq!(strict, record);
    }

}

proptest! {
    /// Verifies: CRIT-212
    #[test]
    fn a_replay_of_the_same_plan_comes_to_the_same(
        shape in proptest::collection::vec((0..6_u8, 0..4_u8, 0..30_u8), 1..14),
    ) {
        let plan = random_plan(&shape, &[5], StageMode::Relaxed);
        let record = record_of(&plan);
        let again = RunRecord::from_json(&record.to_json()).unwrap();
        let replayed = replay(&plan, &again);
        prop_assert_eq!(&replayed.differences, &vec![]);
        prop_assert_eq!(replayed.decision.verdict, record.verdict);
        prop_assert!(replayed.without_outcome.is_empty());
    }
}

/// Verifies: CRIT-211
#[test]
fn the_number_of_threads_changes_no_record() {
    let shape: Vec<(u8, u8, u8)> =
        (0..60_u8).map(|index| (index % 6, index % 7, index.wrapping_mul(7) % 30)).collect();
    let plan = random_plan(&shape, &[0], StageMode::Relaxed);
    let alone = record_of(&plan).to_json();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let executor = Executor::default();
    let mut runs = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (executor, plan) = (executor.clone(), plan.clone());
        let input = RunInput::new("text").risk(RiskLevel::Medium);
        let run = async move { executor.run(&plan, input).await.unwrap().record().to_json() };
        runs.spawn_on(run, runtime.handle());
    }
    let records = runtime.block_on(runs.join_all());
    assert!(records.iter().all(|record| *record == alone));
}

/// Verifies: CRIT-213, CRIT-212
#[tokio::test(start_paused = true)]
async fn a_simulation_tells_what_another_plan_would_have_done_and_invents_nothing() {
    let fast = || found("fast", 1, violation(0.3)).stage(Stage::FastCritics);
    let recorded = run(&plan([fast(), found("deep", 1, Finding::new(0.95))])).await.record();
    assert_eq!(recorded.verdict, Verdict::Block);
    let other = plan([
        fast(),
        found("deep", 1, Finding::new(0.95)).policy(Policy::on_uncertainty()),
        clean("new", 1),
    ]);
    let simulated = simulate(&other, &recorded);
    assert_eq!(simulated.without_outcome.iter().map(|name| &**name).collect::<Vec<_>>(), ["new"]);
    assert!(simulated.statuses.contains(&("deep".into(), "gated")));
    assert_eq!(simulated.decision.verdict, Verdict::Escalate);
    assert_eq!(replay(&other, &recorded).differences[0].what, "plan");
}

/// Verifies: CRIT-214, CRIT-210
#[tokio::test(start_paused = true)]
async fn a_record_holds_neither_texts_nor_times() {
    let text = "my mail is jo@example.org";
    let finding = || {
        Finding::new(0.5)
            .with_violation(Violation::new("mail", format!("found {text}")))
            .with_evidence(
                Evidence::new("email")
                    .with_excerpt("jo@example.org")
                    .with_span(TextTarget::Input, 11..25)
                    .personal(),
            )
            .with_edit(Edit::redact(TextTarget::Input, 11..25))
    };
    let plan = plan([found("pii", 7, finding())]);
    let executor = Executor::default();
    let first =
        executor.run(&plan, RunInput::new(text).trace_id("t-1")).await.unwrap().record().to_json();
    tokio::time::sleep(ms(12_345)).await;
    let second =
        executor.run(&plan, RunInput::new(text).trace_id("t-2")).await.unwrap().record().to_json();
    assert_eq!(first, second);
    assert!(!first.contains("jo@example.org") && !first.contains("t-1") && !first.contains("run-"));
    assert!(first.contains("\"end\":25"));
    assert!(first.contains("\"severity\":0.5"));
}
