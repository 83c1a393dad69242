use api_types::{ErrorCode, Priority, TaskRequest};
use orchestrator::{Options, Refusal};
use orchestrator_core::{Limits, TaskId, WaitObjective};

use crate::{
    engine::Engine,
    house::{House, prompt, submission},
};

/// One slot, and time that passes only when the test says so.
async fn frozen(queue: Limits) -> House {
    let options = Options { queue, idle_ms: 1_000_000, ..Options::default() };
    let house = House::with_options([Engine::new("a").slots(1).gated()], options).await;
    house.clock.freeze();
    house
}

/// Begins a task that gives no token yet.
async fn begin(house: &House) -> TaskId {
    let task = house.submit(prompt("hello")).await;
    house.shown(task, 1).await;
    task
}

/// Ends a task of three tokens 100 ms from now, with the last one 200 ms after the first.
async fn finish(house: &House, task: TaskId) {
    house.clock.jump(100);
    house.engine(0).pass(1);
    house.shown(task, 2).await;
    house.clock.jump(200);
    house.engine(0).pass(2);
    house.story(task).await;
}

async fn measured() -> House {
    let house = frozen(Limits::default()).await;
    for _ in 0..3 {
        let task = begin(&house).await;
        finish(&house, task).await;
    }
    house
}

fn with_deadline(deadline_ms: u64) -> TaskRequest {
    TaskRequest { deadline_ms: Some(deadline_ms), ..prompt("hello") }
}

/// Verifies: ORCH-021, ORCH-048, ORCH-074
#[tokio::test]
async fn starts_and_ends_are_foreseen_from_what_earlier_tasks_took() {
    let house = measured().await;
    let running = begin(&house).await;
    house.clock.jump(50);
    let accepted = house.try_submit(submission(prompt("hello"))).await.unwrap();
    let forecast = accepted.forecast.unwrap();
    assert_eq!((forecast.start_ms, forecast.end_ms()), (250, 550));
    assert_eq!((forecast.prefill_ms, forecast.decode_ms, forecast.samples), (100, 200, 3));
    // Of an answer of 30 tokens where others had 3, the second part takes ten times as long.
    let long = TaskRequest { expected_tokens: Some(30), ..prompt("hello") };
    let behind = house.try_submit(submission(long)).await.unwrap().forecast.unwrap();
    assert_eq!((behind.start_ms, behind.decode_ms), (550, 2000));
    let (_, place) = house.orchestrator().task(accepted.task.id).await.unwrap();
    let place = place.unwrap();
    let remaining_ms = async |task| house.orchestrator().remaining_ms(&house.row(task).await);
    assert_eq!(remaining_ms(running).await, Some(250));
    assert_eq!(remaining_ms(accepted.task.id).await, None, "it waits");
    assert_eq!((place.position, place.forecast), (0, Some(forecast)));
    finish(&house, running).await;
    assert_eq!(remaining_ms(running).await, None, "it is over");
    let story = house.shown(accepted.task.id, 1).await;
    assert_eq!(story.events[0].data["predicted_start_ms"], 250, "what was told at admission");
    assert_eq!(house.orchestrator().task(accepted.task.id).await.unwrap().1, None);
}

/// Verifies: ORCH-030
#[tokio::test]
async fn a_deadline_that_cannot_be_met_is_refused_with_the_one_that_can() {
    let house = measured().await;
    begin(&house).await;
    let unmet = |refusal: Refusal| {
        let body = refusal.body("corr");
        assert_eq!(body.code, ErrorCode::DeadlineUnmet);
        let details = body.details.unwrap();
        assert_eq!(details["predicted_start_ms"], 300);
        assert_eq!(details["earliest_deadline_ms"], 600);
        body.retriable
    };
    let refusal = house.try_submit(submission(with_deadline(599))).await.unwrap_err();
    assert!(unmet(refusal), "an idle system could meet it");
    let refusal = house.try_submit(submission(with_deadline(299))).await.unwrap_err();
    assert!(!unmet(refusal), "the work alone takes longer");
    assert_eq!(house.rows().await, 4, "a refusal leaves no task");
    // What an answer may have does not matter, what it is expected to have does.
    let roomy = TaskRequest { max_tokens: Some(100), ..with_deadline(600) };
    house.try_submit(submission(roomy)).await.unwrap();
    let long = TaskRequest { expected_tokens: Some(90), ..with_deadline(5000) };
    house.try_submit(submission(long)).await.unwrap_err();
}

/// Verifies: ORCH-030
#[tokio::test]
async fn without_measurements_every_deadline_is_admitted() {
    let house = frozen(Limits::default()).await;
    begin(&house).await;
    let accepted = house.try_submit(submission(with_deadline(1))).await.unwrap();
    assert_eq!(accepted.forecast, None);
}

/// Verifies: ORCH-052
#[tokio::test]
async fn batch_is_refused_by_name_while_interactive_tasks_wait_too_long() {
    let objective = WaitObjective { wait_p95_ms: 100, window_ms: 10_000 };
    let house = frozen(Limits { objective: Some(objective), ..Limits::default() }).await;
    let batch = || TaskRequest { priority: Priority::Batch, ..prompt("hello") };
    let first = begin(&house).await;
    let second = house.submit(prompt("hello")).await;
    finish(&house, first).await;
    house.shown(second, 1).await;
    let refusal = house.try_submit(submission(batch())).await.unwrap_err();
    let body = refusal.body("corr");
    assert_eq!(body.code, ErrorCode::AdmissionReject);
    assert_eq!(body.policy_label.as_deref(), Some("shed-low-priority"));
    assert_eq!(body.retry_after_ms, Some(10_000));
    house.clock.jump(20_000);
    house.try_submit(submission(batch())).await.unwrap();
}

/// Verifies: ORCH-021, ORCH-030, ORCH-048
#[tokio::test]
async fn what_was_measured_is_known_after_a_restart() {
    let mut house = measured().await;
    // It goes with the first end after a while, so that a death forgets little.
    house.clock.jump(20_000);
    let last = begin(&house).await;
    finish(&house, last).await;
    house.idle().await;
    for _ in 0..2 {
        house.restart().await;
        let behind = begin(&house).await;
        let accepted = house.try_submit(submission(prompt("hello"))).await.unwrap();
        let forecast = accepted.forecast.unwrap();
        assert_eq!((forecast.start_ms, forecast.end_ms()), (300, 600));
        assert_eq!(forecast.samples, 4);
        let refusal = house.try_submit(submission(with_deadline(599))).await.unwrap_err();
        assert_eq!(refusal.body("corr").code, ErrorCode::DeadlineUnmet);
        for task in [behind, accepted.task.id] {
            house.orchestrator().cancel(task).await.unwrap();
        }
        house.idle().await;
    }
}

/// Verifies: ORCH-048
#[tokio::test]
async fn a_daemon_that_ends_in_order_keeps_what_it_learned_last() {
    let mut house = measured().await;
    house.orchestrator().shut_down(std::time::Duration::from_secs(1)).await;
    house.restart().await;
    begin(&house).await;
    let forecast = house.try_submit(submission(prompt("hello"))).await.unwrap().forecast.unwrap();
    assert_eq!((forecast.start_ms, forecast.samples), (300, 3));
}
