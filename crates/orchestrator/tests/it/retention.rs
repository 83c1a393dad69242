use api_types::{ErrorCode, TaskState};
use orchestrator::{Options, Refusal, Retention, Subscribed};
use orchestrator_core::TaskId;

use crate::{
    engine::{Act, Engine},
    house::{House, keyed, prompt},
};

const TEXT: &str = "Kept for a while.";
const HOUR_MS: u64 = 3_600_000;

/// Looked at all the time; nothing is due before the clock is moved.
fn options() -> Options {
    let retention = Retention {
        event_retention_ms: 24 * HOUR_MS,
        task_retention_ms: 7 * 24 * HOUR_MS,
        bytes_max: 64 << 20,
        look_every_ms: 5,
    };
    // Whatever the clock does, live tasks live.
    let long_ms = 1000 * 24 * HOUR_MS;
    Options {
        retention,
        queue_max_ms: long_ms,
        idle_ms: long_ms,
        wall_ms: long_ms,
        ..Options::default()
    }
}

/// What asking for a task's events gives.
async fn events(house: &House, task: TaskId) -> Result<(), ErrorCode> {
    match house.orchestrator().subscribe(task, 0).await {
        Ok(Subscribed::Stream(_) | Subscribed::NothingLeft) => Ok(()),
        Err(refusal) => Err(refusal.body("corr").code),
    }
}

async fn until_events_give(house: &House, task: TaskId, code: ErrorCode) {
    for _ in 0..10_000 {
        if events(house, task).await == Err(code) {
            return;
        }
        pause(1).await;
    }
    panic!("never {code:?}: {:?}", events(house, task).await);
}

async fn pause(ms: u64) {
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
}

/// Lets some looks happen: another task's events, due at the same time as those that must stay, cannot tell
/// that they were spared.
async fn some_looks() {
    pause(100).await;
}

/// Verifies: ORCH-079, ORCH-097
#[tokio::test]
async fn events_go_after_their_time_and_the_task_after_its_own() {
    let mut house = House::with_options([Engine::new("a").replays()], options()).await;
    let ended = house.try_submit(keyed("k", prompt(TEXT))).await.unwrap().task.id;
    let whole = house.story(ended).await;
    house.engine(0).next([Act::HangAt(3)]);
    let live = house.submit(prompt("alive all the time")).await;
    house.shown(live, 4).await;

    house.clock.jump(23 * HOUR_MS);
    some_looks().await;
    assert_eq!(house.story(ended).await.events, whole.events);
    house.clock.jump(2 * HOUR_MS);
    until_events_give(&house, ended, ErrorCode::EventsGone).await;
    // The task itself is there, and so is its key.
    let row = house.row(ended).await;
    assert_eq!((row.state, row.end.unwrap().event_id), (TaskState::Succeeded, whole.last_id()));
    assert!(house.try_submit(keyed("k", prompt(TEXT))).await.unwrap().is_replay);
    house.restart().await;
    assert_eq!(events(&house, ended).await, Err(ErrorCode::EventsGone));

    house.clock.jump(7 * 24 * HOUR_MS);
    until_events_give(&house, ended, ErrorCode::NotFound).await;
    assert!(matches!(house.orchestrator().task(ended).await, Err(Refusal::UnknownTask)));
    let anew = house.try_submit(keyed("k", prompt(TEXT))).await.unwrap();
    assert!(!anew.is_replay);
    assert_eq!(house.story(anew.task.id).await.text(), TEXT);
}

/// Verifies: ORCH-097
#[tokio::test]
async fn a_clock_behind_what_is_stored_removes_nothing() {
    let house = House::with_options([Engine::new("a")], options()).await;
    let first = house.submit(prompt(TEXT)).await;
    house.story(first).await;
    house.clock.jump(23 * HOUR_MS);
    let second = house.submit(prompt(TEXT)).await;
    house.story(second).await;
    // By this clock the first one is not even due; by the former one it becomes so.
    house.clock.step_wall(-i64::try_from(HOUR_MS).unwrap());
    some_looks().await;
    assert_eq!(events(&house, first).await, Ok(()));
    house.clock.jump(3 * HOUR_MS);
    until_events_give(&house, first, ErrorCode::EventsGone).await;
    assert_eq!(events(&house, second).await, Ok(()));
}

/// Verifies: ORCH-097
#[tokio::test]
async fn a_clock_that_steps_far_forward_is_not_believed_for_an_hour() {
    let mut house = House::with_options([Engine::new("a")], options()).await;
    let task = house.submit(prompt(TEXT)).await;
    house.story(task).await;
    some_looks().await;
    house.clock.step_wall(1_000_000_000_000);
    some_looks().await;
    assert_eq!(events(&house, task).await, Ok(()));
    house.clock.jump(HOUR_MS - 10_000);
    some_looks().await;
    assert_eq!(events(&house, task).await, Ok(()));
    // A restart is no reason to believe it.
    house.restart().await;
    some_looks().await;
    assert_eq!(events(&house, task).await, Ok(()));
    // Set right in time, nothing was lost.
    house.clock.step_wall(-1_000_000_000_000);
    house.clock.jump(2 * HOUR_MS);
    some_looks().await;
    assert_eq!(events(&house, task).await, Ok(()));
    // What stays there is the time.
    house.clock.step_wall(1_000_000_000_000);
    some_looks().await;
    house.clock.jump(HOUR_MS);
    until_events_give(&house, task, ErrorCode::NotFound).await;
}

/// Verifies: ORCH-097
#[tokio::test]
async fn segments_go_with_their_last_events_but_never_those_of_live_tasks() {
    let mut house = House::with_options([Engine::new("a").replays()], options()).await;
    house.segment_bytes = 2000;
    house.restart().await;
    let old = house.submit(prompt(TEXT)).await;
    house.story(old).await;
    house.engine(0).next([Act::HangAt(3)]);
    let live = house.submit(prompt("alive all the time, in an old segment")).await;
    let seen = house.shown(live, 4).await;
    let mut ended = Vec::new();
    while house.segments().len() < 12 {
        let task = house.submit(prompt(TEXT)).await;
        house.story(task).await;
        ended.push(task);
    }
    let before = house.segments();
    house.clock.jump(25 * HOUR_MS);
    for task in ended.iter().chain([&old]) {
        until_events_give(&house, *task, ErrorCode::EventsGone).await;
    }
    let mut sizes = house.segments();
    for _ in 0..10_000 {
        sizes = house.segments();
        if sizes.iter().filter(|(_, bytes)| *bytes > 24).count() <= 4 {
            break;
        }
        pause(1).await;
    }
    // What is left: where the live task writes, what was written last.
    let full: Vec<_> = sizes.iter().filter(|(_, bytes)| *bytes > 24).collect();
    assert!(full.len() <= 4, "{before:?} became {sizes:?}");
    house.restart().await;
    let story = house.story(live).await;
    assert_eq!(story.text(), "alive all the time, in an old segment");
    assert_eq!(story.events[..seen.events.len()], seen.events);
}

/// Verifies: ORCH-097
#[tokio::test]
async fn beyond_its_size_the_oldest_ended_tasks_go_first_and_live_ones_never() {
    let mut house = House::with_options([Engine::new("a").replays()], options()).await;
    house.segment_bytes = 50_000;
    house.options.retention.bytes_max = 2_000_000;
    house.restart().await;
    house.engine(0).next([Act::HangAt(3)]);
    let live = house.submit(prompt("alive all the time")).await;
    house.shown(live, 4).await;
    let mut ended = Vec::new();
    // Each has about 60 KB of events.
    for _ in 0..60 {
        let task = house.submit(prompt(&TEXT.repeat(100))).await;
        house.story(task).await;
        ended.push(task);
    }
    until_events_give(&house, ended[0], ErrorCode::EventsGone).await;
    some_looks().await;
    let mut have = Vec::new();
    for task in &ended {
        have.push(events(&house, *task).await);
    }
    let gone = have.iter().take_while(|it| it.is_err()).count();
    assert!(have[gone..].iter().all(Result::is_ok), "not the oldest: {have:?}");
    assert!(gone > 0 && gone < ended.len(), "{gone} of {} are gone", ended.len());
    let stored = house.orchestrator().stored().await.unwrap();
    assert!(stored.events_bytes + stored.records_bytes <= 2_000_000, "{stored:?}");
    assert!(!house.state(live).await.is_terminal());
}
