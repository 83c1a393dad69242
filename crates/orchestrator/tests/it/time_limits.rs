use api_types::{TaskRequest, TaskState};
use orchestrator::{Options, Outcome, PoolState};

use crate::{
    engine::{Act, Engine},
    house::{House, prompt},
};

/// Verifies: ORCH-031
#[tokio::test]
async fn a_deadline_ends_a_task_that_waits_and_one_that_runs() {
    let house = House::with([Engine::new("a").slots(1).gated()]).await;
    let with = |text: &str| TaskRequest { deadline_ms: Some(800), ..prompt(text) };
    let running = house.submit(with("hello")).await;
    house.engine(0).pass(1);
    house.shown(running, 2).await;
    let queued = house.submit(with("queued")).await;
    let story = house.story(running).await;
    assert_eq!((story.text().as_str(), story.code()), ("he", "DEADLINE_EXCEEDED"));
    let story = house.story(queued).await;
    assert_eq!(story.code(), "DEADLINE_EXCEEDED");
    assert_eq!(story.text(), "");
    for task in [running, queued] {
        assert_eq!(house.state(task).await, TaskState::Expired);
    }
    house.idle().await;
    assert_eq!(house.engine(0).active(), 0, "the slot is free, the engine is not");
}

/// Verifies: ORCH-031
#[tokio::test]
async fn a_deadline_runs_on_while_the_machine_sleeps_and_across_a_restart() {
    let mut house = House::with([Engine::new("a").gated()]).await;
    let with = TaskRequest { deadline_ms: Some(60_000), ..prompt("hello") };
    let (asleep, dead) = (house.submit(with.clone()).await, house.submit(with).await);
    house.shown(asleep, 1).await;
    house.kill().await;
    house.clock.jump(61_000);
    house.start().await;
    for task in [asleep, dead] {
        assert_eq!(house.story(task).await.code(), "DEADLINE_EXCEEDED");
    }
    let awake = TaskRequest { deadline_ms: Some(60_000), ..prompt("hello") };
    let awake = house.submit(awake).await;
    house.shown(awake, 1).await;
    house.clock.jump(61_000);
    assert_eq!(house.story(awake).await.code(), "DEADLINE_EXCEEDED");
}

/// Verifies: ORCH-026
#[tokio::test]
async fn nothing_waits_in_the_queue_for_ever() {
    let options = Options { queue_max_ms: 50, ..Options::default() };
    let house = House::with_options([Engine::new("a")], options).await;
    house.announce(house.engine(0), PoolState::Backoff);
    let task = house.submit(prompt("hello")).await;
    assert_eq!(house.story(task).await.code(), "QUEUE_TIMEOUT");
    assert_eq!(house.state(task).await, TaskState::Expired);
}

/// Verifies: ORCH-054, ORCH-100
#[tokio::test]
async fn a_silent_engine_loses_the_task_to_another() {
    let options = Options { idle_ms: 60, ..Options::default() };
    let engines = [Engine::new("a").replays(), Engine::new("b").replays()];
    let house = House::with_options(engines, options).await;
    house.engine(0).next([Act::HangAt(3)]);
    let task = house.submit(prompt("hello world")).await;
    let story = house.story(task).await;
    assert_eq!(story.text(), "hello world");
    let attempts = house.row(task).await.progress.attempts;
    assert_eq!(attempts.len(), 2);
    assert_eq!((&*attempts[0].pool_id, attempts[0].outcome), ("a", Some(Outcome::Lost)));
    assert_eq!((&*attempts[1].pool_id, attempts[1].outcome), ("b", Some(Outcome::Completed)));
    assert_eq!(house.engine(0).aborted(), [attempts[0].id]);
}

/// Verifies: ORCH-054
#[tokio::test]
async fn a_task_that_runs_too_long_ends() {
    let options = Options { wall_ms: 80, idle_ms: 60_000, ..Options::default() };
    let house = House::with_options([Engine::new("a")], options).await;
    house.engine(0).next([Act::HangAt(1)]);
    let task = house.submit(prompt("hello")).await;
    let story = house.story(task).await;
    assert_eq!((story.text().as_str(), story.code()), ("he", "DECODE_TIMEOUT"));
    house.idle().await;
}

/// Verifies: ORCH-054, ORCH-094
#[tokio::test]
async fn the_time_that_the_daemon_was_down_is_not_the_tasks_run() {
    let options = Options { wall_ms: 60_000, ..Options::default() };
    let mut house = House::with_options([Engine::new("a").replays().gated()], options).await;
    let task = house.submit(prompt("hello world")).await;
    house.engine(0).pass(2);
    house.shown(task, 3).await;
    house.kill().await;
    house.clock.jump(3_600_000);
    house.start().await;
    house.engine(0).pass(1);
    house.shown(task, 4).await;
    // A pause that makes the watchdog look.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    house.engine(0).open();
    assert_eq!(house.story(task).await.text(), "hello world");
}
