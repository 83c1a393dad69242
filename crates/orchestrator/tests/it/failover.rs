use std::sync::{Arc, atomic::Ordering};

use api_types::{Failover, TaskRequest, TaskState};
use orchestrator::{AttachedPool, Options, Outcome, PoolState};

use crate::{
    engine::{Act, Bound, Engine, answer},
    faults::Kind,
    house::{House, prompt, remote},
    reading::{Story, until},
};

const TEXT: &str = "An answer 🦀 of some 猫 length.";

/// The worker dies behind each token of the answer, with another one at hand.
async fn lost_at_every_token(make: impl Fn(&str) -> Engine) -> Vec<(Story, String)> {
    let mut stories = Vec::new();
    for cut in 0..TEXT.len().div_ceil(2) {
        let house = House::with([make("a"), make("b")]).await;
        house.engine(0).next([Act::DieAt(cut)]);
        let task = house.submit(prompt(TEXT)).await;
        let story = house.story(task).await;
        let attempts = house.row(task).await.progress.attempts;
        assert_eq!(attempts[0].outcome, Some(Outcome::Lost), "cut at {cut}");
        house.idle().await;
        stories.push((story, answer(TEXT, cut)));
    }
    stories
}

/// Verifies: ORCH-100, ORCH-101, ORCH-104
#[tokio::test]
async fn an_engine_that_replays_continues_where_another_died() {
    for (story, _) in lost_at_every_token(|pool| Engine::new(pool).replays()).await {
        assert_eq!((story.text().as_str(), story.reason()), (TEXT, "stop"));
        assert_eq!(story.end().data["attempts"], 2);
    }
}

/// Verifies: ORCH-100, ORCH-102, ORCH-104
#[tokio::test]
async fn a_strict_engine_generates_again_what_another_showed() {
    let strict = |pool: &str| {
        let mut engine = Engine::new(pool).strict();
        engine.tells_ids = false;
        engine
    };
    for (story, _) in lost_at_every_token(strict).await {
        assert_eq!((story.text().as_str(), story.reason()), (TEXT, "stop"));
    }
}

/// Verifies: ORCH-100, ORCH-103
#[tokio::test]
async fn an_engine_that_can_neither_fails_the_task_once_output_was_shown() {
    for (story, shown) in lost_at_every_token(Engine::new).await {
        let before_the_first_token = shown.is_empty();
        if before_the_first_token {
            assert_eq!(story.text(), TEXT);
        } else {
            assert_eq!((story.text(), story.code()), (shown, "WORKER_RESET"));
            assert_eq!(story.end().data["retriable"], true);
        }
    }
}

/// Verifies: ORCH-100, ORCH-102
#[tokio::test]
async fn what_was_shown_goes_on_under_the_same_profile_and_is_repeated_by_the_same_version_only() {
    type Make = fn(&str) -> Engine;
    let cases: [(Make, Make); 2] = [
        (|pool| Engine::new(pool).replays(), |pool| Engine::new(pool).replays().profile("warm")),
        (|pool| Engine::new(pool).strict(), |pool| Engine::new(pool).strict().version("2")),
    ];
    for (make, make_other) in cases {
        let house = House::with([make("a"), make_other("b")]).await;
        house.engine(0).next([Act::DieAt(3)]);
        let task = house.submit(prompt(TEXT)).await;
        assert_eq!(house.story(task).await.text(), TEXT);
        assert_eq!((house.engine(0).seen().len(), house.engine(1).seen().len()), (2, 0));

        // Where its own pool does not come back, the answer cannot go on.
        let house = House::with([make("a").gated(), make_other("b")]).await;
        house.engine(0).pass(3);
        let task = house.submit(prompt(TEXT)).await;
        house.shown(task, 3).await;
        house.announce(house.engine(0), PoolState::Failed);
        house.engine(0).die();
        assert_eq!(house.story(task).await.code(), "WORKER_RESET");
        assert_eq!(house.engine(1).seen().len(), 0, "the other pool was asked");
    }
}

/// Verifies: ORCH-101, ORCH-103
#[tokio::test]
async fn ids_go_through_decode_again_on_any_version_and_what_showed_nothing_starts_anywhere() {
    let house =
        House::with([Engine::new("a").replays(), Engine::new("b").replays().version("2")]).await;
    house.engine(0).next([Act::DieAt(3)]);
    let task = house.submit(prompt(TEXT)).await;
    assert_eq!(house.story(task).await.text(), TEXT);
    assert_eq!(house.engine(1).seen().len(), 1);

    let house = House::with([Engine::new("a"), Engine::new("b").profile("warm")]).await;
    house.engine(0).next([Act::DieAt(0)]);
    let task = house.submit(prompt(TEXT)).await;
    assert_eq!(house.story(task).await.text(), TEXT);
    assert_eq!(house.engine(1).seen().len(), 1);
}

/// Verifies: ORCH-103
#[tokio::test]
async fn an_answer_that_differs_the_second_time_is_never_shown() {
    let house = House::with([Engine::new("a").strict(), Engine::new("b").strict()]).await;
    house.engine(0).next([Act::DieAt(4)]);
    house.engine(1).next([Act::Lie]);
    let task = house.submit(prompt(TEXT)).await;
    let story = house.story(task).await;
    assert_eq!((story.text(), story.code()), (answer(TEXT, 4), "CONTINUATION_MISMATCH"));
    house.idle().await;
}

/// Verifies: ORCH-106
#[tokio::test]
async fn a_task_without_failover_fails_with_its_worker() {
    let house = House::with([Engine::new("a").replays(), Engine::new("b").replays()]).await;
    house.engine(0).next([Act::DieAt(3)]);
    let request = TaskRequest { failover: Failover::Off, ..prompt(TEXT) };
    let task = house.submit(request).await;
    let story = house.story(task).await;
    assert_eq!((story.text(), story.code()), (answer(TEXT, 3), "WORKER_RESET"));
    assert_eq!(house.row(task).await.end.unwrap().tokens_out, Some(story.tokens().count() as u64));
    house.idle().await;
}

/// Verifies: ORCH-100, ORCH-106
#[tokio::test]
async fn a_task_that_fails_everywhere_ends_with_the_last_cause() {
    let engines = ["a", "b", "c"].map(|pool| Engine::new(pool).replays());
    let house = House::with(engines).await;
    for engine in &house.engines {
        engine.next([Act::DieAt(2), Act::DieAt(2)]);
    }
    let task = house.submit(prompt(TEXT)).await;
    let story = house.story(task).await;
    assert_eq!(story.code(), "REPLICA_EXHAUSTED");
    assert_eq!(story.end().data["details"]["failures"], 3);
    assert!(story.end().data["details"]["last_cause"].as_str().unwrap().contains("died"));
    let attempts = house.row(task).await.progress.attempts;
    let mut pools: Vec<_> = attempts.iter().map(|attempt| &*attempt.pool_id).collect();
    pools.sort_unstable();
    assert_eq!(pools, ["a", "b", "c"], "a replica that failed the task was tried again too soon");
    house.idle().await;
}

/// Verifies: ORCH-106
#[tokio::test]
async fn what_the_engine_refuses_is_the_tasks_own_fault() {
    let house = House::with([Engine::new("a"), Engine::new("b")]).await;
    house.engine(0).next([Act::Refuse]);
    let task = house.submit(prompt(TEXT)).await;
    let story = house.story(task).await;
    assert_eq!(story.code(), "ENGINE_REFUSED");
    assert_eq!(story.end().data["retriable"], false);
    assert_eq!(house.engine(1).seen().len(), 0, "a refusal was retried");
    assert_eq!(house.slots(0), (2, 2), "the pool suffered for it");
}

/// Verifies: ORCH-106
#[tokio::test]
async fn an_engine_without_room_is_asked_again_without_counting() {
    let house = House::with([Engine::new("a")]).await;
    house.engine(0).next(vec![Act::Overloaded; 7]);
    let task = house.submit(prompt(TEXT)).await;
    assert_eq!(house.story(task).await.text(), TEXT);
    assert_eq!(house.engine(0).seen().len(), 8);
    let progress = house.row(task).await.progress;
    assert_eq!(progress.poison.failures, 0);
    assert!(progress.attempts.len() < 8, "the row grows with every try");
}

/// Verifies: ORCH-100
#[tokio::test]
async fn a_task_waits_while_no_engine_can_be_reached() {
    let house = House::with([Engine::new("a").slots(1)]).await;
    house.engine(0).next([Act::Unreachable]);
    let task = house.submit(prompt(TEXT)).await;
    until("the pool backs off", || house.orchestrator().standing().pools[0].state == "backoff")
        .await;
    assert!(house.orchestrator().standing().pools[0].last_error.is_some());
    house.reaches(task, TaskState::Queued).await;
    let other = house.submit(prompt("other")).await;
    house.announce(house.engine(0), PoolState::Ready);
    assert_eq!(house.story(task).await.text(), TEXT);
    assert_eq!(house.story(other).await.text(), "other");
    let order = house.faults.moves();
    let started = |task| order.iter().rposition(|moved| *moved == (task, TaskState::Running));
    assert!(started(task) < started(other), "the one that came back is not ahead");
}

/// Verifies: ORCH-100
#[tokio::test]
async fn an_attached_engine_is_watched() {
    let mut house = House::with([]).await;
    let mut engine = Engine::new("there");
    engine.features.token_ids = false;
    let engine = Arc::new(engine);
    engine.is_up.store(false, Ordering::SeqCst);
    house.engines.push(Arc::clone(&engine));
    let pool = AttachedPool {
        replica: engine.key.clone(),
        adapter: Arc::new(Bound(Arc::clone(&engine))),
        models: None,
        models_of: Arc::clone(&engine.key.pool_id),
        engine: None,
        engine_version: None,
        sampler_profile: engine.profile.clone(),
        is_verified: true,
        address: Arc::from("somewhere"),
    };
    house.orchestrator().attach(pool, engine.facts(PoolState::Provisioning));
    let task = house.submit(remote("hello")).await;
    until("it is missed", || house.orchestrator().standing().pools[0].state == "backoff").await;
    engine.is_up.store(true, Ordering::SeqCst);
    assert_eq!(house.story(task).await.text(), "hello");
}

/// Verifies: ORCH-106
#[tokio::test]
async fn a_panic_in_an_adapter_ends_its_task_alone() {
    let house = House::with([Engine::new("a").slots(4).gated()]).await;
    let other = house.submit(prompt("other")).await;
    house.shown(other, 1).await;
    house.engine(0).next([Act::PanicInSubmit, Act::PanicAt(0)]);
    for _ in 0..2 {
        let task = house.submit(prompt(TEXT)).await;
        let story = house.story(task).await;
        assert_eq!(story.code(), "INTERNAL");
    }
    house.engine(0).open();
    assert_eq!(house.story(other).await.text(), "other");
    house.idle().await;
}

/// Verifies: ORCH-067
#[tokio::test]
async fn a_panic_in_an_abort_loses_neither_the_end_nor_the_slot() {
    let house = House::with([Engine::new("a").slots(1).gated()]).await;
    house.engine(0).abort_panics.store(true, Ordering::SeqCst);
    let task = house.submit(prompt(TEXT)).await;
    house.shown(task, 1).await;
    assert_eq!(house.orchestrator().cancel(task).await.unwrap(), TaskState::Canceled);
    house.idle().await;
}

/// Verifies: ORCH-054
#[tokio::test]
async fn a_stream_that_closes_without_a_word_is_a_lost_one() {
    let house = House::with([Engine::new("a").replays()]).await;
    house.engine(0).next([Act::CloseAt(3)]);
    let task = house.submit(prompt(TEXT)).await;
    assert_eq!(house.story(task).await.text(), TEXT);
    assert_eq!(house.row(task).await.progress.attempts.len(), 2);
}

/// Verifies: ORCH-105
#[tokio::test]
async fn a_failover_shows_in_a_notice_and_nowhere_else() {
    let house = House::with([Engine::new("a").replays(), Engine::new("b").replays().gated()]).await;
    house.engine(0).next([Act::DieAt(3)]);
    let task = house.submit(prompt(TEXT)).await;
    let mut listener = house.subscribe(task, 0).await;
    until("the second attempt", || !house.engine(1).seen().is_empty()).await;
    house.engine(1).open();
    let story = crate::reading::read_all(&mut listener).await;
    assert_eq!(story.text(), TEXT);
    let failovers: Vec<_> = story.notices.iter().map(|notice| &notice.data["failover"]).collect();
    assert_eq!(failovers.len(), 1);
    assert_eq!(failovers[0]["attempt"], 2);
    assert_eq!(failovers[0]["method"], "replay");
    assert_eq!(house.engine(1).seen()[0].accepted.len(), 3);
}

/// Verifies: ORCH-054
#[tokio::test]
async fn an_engine_in_this_process_that_does_not_stop_closes_its_pool() {
    let house =
        House::with_options([Engine::new("a").in_process().gated()], Options::default()).await;
    house.engine(0).abort_hangs.store(true, Ordering::SeqCst);
    let task = house.submit(prompt(TEXT)).await;
    house.shown(task, 1).await;
    house.orchestrator().cancel(task).await.unwrap();
    tokio::time::pause();
    tokio::time::sleep(std::time::Duration::from_secs(31)).await;
    assert_eq!(house.orchestrator().standing().pools[0].state, "failed");
    assert_eq!(house.slots(0).0, 0);
}

/// Verifies: ORCH-095
#[tokio::test]
async fn an_attempt_is_in_the_journal_before_its_engine_hears_of_it() {
    let house = House::with([Engine::new("a")]).await;
    house.faults.hold(Kind::Moved(TaskState::Running));
    let task = house.submit(prompt(TEXT)).await;
    until("the attempt waits for the journal", || house.faults.waiting() == 1).await;
    assert_eq!(house.engine(0).seen().len(), 0, "the engine knows nothing of it yet");
    house.faults.release();
    assert_eq!(house.story(task).await.text(), TEXT);
    let journalled: Vec<_> =
        house.row(task).await.progress.attempts.iter().map(|one| one.id).collect();
    let seen: Vec<_> = house.engine(0).seen().iter().map(|attempt| attempt.id).collect();
    assert_eq!(journalled, seen);
}

/// Verifies: ORCH-095
#[tokio::test]
async fn an_attempt_that_was_given_up_is_told_to_stop_and_heard_no_more() {
    let options = Options { idle_ms: 50, ..Options::default() };
    let engines = [Engine::new("a").replays(), Engine::new("b").replays()];
    let house = House::with_options(engines, options).await;
    house.engine(0).next([Act::HangAt(3)]);
    let task = house.submit(prompt(TEXT)).await;
    let story = house.story(task).await;
    assert_eq!((story.text().as_str(), story.reason()), (TEXT, "stop"));
    let given_up = house.engine(0).seen()[0].id;
    until("its engine is told", || house.engine(0).aborted().contains(&given_up)).await;
    let attempts = house.row(task).await.progress.attempts;
    assert_eq!(attempts.len(), 2);
    assert_ne!(attempts[0].id, attempts[1].id);
    house.idle().await;
}
