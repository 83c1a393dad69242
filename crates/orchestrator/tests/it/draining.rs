use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use adapter_host::ReplicaKey;
use api_types::{ErrorCode, Failover, TaskRequest, TaskState};
use orchestrator::{AttachedPool, Options, Orchestrator, Outcome, PoolState, Refusal};
use orchestrator_core::{Limits, TaskId};

use crate::{
    engine::{Bound, Engine, answer},
    house::{House, prompt, submission},
    reading::{PATIENCE, until},
};

const TEXT: &str = "An answer 🦀 of some 猫 length.";

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// Pools and their states as operators see them.
fn pools(house: &House) -> Vec<(String, String)> {
    let pools = house.orchestrator().standing().pools;
    pools.into_iter().map(|pool| (pool.pool_id, pool.state)).collect()
}

fn named(pools: &[(&str, &str)]) -> Vec<(String, String)> {
    pools.iter().map(|(pool, state)| ((*pool).to_owned(), (*state).to_owned())).collect()
}

/// Takes the pool of an engine away, in a task of its own.
fn remove(house: &House, index: usize, limit: Duration) -> Removal {
    let orchestrator = Arc::clone(house.orchestrator());
    let replica = house.engine(index).key.clone();
    Removal::of(orchestrator, replica, limit)
}

struct Removal(tokio::task::JoinHandle<()>);

impl Removal {
    #[expect(clippy::disallowed_methods, reason = "the test joins or aborts it")]
    fn of(orchestrator: Arc<Orchestrator>, replica: ReplicaKey, limit: Duration) -> Self {
        Self(tokio::spawn(async move { orchestrator.remove_pool(&replica, limit).await }))
    }

    async fn done(self) {
        tokio::time::timeout(PATIENCE, self.0).await.expect("the pool goes").unwrap();
    }

    async fn give_up(self) {
        self.0.abort();
        assert!(self.0.await.is_err(), "it was done");
    }
}

/// A task that runs on the first engine and has shown so many tokens.
async fn running(house: &House, request: TaskRequest, tokens: usize) -> TaskId {
    let task = house.submit(request).await;
    house.engine(0).pass(tokens);
    house.shown(task, tokens as u64 + 1).await;
    task
}

/// Pool and outcome of each attempt.
async fn attempts(house: &House, task: TaskId) -> Vec<(String, Option<Outcome>)> {
    let attempts = house.row(task).await.progress.attempts;
    attempts.into_iter().map(|attempt| (attempt.pool_id, attempt.outcome)).collect()
}

/// Verifies: ORCH-285, ORCH-053
#[tokio::test]
async fn a_pool_that_is_taken_away_finishes_what_it_runs_and_gets_nothing_new() {
    let house = House::with([Engine::new("a").slots(1).gated(), Engine::new("b").slots(1)]).await;
    let first = running(&house, prompt(TEXT), 2).await;
    let removal = remove(&house, 0, LONG);
    until("it drains", || pools(&house) == named(&[("a", "draining"), ("b", "ready")])).await;
    for _ in 0..3 {
        let other = house.submit(prompt("more")).await;
        assert_eq!(house.story(other).await.text(), "more");
    }
    assert_eq!(house.engine(0).seen().len(), 1, "it got new work");
    house.engine(0).open();
    assert_eq!(house.story(first).await.text(), TEXT);
    assert_eq!(attempts(&house, first).await, [("a".to_owned(), Some(Outcome::Completed))]);
    removal.done().await;
    assert_eq!(pools(&house), named(&[("b", "ready")]));
    assert_eq!(Arc::strong_count(house.engine(0)), 1, "somebody still holds the engine");
}

/// Verifies: ORCH-285, ORCH-106, ORCH-104, ORCH-105
#[tokio::test]
async fn after_the_limit_a_task_goes_on_elsewhere_and_no_failure_is_counted() {
    for make in [Engine::replays, Engine::strict] {
        let options = Options { max_attempts: 1, ..Options::default() };
        let engines = ["a", "b"].map(|pool| make(Engine::new(pool)).slots(1).gated());
        let house = House::with_options(engines, options).await;
        let request = TaskRequest { failover: Failover::Off, ..prompt(TEXT) };
        let task = running(&house, request, 3).await;
        let removal = remove(&house, 0, Duration::ZERO);
        removal.done().await;
        house.engine(1).open();
        assert_eq!(house.story(task).await.text(), TEXT);
        let expected = [
            ("a".to_owned(), Some(Outcome::Interrupted)),
            ("b".to_owned(), Some(Outcome::Completed)),
        ];
        assert_eq!(attempts(&house, task).await, expected);
        assert_eq!(house.row(task).await.progress.poison, orchestrator::Poison::default());
        assert_eq!(house.engine(0).active(), 0, "the former engine computes on");
    }
}

/// Verifies: ORCH-285, ORCH-103
#[tokio::test]
async fn what_nobody_can_continue_goes_on_behind_the_limit() {
    let house = House::with([Engine::new("a").slots(1).gated(), Engine::new("b")]).await;
    let task = running(&house, prompt(TEXT), 3).await;
    let removal = remove(&house, 0, Duration::ZERO);
    until("it drains", || pools(&house).contains(&("a".to_owned(), "draining".to_owned()))).await;
    for _ in 0..3 {
        // Whatever would stop it has had its chance by then.
        let other = house.submit(prompt("more")).await;
        assert_eq!(house.story(other).await.text(), "more");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    house.engine(0).open();
    assert_eq!(house.story(task).await.text(), TEXT);
    assert_eq!(attempts(&house, task).await, [("a".to_owned(), Some(Outcome::Completed))]);
    removal.done().await;
}

/// Verifies: ORCH-285, ORCH-100
#[tokio::test]
async fn what_has_shown_nothing_starts_anew_on_a_pool_that_comes_up_later() {
    let house = House::with([Engine::new("a").slots(1).gated(), Engine::new("b")]).await;
    house.announce(house.engine(1), PoolState::Failed);
    let task = house.submit(prompt(TEXT)).await;
    house.shown(task, 1).await;
    let removal = remove(&house, 0, Duration::ZERO);
    until("it drains", || pools(&house)[0].1 == "draining").await;
    assert_eq!(house.state(task).await, TaskState::Running, "it was moved to a failed pool");
    house.announce(house.engine(1), PoolState::Ready);
    assert_eq!(house.story(task).await.text(), TEXT);
    removal.done().await;
    assert_eq!(attempts(&house, task).await.len(), 2);
}

/// Verifies: ORCH-026, ORCH-285
#[tokio::test]
async fn tasks_that_wait_for_a_pool_that_went_end_within_five_seconds() {
    let house = House::with([Engine::new("a").slots(1).gated()]).await;
    let task = running(&house, prompt(TEXT), 1).await;
    let queued = house.submit(prompt("queued")).await;
    assert_eq!(house.position(queued).await, Some(0));
    tokio::time::pause();
    let removal = remove(&house, 0, LONG);
    tokio::time::advance(Duration::from_secs(5)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.position(queued).await, None, "it waits on");
    tokio::time::resume();
    let story = house.story(queued).await;
    assert_eq!(story.code(), "MODEL_NOT_AVAILABLE");
    assert_eq!(house.state(task).await, TaskState::Running);
    let refusal = house.try_submit(submission(prompt("late"))).await.unwrap_err();
    assert_eq!(refusal.body("").code, ErrorCode::ModelNotAvailable, "{refusal}");
    house.engine(0).open();
    assert_eq!(house.story(task).await.text(), TEXT);
    removal.done().await;
    assert_eq!(pools(&house), []);
}

fn attach(house: &House, engine: &Arc<Engine>) {
    let pool = AttachedPool {
        replica: engine.key.clone(),
        adapter: Arc::new(Bound(Arc::clone(engine))),
        models: None,
        models_of: Arc::clone(&engine.key.pool_id),
        engine: None,
        engine_version: None,
        sampler_profile: engine.profile.clone(),
        is_verified: true,
        address: Arc::from("somewhere"),
    };
    house.orchestrator().attach(pool, engine.facts(PoolState::Backoff));
}

/// Verifies: ORCH-285
#[tokio::test]
async fn a_pool_is_replaced_while_the_streams_of_its_former_self_go_on() {
    let mut house = House::with([]).await;
    let former = Arc::new(Engine::new("a").slots(1).gated());
    attach(&house, &former);
    house.engines.push(Arc::clone(&former));
    until("it is ready", || pools(&house) == named(&[("a", "ready")])).await;
    let task = running(&house, prompt(TEXT), 2).await;
    let mut later = Engine::new("a").slots(3);
    later.key = ReplicaKey::new("a", "1");
    let later = Arc::new(later);
    attach(&house, &later);
    let removal = remove(&house, 0, LONG);
    until("the new one is ready", || house.orchestrator().standing().pools[0].slots_total == 3)
        .await;
    assert_eq!(pools(&house), named(&[("a", "ready")]), "one pool is shown twice");
    let other = house.submit(prompt("more")).await;
    assert_eq!(house.story(other).await.text(), "more");
    assert_eq!((former.seen().len(), later.seen().len()), (1, 1));
    // What the former one does now is not the new one's.
    former.open();
    assert_eq!(house.story(task).await.text(), TEXT);
    removal.done().await;
    assert_eq!(pools(&house), named(&[("a", "ready")]));
    assert_eq!(attempts(&house, task).await.len(), 1);
}

/// Verifies: ORCH-285, ORCH-100
#[tokio::test]
async fn an_engine_that_dies_while_it_drains_stays_away_and_its_tasks_go_on() {
    let engines = ["a", "b"].map(|pool| Engine::new(pool).replays().slots(1).gated());
    let house = House::with(engines).await;
    let task = running(&house, prompt(TEXT), 2).await;
    let removal = remove(&house, 0, LONG);
    until("it drains", || pools(&house)[0].1 == "draining").await;
    house.engine(0).is_up.store(false, Ordering::SeqCst);
    house.engine(0).die();
    house.engine(1).open();
    assert_eq!(house.story(task).await.text(), TEXT);
    removal.done().await;
    assert_eq!(pools(&house), named(&[("b", "ready")]), "it came back");
}

/// Verifies: ORCH-285
#[tokio::test]
async fn an_attached_pool_is_not_brought_back_by_whoever_watches_it() {
    let house = House::with([]).await;
    let engine = Arc::new(Engine::new("a"));
    attach(&house, &engine);
    until("it is ready", || pools(&house) == named(&[("a", "ready")])).await;
    Removal::of(Arc::clone(house.orchestrator()), engine.key.clone(), LONG).done().await;
    until("the watch is over", || Arc::strong_count(&engine) == 1).await;
    assert_eq!(pools(&house), []);
    // The name is free again, and gone pools may be taken away again.
    Removal::of(Arc::clone(house.orchestrator()), engine.key.clone(), LONG).done().await;
    attach(&house, &engine);
    until("it is ready again", || pools(&house) == named(&[("a", "ready")])).await;
}

/// Verifies: ORCH-054, ORCH-285
#[tokio::test]
async fn an_engine_in_this_process_that_computes_on_keeps_its_pool_from_closing() {
    let engines = ["a", "b"].map(|pool| Engine::new(pool).in_process().replays().slots(1).gated());
    let house = House::with(engines).await;
    let task = running(&house, prompt(TEXT), 2).await;
    house.engine(0).abort_hangs.store(true, Ordering::SeqCst);
    let removal = remove(&house, 0, Duration::ZERO);
    house.engine(1).open();
    assert_eq!(house.story(task).await.text(), TEXT);
    until("the abort was asked for", || house.engine(0).aborted().len() == 1).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    until("it says so", || {
        let pools = house.orchestrator().standing().pools;
        pools[0].state == "draining" && pools[0].last_error.is_some()
    })
    .await;
    removal.give_up().await;
}

/// Verifies: ORCH-272, ORCH-285
#[tokio::test]
async fn a_shutdown_while_a_pool_drains_leaves_its_tasks_to_the_next_start() {
    let mut house = House::with([Engine::new("a").replays().slots(1).gated()]).await;
    let task = running(&house, prompt(TEXT), 2).await;
    let removal = remove(&house, 0, LONG);
    until("it drains", || pools(&house)[0].1 == "draining").await;
    house.orchestrator().shut_down(Duration::ZERO).await;
    removal.0.abort();
    drop(removal.0.await);
    house.kill().await;
    house.engine(0).open();
    house.start().await;
    assert_eq!(house.story(task).await.text(), TEXT);
    assert_eq!(house.row(task).await.progress.poison, orchestrator::Poison::default());
}

/// Verifies: ORCH-285, ORCH-041
#[tokio::test]
async fn a_bound_below_what_waits_drops_nothing_and_lets_nothing_in() {
    let house = House::with([Engine::new("a").slots(1).gated()]).await;
    let mut tasks = vec![running(&house, prompt(TEXT), 1).await];
    for _ in 0..5 {
        tasks.push(house.submit(prompt("queued")).await);
    }
    let bounded = |model_capacity: u64| Options {
        queue: Limits { model_capacity, ..Limits::default() },
        reject_backoff_ms: 77,
        subscribers_max: 2,
        ..Options::default()
    };
    house.orchestrator().set_options(bounded(2));
    let refusal = house.try_submit(submission(prompt("late"))).await.unwrap_err();
    assert!(matches!(refusal, Refusal::QueueFull { retry_after_ms: 77, .. }), "{refusal}");
    assert_eq!(house.position(tasks[5]).await, Some(4));
    let held = (house.subscribe(tasks[1], 0).await, house.subscribe(tasks[2], 0).await);
    let third = house.orchestrator().subscribe(tasks[3], 0).await;
    assert!(matches!(third, Err(Refusal::TooManyStreams { .. })));
    drop((held, third));
    house.orchestrator().set_options(bounded(6));
    tasks.push(house.submit(prompt("queued")).await);
    house.engine(0).open();
    assert_eq!(house.story(tasks[0]).await.text(), TEXT);
    for task in &tasks[1..] {
        assert_eq!(house.story(*task).await.text(), answer("queued", 3));
    }
}
