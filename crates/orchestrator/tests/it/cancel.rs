use std::time::Duration;

use api_types::{TaskRequest, TaskState};
use orchestrator::{Outcome, PoolState, Refusal, Submission};
use orchestrator_core::TaskId;
use uuid::Uuid;

use crate::{
    engine::{Act, Engine},
    faults::Kind,
    house::{House, prompt, submission},
    reading::{PATIENCE, until},
};

/// Verifies: ORCH-064, ORCH-065, ORCH-066
#[tokio::test]
async fn a_cancelled_task_that_waits_has_only_its_end() {
    let mut house = House::with([Engine::new("a")]).await;
    house.announce(house.engine(0), PoolState::Backoff);
    let task = house.submit(prompt("hello")).await;
    assert_eq!(house.orchestrator().cancel(task).await.unwrap(), TaskState::Canceled);
    let story = house.story(task).await;
    assert_eq!((story.events.len(), story.reason()), (1, "canceled"));
    assert_eq!(story.end().data["tokens_out"], 0);
    house.restart().await;
    assert_eq!(house.orchestrator().cancel(task).await.unwrap(), TaskState::Canceled);
    assert_eq!(house.story(task).await, story);
    assert_eq!(house.engine(0).seen().len(), 0);
}

/// Verifies: ORCH-065, ORCH-067
#[tokio::test]
async fn a_cancelled_task_that_runs_stops_in_the_engine_and_shows_nothing_more() {
    let mut house = House::with([Engine::new("a").gated()]).await;
    let task = house.submit(prompt("hello world")).await;
    house.engine(0).pass(2);
    house.shown(task, 3).await;
    assert_eq!(house.orchestrator().cancel(task).await.unwrap(), TaskState::Canceled);
    house.engine(0).open();
    let story = house.story(task).await;
    assert_eq!((story.text().as_str(), story.reason(), story.last_id()), ("hell", "canceled", 4));
    assert_eq!(story.end().data["tokens_out"], 2);
    house.idle().await;
    let attempts = house.row(task).await.progress.attempts;
    assert_eq!(attempts[0].outcome, Some(Outcome::Canceled));
    assert_eq!(house.engine(0).aborted(), [attempts[0].id]);
    assert_eq!(house.engine(0).active(), 0);
    house.restart().await;
    assert_eq!(house.story(task).await, story, "the end was not durable");
}

/// Verifies: ORCH-064
#[tokio::test]
async fn a_cancel_leaves_ended_tasks_as_they_are_and_knows_no_others() {
    let house = House::with([Engine::new("a")]).await;
    let task = house.submit(prompt("hello")).await;
    let story = house.story(task).await;
    for _ in 0..2 {
        assert_eq!(house.orchestrator().cancel(task).await.unwrap(), TaskState::Succeeded);
    }
    assert_eq!(house.story(task).await, story);
    let unknown = house.orchestrator().cancel(TaskId(Uuid::now_v7())).await;
    assert!(matches!(unknown, Err(Refusal::UnknownTask)));
}

/// Verifies: ORCH-061, ORCH-065
#[tokio::test]
async fn a_cancel_while_a_lost_task_is_put_back_still_ends_it() {
    let house = House::with([Engine::new("a").replays()]).await;
    house.engine(0).next([Act::DieAt(2)]);
    house.faults.hold(Kind::Moved(TaskState::Queued));
    let task = house.submit(prompt("hello world")).await;
    until("the task goes back to the queue", || house.faults.waiting() == 1).await;
    let cancel = house.orchestrator().cancel(task);
    let release = async { house.faults.release() };
    // The scheduler hears of the cancel when it is first polled, and it is polled first.
    let both = async { tokio::join!(biased; cancel, release).0 };
    let state = tokio::time::timeout(PATIENCE, both).await.expect("the task never ends");
    assert_eq!(state.unwrap(), TaskState::Canceled);
    let story = house.story(task).await;
    assert_eq!((story.text().as_str(), story.reason()), ("hell", "canceled"));
    house.idle().await;
}

/// Verifies: ORCH-031
#[tokio::test]
async fn a_deadline_while_a_lost_task_is_put_back_still_ends_it() {
    let house = House::with([Engine::new("a").replays()]).await;
    house.engine(0).next([Act::DieAt(2)]);
    house.faults.hold(Kind::Moved(TaskState::Queued));
    let task =
        house.submit(TaskRequest { deadline_ms: Some(30_000), ..prompt("hello world") }).await;
    until("the task goes back to the queue", || house.faults.waiting() == 1).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_millis(30_100)).await;
    tokio::time::resume();
    house.faults.release();
    let story = house.story(task).await;
    assert_eq!((story.text().as_str(), story.code()), ("hell", "DEADLINE_EXCEEDED"));
    house.idle().await;
}

/// Verifies: ORCH-065, ORCH-077
#[tokio::test]
async fn a_task_cancelled_between_two_attempts_counts_what_it_showed() {
    let house = House::with([Engine::new("a").replays().gated()]).await;
    let task = house.submit(prompt("hello world")).await;
    house.engine(0).pass(2);
    house.shown(task, 3).await;
    // Nothing else may run it.
    house.announce(house.engine(0), PoolState::Backoff);
    house.engine(0).die();
    house.reaches(task, TaskState::Queued).await;
    house.orchestrator().cancel(task).await.unwrap();
    let story = house.story(task).await;
    assert_eq!((story.text().as_str(), story.last_id()), ("hell", 4));
    assert_eq!(story.end().data["tokens_out"], 2);
}

/// Verifies: ORCH-068
#[tokio::test]
async fn a_lost_subscriber_cancels_nothing_unless_told_so() {
    let house = House::with([Engine::new("a").gated()]).await;
    let stays = Submission { reattach_ms: Some(0), ..submission(prompt("stays")) };
    let stays = house.try_submit(stays).await.unwrap().task.id;
    let goes = TaskRequest { cancel_on_disconnect: true, ..prompt("goes") };
    let goes = Submission { reattach_ms: Some(20), ..submission(goes) };
    let goes = house.try_submit(goes).await.unwrap().task.id;
    drop(house.subscribe(stays, 0).await);
    drop(house.subscribe(goes, 0).await);
    house.reaches(goes, TaskState::Canceled).await;
    assert_eq!(house.state(stays).await, TaskState::Running);
    house.engine(0).open();
    assert_eq!(house.story(stays).await.text(), "stays");
    house.idle().await;
}

/// Verifies: ORCH-068
#[tokio::test]
async fn whoever_comes_back_in_time_keeps_the_task_and_may_go_again() {
    let house = House::with([Engine::new("a").gated()]).await;
    let request = TaskRequest { cancel_on_disconnect: true, ..prompt("hello") };
    let submission = Submission { reattach_ms: Some(400), ..submission(request) };
    let task = house.try_submit(submission).await.unwrap().task.id;
    house.shown(task, 1).await;
    tokio::time::pause();
    drop(house.subscribe(task, 0).await);
    let first_left = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(house.subscribe(task, 0).await); // gone again, which gives another 400 ms
    tokio::time::sleep_until(first_left + Duration::from_millis(500)).await;
    assert_eq!(house.state(task).await, TaskState::Running, "cancelled by an old absence");
    let _back = house.subscribe(task, 0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::time::resume();
    house.engine(0).open();
    assert_eq!(house.story(task).await.text(), "hello");
}

/// Verifies: ORCH-067
#[tokio::test]
async fn a_slot_is_free_after_the_grace_where_an_abort_is_not_confirmed() {
    let options = orchestrator::Options { cancel_grace_ms: 20, ..Default::default() };
    let house = House::with_options([Engine::new("a").slots(1).gated()], options).await;
    house.engine(0).abort_hangs.store(true, std::sync::atomic::Ordering::SeqCst);
    let task = house.submit(prompt("hello")).await;
    house.shown(task, 1).await;
    let next = house.submit(prompt("next")).await;
    house.orchestrator().cancel(task).await.unwrap();
    house.shown(next, 1).await;
    house.engine(0).open();
    assert_eq!(house.story(next).await.text(), "next");
}
