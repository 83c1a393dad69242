use std::{sync::atomic::Ordering, time::Duration};

use api_types::TaskState;
use orchestrator::{Options, Outcome, Refusal};

use crate::{
    engine::{Engine, answer},
    house::{House, prompt, submission},
    reading::{PATIENCE, read_all, read_to},
};

const TEXT: &str = "Something that takes a while.";

/// Verifies: ORCH-092, ORCH-106
#[tokio::test]
async fn a_clean_end_leaves_the_rest_to_the_next_start_and_blames_nobody() {
    let options = Options { poison_limit: 1, ..Options::default() };
    let engine = Engine::new("a").in_process().replays().slots(1).gated();
    let mut house = House::with_options([engine], options).await;
    let running = house.submit(prompt(TEXT)).await;
    let queued = house.submit(prompt("queued")).await;
    house.engine(0).pass(2);
    let mut listener = house.subscribe(running, 0).await;
    let seen = read_to(&mut listener, 2).await;
    let mut waiting = house.subscribe(queued, 0).await;
    house.orchestrator().shut_down(Duration::ZERO).await;
    assert!(house.orchestrator().is_closing());
    let rest = read_all(&mut listener).await;
    assert!(rest.events.iter().all(|event| event.name == "token"), "{rest:?}");
    assert_eq!(read_all(&mut waiting).await.events, [], "a stream was ended, not closed");
    drop((listener, waiting));
    let late = house.try_submit(submission(prompt("late"))).await;
    assert!(matches!(late, Err(Refusal::ShuttingDown)));
    house.kill().await;
    house.engine(0).open();
    house.start().await;
    let story = house.story(running).await;
    assert_eq!(story.text(), TEXT);
    assert_eq!(story.events[..seen.events.len()], seen.events);
    assert_eq!(house.story(queued).await.text(), "queued");
    let progress = house.row(running).await.progress;
    assert_eq!(progress.attempts[0].outcome, Some(Outcome::Interrupted));
    assert_eq!(progress.poison.daemon_ends, 0);
}

/// Verifies: ORCH-092
#[tokio::test]
async fn what_runs_may_finish_while_the_daemon_drains_and_nothing_new_starts() {
    let mut house = House::with([Engine::new("a").slots(1).gated()]).await;
    let running = house.submit(prompt(TEXT)).await;
    house.shown(running, 1).await;
    let queued = house.submit(prompt("queued")).await;
    let finish = async {
        tokio::task::yield_now().await;
        house.engine(0).open();
    };
    tokio::join!(house.orchestrator().shut_down(PATIENCE), finish);
    assert_eq!(house.engine(0).seen().len(), 1);
    house.kill().await;
    house.start_without_engines().await;
    assert_eq!(house.state(running).await, TaskState::Succeeded);
    assert_eq!(house.state(queued).await, TaskState::Queued);
    assert_eq!(house.story(running).await.text(), TEXT);
}

/// Verifies: ORCH-092
#[tokio::test]
async fn a_shutdown_waits_for_a_run_that_has_only_begun() {
    let mut house = House::with([Engine::new("a").in_process().replays()]).await;
    house.faults.hold(crate::faults::Kind::Moved(TaskState::Running));
    let task = house.submit(prompt(TEXT)).await;
    crate::reading::until("the attempt is being journalled", || house.faults.waiting() == 1).await;
    let release = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        house.faults.release();
    };
    tokio::join!(house.orchestrator().shut_down(Duration::ZERO), release);
    house.kill().await;
    let moves = house.faults.moves();
    assert_eq!(moves.last(), Some(&(task, TaskState::Queued)), "left as if it ran: {moves:?}");
    house.start().await;
    assert_eq!(house.story(task).await.text(), TEXT);
}

/// Verifies: ORCH-098
#[tokio::test]
async fn a_daemon_with_a_full_device_can_be_shut_down() {
    let mut house = House::with([Engine::new("a").replays().gated()]).await;
    let task = house.submit(prompt(TEXT)).await;
    house.engine(0).pass(2);
    house.shown(task, 3).await;
    house.faults.journal_full.store(true, Ordering::SeqCst);
    let down = house.orchestrator().shut_down(Duration::ZERO);
    tokio::time::timeout(PATIENCE, down).await.expect("it goes down");
    house.kill().await;
    house.faults.journal_full.store(false, Ordering::SeqCst);
    house.engine(0).open();
    house.start().await;
    let story = house.story(task).await;
    assert!(story.text().starts_with(&answer(TEXT, 2)));
    assert_eq!(story.text(), TEXT);
}
