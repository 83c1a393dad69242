use std::sync::atomic::Ordering;

use api_types::{Priority, TaskRequest, TaskState};
use orchestrator::{Options, Refusal};
use orchestrator_core::{Limits, TaskId, WhenFull};

use crate::{
    engine::Engine,
    faults::Kind,
    house::{House, keyed, prompt, submission},
    reading::{read_all, until},
};

/// One slot that is taken, and room for two, which are: one of batch, one interactive.
async fn full() -> (House, [TaskId; 3]) {
    let queue = Limits {
        model_capacity: 2,
        batch_share_percent: 100,
        when_full: WhenFull::DropLru,
        ..Limits::default()
    };
    let options = Options { queue, ..Options::default() };
    let house = House::with_options([Engine::new("a").slots(1).gated()], options).await;
    let running = house.submit(prompt("first")).await;
    house.shown(running, 1).await;
    let victim = house.try_submit(keyed("k", batch())).await.unwrap().task.id;
    let other = house.submit(prompt("other")).await;
    (house, [running, victim, other])
}

fn batch() -> TaskRequest {
    TaskRequest { priority: Priority::Batch, ..prompt("victim") }
}

/// Verifies: ORCH-050, ORCH-051
#[tokio::test]
async fn the_victim_ends_evicted_and_its_subscribers_are_told() {
    let (mut house, [running, victim, other]) = full().await;
    let mut listening = house.subscribe(victim, 0).await;
    let newcomer = house.submit(prompt("newcomer")).await;
    let story = read_all(&mut listening).await;
    assert_eq!((story.end().id, &*story.end().name), (1, "error"));
    assert_eq!(story.code(), "QUEUE_FULL_DROP_LRU");
    assert_eq!(story.end().data["retriable"], true);
    assert_eq!(house.position(newcomer).await, Some(1));
    // One commit: no state of the store has both of them, or neither.
    let moves = house.faults.moves();
    let at = |wanted| moves.iter().position(|moved| *moved == wanted).unwrap();
    assert_eq!(at((newcomer, TaskState::Queued)) + 1, at((victim, TaskState::Evicted)));
    drop(listening);
    house.restart().await;
    assert_eq!(house.orchestrator().task(victim).await.unwrap().0.state, TaskState::Evicted);
    house.engine(0).open();
    for (task, text) in [(running, "first"), (other, "other"), (newcomer, "newcomer")] {
        assert_eq!(house.story(task).await.text(), text);
    }
    assert_eq!(house.story(victim).await.code(), "QUEUE_FULL_DROP_LRU");
    // Its key is free again.
    let again = house.try_submit(keyed("k", batch())).await.unwrap();
    assert!(!again.is_replay && again.task.id != victim);
}

/// Verifies: ORCH-037, ORCH-051
#[tokio::test]
async fn a_victim_whose_newcomer_cannot_be_kept_goes_on_waiting() {
    let (house, [running, victim, other]) = full().await;
    house.faults.journal_full.store(true, Ordering::SeqCst);
    let refusal = house.try_submit(submission(prompt("newcomer"))).await.unwrap_err();
    assert!(matches!(refusal, Refusal::StorageFull), "{refusal}");
    house.faults.journal_full.store(false, Ordering::SeqCst);
    house.engine(0).open();
    for (task, text) in [(running, "first"), (other, "other"), (victim, "victim")] {
        assert_eq!(house.story(task).await.text(), text);
    }
}

/// Verifies: ORCH-051
#[tokio::test]
async fn a_crash_in_the_middle_of_an_eviction_leaves_the_victim_queued() {
    let (mut house, [_, victim, _]) = full().await;
    house.faults.hold(Kind::Ended);
    {
        let newcomer = submission(prompt("newcomer"));
        let mut admission = Box::pin(house.try_submit(newcomer));
        tokio::select! {
            _ = &mut admission => panic!("it was admitted before its commit"),
            () = until("the commit is on its way", || house.faults.waiting() == 1) => {}
        }
    }
    // It does not end twice.
    let canceled = house.orchestrator().cancel(victim);
    tokio::select! {
        _ = canceled => panic!("it ended while it made room"),
        () = tokio::task::yield_now() => {}
    }
    house.kill().await;
    house.faults.release();
    house.start().await;
    assert_eq!(house.rows().await, 3);
    assert_eq!(house.orchestrator().task(victim).await.unwrap().0.state, TaskState::Queued);
    house.engine(0).open();
    assert_eq!(house.story(victim).await.text(), "victim");
}

/// Verifies: ORCH-050
#[tokio::test]
async fn what_finds_nobody_to_take_the_place_of_is_refused_by_name() {
    let (house, _) = full().await;
    house.submit(prompt("second")).await;
    let refusal = house.try_submit(submission(batch())).await.unwrap_err();
    let body = refusal.body("corr");
    assert_eq!(body.policy_label.as_deref(), Some("drop-lru"));
    assert!(body.retriable && body.retry_after_ms.is_some());
}
