use std::{sync::atomic::Ordering, time::Duration};

use api_types::{ErrorCode, TaskState};
use orchestrator::{Options, Refusal};

use crate::{
    engine::{Act, Engine, answer},
    house::{House, keyed, prompt, submission},
    reading::{PATIENCE, until},
};

const TEXT: &str = "Something to be written down.";

/// Verifies: ORCH-037, ORCH-098
#[tokio::test]
async fn a_full_device_refuses_admission_and_goes_on_by_itself() {
    let house = House::with([Engine::new("a")]).await;
    house.faults.journal_full.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let refusal = house.try_submit(keyed("k", prompt(TEXT))).await.unwrap_err();
        assert!(matches!(refusal, Refusal::StorageFull), "{refusal}");
        assert_eq!(refusal.body("corr").code, ErrorCode::StorageFull);
    }
    assert_eq!(house.orchestrator().failing(), ["store"]);
    house.faults.journal_full.store(false, Ordering::SeqCst);
    until("it is ready again", || house.orchestrator().failing().is_empty()).await;
    let accepted = house.try_submit(keyed("k", prompt(TEXT))).await.unwrap();
    assert!(!accepted.is_replay);
    assert_eq!(house.story(accepted.task.id).await.text(), TEXT);
    assert_eq!(house.rows().await, 1);
}

/// Verifies: ORCH-098
#[tokio::test]
async fn a_stream_pauses_while_the_device_is_full_and_loses_nothing() {
    let options = Options { idle_ms: 200, ..Options::default() };
    let house = House::with_options([Engine::new("a").replays().gated()], options).await;
    let task = house.submit(prompt(TEXT)).await;
    house.engine(0).pass(2);
    house.shown(task, 3).await;
    house.faults.events_full.store(true, Ordering::SeqCst);
    house.engine(0).pass(2);
    until("the device is full", || !house.orchestrator().failing().is_empty()).await;
    // Longer than an engine may be silent: but it is not the engine that is.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(house.orchestrator().last_event_id(task).await.unwrap(), 3);
    house.faults.events_full.store(false, Ordering::SeqCst);
    house.shown(task, 4).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    house.engine(0).open();
    let story = house.story(task).await;
    assert_eq!(story.text(), TEXT);
    assert_eq!(story.end().data["attempts"], 1, "the pause was taken for idleness");
}

/// Verifies: ORCH-065, ORCH-098
#[tokio::test]
async fn a_cancel_on_a_full_device_says_so_and_is_done_when_there_is_room() {
    let house = House::with([Engine::new("a").gated()]).await;
    let task = house.submit(prompt(TEXT)).await;
    house.engine(0).pass(2);
    house.shown(task, 3).await;
    house.faults.journal_full.store(true, Ordering::SeqCst);
    let refusal = house.orchestrator().cancel(task).await.unwrap_err();
    assert!(matches!(refusal, Refusal::StorageFull), "{refusal}");
    assert_eq!(house.state(task).await, TaskState::Running, "an end was shown that is not durable");
    house.faults.journal_full.store(false, Ordering::SeqCst);
    let story = house.story(task).await;
    assert_eq!((story.text(), story.reason()), (answer(TEXT, 2), "canceled"));
}

/// Verifies: ORCH-098
#[tokio::test]
async fn every_step_of_a_task_waits_out_a_full_device() {
    let house = House::with([Engine::new("a").replays(), Engine::new("b").replays()]).await;
    house.engine(0).next([Act::DieAt(3)]);
    house.engine(1).next([Act::DieAt(6)]);
    let task = house.submit(prompt(TEXT)).await;
    let full = async {
        for _ in 0..3 {
            house.faults.journal_full.store(true, Ordering::SeqCst);
            house.faults.events_full.store(true, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(30)).await;
            house.faults.journal_full.store(false, Ordering::SeqCst);
            house.faults.events_full.store(false, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let (story, ()) = tokio::join!(house.story(task), full);
    assert_eq!(story.text(), TEXT);
    house.idle().await;
}

/// Verifies: ORCH-091, ORCH-093
#[tokio::test]
async fn a_store_that_fails_ends_the_process_and_shows_nothing_after_it() {
    for journal in [true, false] {
        let mut house = House::with([Engine::new("a").replays().gated()]).await;
        let task = house.submit(prompt(TEXT)).await;
        house.engine(0).pass(2);
        house.shown(task, 3).await;
        let failed = house.orchestrator().failed();
        let broken =
            if journal { &house.faults.journal_broken } else { &house.faults.events_broken };
        broken.store(true, Ordering::SeqCst);
        house.engine(0).open();
        tokio::time::timeout(PATIENCE, failed.cancelled()).await.expect("it says so");
        assert!(house.orchestrator().failure().unwrap().contains("the device is gone"));
        assert_eq!(house.orchestrator().failing(), ["store"]);
        assert_eq!(house.state(task).await, TaskState::Running);
        tokio::time::timeout(PATIENCE, house.orchestrator().shut_down(PATIENCE)).await.unwrap();
        broken.store(false, Ordering::SeqCst);
        house.restart().await;
        assert_eq!(house.story(task).await.text(), TEXT);
    }
}

/// Verifies: ORCH-091
#[tokio::test]
async fn a_submission_meets_a_failed_store_without_an_answer_that_it_was_kept() {
    let house = House::with([Engine::new("a")]).await;
    house.faults.journal_broken.store(true, Ordering::SeqCst);
    let failed = house.orchestrator().failed();
    tokio::select! {
        answer = house.try_submit(submission(prompt(TEXT))) => assert!(answer.is_err()),
        () = failed.cancelled() => {}
    }
    tokio::time::timeout(PATIENCE, failed.cancelled()).await.expect("it says so");
}
