use api_types::TaskState;
use orchestrator::{Delivery, Options, Refusal, Subscribed};
use orchestrator_core::TaskId;
use uuid::Uuid;

use crate::{
    engine::Engine,
    house::{House, prompt},
    reading::{Story, next, parse, read_all, read_to},
};

const TEXT: &str = "A story with 🦀, 猫 and é in it; long enough for some events.";

/// Verifies: ORCH-072, ORCH-073, ORCH-078, ORCH-080
#[tokio::test]
async fn a_client_may_come_back_behind_every_event_of_a_running_and_an_ended_task() {
    let mut house = House::with([Engine::new("a").gated()]).await;
    let task = house.submit(prompt(TEXT)).await;
    let mut listeners = Vec::new();
    while listeners.len() < 12 {
        house.shown(task, 1).await;
        listeners.push((0, house.subscribe(task, 0).await));
        let so_far = house.orchestrator().last_event_id(task).await.unwrap();
        listeners.push((so_far, house.subscribe(task, so_far).await));
        house.engine(0).pass(1);
        tokio::task::yield_now().await;
    }
    house.engine(0).open();
    let whole = house.story(task).await;
    assert_eq!(whole.text(), TEXT);
    for (after, mut listener) in listeners {
        let story = read_all(&mut listener).await;
        story.check(after);
        assert_eq!(story.events, whole.events[usize::try_from(after).unwrap()..]);
    }
    for round in ["the same process", "the next one"] {
        for after in 0..whole.last_id() {
            let story = read_all(&mut house.subscribe(task, after).await).await;
            assert_eq!(story.events, whole.events[usize::try_from(after).unwrap()..], "{round}");
        }
        let left = house.orchestrator().subscribe(task, whole.last_id()).await.unwrap();
        assert!(matches!(left, Subscribed::NothingLeft), "{round}");
        house.restart().await;
    }
}

/// Verifies: ORCH-078
#[tokio::test]
async fn an_event_that_never_was_is_refused_at_once_after_the_end_and_awaited_before() {
    let house = House::with([Engine::new("a").gated()]).await;
    let task = house.submit(prompt("hello")).await;
    house.shown(task, 1).await;
    let pass = async { house.engine(0).open() };
    let (ahead, ()) = tokio::join!(house.orchestrator().subscribe(task, 3), pass);
    let Subscribed::Stream(mut ahead) = ahead.unwrap() else { panic!("there is more") };
    let story = read_all(&mut ahead).await;
    story.check(3);
    assert_eq!(story.events[0].id, 4);
    let last = house.story(task).await.last_id();
    let unknown = house.orchestrator().subscribe(task, last + 1).await;
    let Err(Refusal::UnknownEvent { asked, last_event_id }) = unknown else { panic!() };
    assert_eq!((asked, last_event_id), (last + 1, last));
    let far = house.orchestrator().subscribe(task, u64::MAX).await;
    assert!(matches!(far, Err(Refusal::UnknownEvent { .. })));
    let nobody = house.orchestrator().subscribe(TaskId(Uuid::now_v7()), 0).await;
    assert!(matches!(nobody, Err(Refusal::UnknownTask)));
}

/// Verifies: ORCH-078
#[tokio::test]
async fn an_event_that_does_not_come_is_refused_after_a_wait() {
    let house = House::with([Engine::new("a").gated()]).await;
    let task = house.submit(prompt("hello")).await;
    house.shown(task, 1).await;
    tokio::time::pause();
    let from = tokio::time::Instant::now();
    let ahead = house.orchestrator().subscribe(task, 99).await;
    assert!(matches!(ahead, Err(Refusal::UnknownEvent { asked: 99, last_event_id: 1 })));
    assert!(from.elapsed() >= std::time::Duration::from_secs(5));
}

/// Verifies: ORCH-080, ORCH-083
#[tokio::test]
async fn a_slow_reader_behind_the_ring_reads_the_store_and_delays_nobody() {
    let options = Options { ring_bytes: 1, ..Options::default() };
    let house = House::with_options([Engine::new("a").gated()], options).await;
    let text = "Plain letters, two to a token!";
    let task = house.submit(prompt(text)).await;
    let mut slow = house.subscribe(task, 0).await;
    let mut fast = house.subscribe(task, 0).await;
    let mut quick = Story::default();
    // One token at a time, so that each event is a frame of its own.
    let mut id = 1;
    quick.events.extend(read_to(&mut fast, id).await.events);
    while quick.text() != text {
        house.engine(0).pass(1);
        if let Some(Delivery::Events(bytes)) = next(&mut fast).await {
            quick.events.extend(parse(&bytes));
            id = quick.last_id();
        }
    }
    assert!(id > 10);
    // Nothing was read here so far.
    let lagging = read_to(&mut slow, id).await;
    assert_eq!(lagging.events, quick.events);
    house.engine(0).open();
    quick.events.extend(read_all(&mut fast).await.events);
    quick.check(0);
    let rest = read_all(&mut slow).await;
    assert_eq!([lagging.events, rest.events].concat(), quick.events);
}

/// Verifies: ORCH-083
#[tokio::test]
async fn subscribers_beyond_the_limits_are_refused_until_one_leaves() {
    let options = Options { subscribers_per_task: 2, subscribers_max: 3, ..Options::default() };
    let house = House::with_options([Engine::new("a").gated()], options).await;
    let (one, two) = (house.submit(prompt("one")).await, house.submit(prompt("two")).await);
    let first = house.subscribe(one, 0).await;
    let _second = house.subscribe(one, 0).await;
    let too_many = async |task| {
        let refused = house.orchestrator().subscribe(task, 0).await;
        matches!(refused, Err(Refusal::TooManyStreams { .. }))
    };
    assert!(too_many(one).await, "three of one task");
    let _third = house.subscribe(two, 0).await;
    assert!(too_many(two).await, "four in all");
    drop(first);
    let _fourth = house.subscribe(two, 0).await;
    assert!(too_many(one).await, "four in all again");
}

/// Verifies: ORCH-053, ORCH-072
#[tokio::test]
async fn a_stream_opens_while_its_task_waits() {
    let house = House::with([Engine::new("a").slots(1).gated()]).await;
    let first = house.submit(prompt("first")).await;
    house.shown(first, 1).await;
    let second = house.submit(prompt("second")).await;
    let mut early = house.subscribe(second, 0).await;
    assert_eq!(early.waiting(), Some((0, 1)));
    assert_eq!(house.state(second).await, TaskState::Queued);
    house.engine(0).open();
    let story = read_all(&mut early).await;
    assert_eq!(story.text(), "second");
    assert_eq!(story, house.story(second).await);
}
