use api_types::{TaskRequest, TaskState};
use orchestrator::{Options, Outcome, PoolState, Submission};
use orchestrator_core::TaskId;

use crate::{
    engine::{Engine, answer},
    house::{House, prompt, submission},
    reading::{Story, read_all, until},
};

const TEXT: &str = "Long enough to be cut 🦀 somewhere.";

/// What a subscriber has seen once it has seen `text`.
async fn seen_until(house: &House, task: TaskId, text: &str) -> Story {
    let mut listener = house.subscribe(task, 0).await;
    let mut seen = crate::reading::read_to(&mut listener, 1).await;
    while seen.text() != text {
        seen.push(crate::reading::next(&mut listener).await.unwrap());
    }
    seen
}

/// Verifies: ORCH-092, ORCH-094
#[tokio::test]
async fn after_a_kill_running_tasks_go_ahead_of_those_that_waited_in_their_order() {
    let mut house = House::with([Engine::new("a").slots(2).replays().gated()]).await;
    let mut tasks = Vec::new();
    for index in 0..6 {
        tasks.push(house.submit(prompt(&format!("{TEXT} {index}"))).await);
        if index == 1 {
            house.shown(tasks[0], 1).await;
            house.shown(tasks[1], 1).await;
        }
    }
    house.kill().await;
    house.start_without_engines().await;
    for (task, position) in tasks.iter().zip(0..) {
        assert_eq!(house.state(*task).await, TaskState::Queued);
        assert_eq!(house.position(*task).await, Some(position));
    }
    house.engine(0).open();
    house.announce(house.engine(0), PoolState::Ready);
    for (task, index) in tasks.iter().zip(0..) {
        assert_eq!(house.story(*task).await.text(), format!("{TEXT} {index}"));
        let attempts = house.row(*task).await.progress.attempts;
        let before = usize::from(index < 2);
        assert_eq!(attempts.len(), 1 + before);
        assert_eq!(attempts[before].outcome, Some(Outcome::Completed));
        if before == 1 {
            assert_eq!(attempts[0].outcome, Some(Outcome::Interrupted));
        }
    }
    assert_eq!(house.rows().await, 6, "a task exists twice");
    assert!(house.engine(0).active_max() <= 2);
}

/// Verifies: ORCH-073, ORCH-080, ORCH-092, ORCH-094, ORCH-104
#[tokio::test]
async fn a_client_that_resumes_after_a_kill_sees_one_gapless_story() {
    for strict in [false, true] {
        for cut in 0..=TEXT.len().div_ceil(2) {
            let engine = || {
                let engine = Engine::new("a").gated();
                if strict { engine.strict() } else { engine.replays() }
            };
            let mut house = House::with([engine()]).await;
            let task = house.submit(prompt(TEXT)).await;
            let mut listener = house.subscribe(task, 0).await;
            house.engine(0).pass(cut);
            let mut before = crate::reading::read_to(&mut listener, 1).await;
            while before.text() != answer(TEXT, cut) {
                before.push(crate::reading::next(&mut listener).await.unwrap());
            }
            drop(listener);
            house.kill().await;
            house.engines = vec![std::sync::Arc::new(engine())];
            house.engine(0).open();
            house.start().await;
            let after = before.last_id();
            let rest = read_all(&mut house.subscribe(task, after).await).await;
            rest.check(after);
            let whole = house.story(task).await;
            assert_eq!(whole.text(), TEXT, "cut at {cut}");
            assert_eq!([before.events, rest.events].concat(), whole.events, "cut at {cut}");
        }
    }
}

/// Verifies: ORCH-103
#[tokio::test]
async fn a_running_task_that_nobody_can_continue_ends_after_a_kill() {
    let mut house = House::with([Engine::new("a").gated()]).await;
    let task = house.submit(prompt(TEXT)).await;
    house.engine(0).pass(3);
    house.shown(task, 4).await;
    house.restart().await;
    let story = house.story(task).await;
    assert_eq!((story.text(), story.code()), (answer(TEXT, 3), "WORKER_RESET"));
}

/// Verifies: ORCH-092
#[tokio::test]
async fn an_answer_that_was_whole_before_a_kill_is_not_asked_for_again() {
    let mut house = House::with([Engine::new("a")]).await;
    house.faults.hold(crate::faults::Kind::Ended);
    let task = house.submit(prompt(TEXT)).await;
    until("the end waits", || house.faults.waiting() == 1).await;
    house.kill().await;
    house.faults.release();
    house.start().await;
    let story = house.story(task).await;
    assert_eq!((story.text().as_str(), story.reason()), (TEXT, "stop"));
    assert_eq!(house.engine(0).seen().len(), 1);
    house.idle().await;
}

/// Verifies: ORCH-094
#[tokio::test]
async fn after_lost_power_a_task_that_cannot_be_repeated_ends_behind_all_that_was_shown() {
    let mut house = House::with([Engine::new("a").gated()]).await;
    let task = house.submit(prompt(TEXT)).await;
    house.engine(0).pass(3);
    let mut listener = house.subscribe(task, 0).await;
    let mut seen = crate::reading::read_to(&mut listener, 1).await;
    while seen.text() != answer(TEXT, 3) {
        seen.push(crate::reading::next(&mut listener).await.unwrap());
    }
    drop(listener);
    house.faults.tail_lost.store(1, std::sync::atomic::Ordering::SeqCst);
    house.kill_with_power().await;
    house.start().await;
    // Whoever saw more than is left is not told of a conflict.
    let story = read_all(&mut house.subscribe(task, seen.last_id()).await).await;
    assert_eq!(story.events.len(), 1);
    assert_eq!(story.code(), "CONTINUATION_MISMATCH");
    assert!(story.last_id() > 4096);
}

/// Verifies: ORCH-094
#[tokio::test]
async fn after_lost_power_a_cancel_takes_no_id_that_was_shown() {
    let mut house = House::with([Engine::new("a").replays().gated()]).await;
    let task = house.submit(prompt(TEXT)).await;
    house.engine(0).pass(3);
    let seen = seen_until(&house, task, &answer(TEXT, 3)).await;
    house.faults.tail_lost.store(1, std::sync::atomic::Ordering::SeqCst);
    house.kill_with_power().await;
    house.start_without_engines().await;
    house.orchestrator().cancel(task).await.unwrap();
    let story = read_all(&mut house.subscribe(task, seen.last_id()).await).await;
    assert_eq!(story.events.len(), 1, "{story:?}");
    assert_eq!(story.reason(), "canceled");
}

/// Verifies: ORCH-094
#[tokio::test]
async fn after_lost_power_a_second_kill_forgets_nothing_of_it() {
    let mut house = House::with([Engine::new("a").gated()]).await;
    let task = house.submit(prompt(TEXT)).await;
    house.engine(0).pass(3);
    let seen = seen_until(&house, task, &answer(TEXT, 3)).await;
    house.faults.tail_lost.store(9, std::sync::atomic::Ordering::SeqCst);
    house.kill_with_power().await;
    house.start_without_engines().await;
    // Of the segments nothing came back either.
    house.faults.tail_lost.store(9, std::sync::atomic::Ordering::SeqCst);
    house.restart().await;
    let story = read_all(&mut house.subscribe(task, seen.last_id()).await).await;
    assert_eq!(story.code(), "CONTINUATION_MISMATCH");
}

/// Verifies: ORCH-094, ORCH-102
#[tokio::test]
async fn after_lost_power_what_was_lost_is_generated_again() {
    for strict in [false, true] {
        let engine = Engine::new("a").gated();
        let engine = if strict { engine.strict() } else { engine.replays() };
        let mut house = House::with([engine]).await;
        let task = house.submit(prompt(TEXT)).await;
        let seen = {
            let mut listener = house.subscribe(task, 0).await;
            let mut seen = crate::reading::read_to(&mut listener, 1).await;
            for tokens in 1..=6 {
                house.engine(0).pass(1);
                while seen.text() != answer(TEXT, tokens) {
                    seen.push(crate::reading::next(&mut listener).await.unwrap());
                }
            }
            seen
        };
        house.faults.tail_lost.store(2, std::sync::atomic::Ordering::SeqCst);
        house.kill_with_power().await;
        house.engine(0).open();
        house.start().await;
        let rest = read_all(&mut house.subscribe(task, seen.last_id()).await).await;
        rest.check(seen.last_id());
        assert_eq!(seen.text() + &rest.text(), TEXT);
        assert_eq!(house.story(task).await.events[..seen.events.len()], seen.events);
    }
}

/// One kill of the daemon under the task, behind so many new tokens.
async fn killed_under(house: &mut House, task: orchestrator_core::TaskId, tokens: usize) {
    until("an attempt begins", || house.engine(0).active() == 1).await;
    let before = house.orchestrator().last_event_id(task).await.unwrap();
    house.engine(0).pass(tokens);
    if tokens > 0 {
        house.shown(task, before + 1).await;
    }
    house.restart().await;
}

/// Verifies: ORCH-106
#[tokio::test]
async fn a_task_under_which_the_daemon_dies_again_and_again_is_given_up() {
    let options = Options { poison_limit: 4, ..Options::default() };
    let engine = Engine::new("a").in_process().slots(2).gated();
    let mut house = House::with_options([engine], options).await;
    let task = house.submit(prompt(TEXT)).await;
    killed_under(&mut house, task, 0).await;
    killed_under(&mut house, task, 0).await;
    for wait_ms in [1000, 10_000] {
        // Tried once more, alone, and not before its time.
        let seen = house.engine(0).seen().len();
        house.clock.jump(wait_ms - 900);
        let other = house.submit(prompt("other")).await;
        house.shown(other, 1).await;
        house.orchestrator().cancel(other).await.unwrap();
        assert_eq!(house.engine(0).seen().len(), seen + 1);
        house.clock.jump(900);
        killed_under(&mut house, task, 0).await;
    }
    let story = house.story(task).await;
    assert_eq!(story.code(), "REPLICA_EXHAUSTED");
    assert_eq!(story.end().data["details"]["suspect"], true);
    assert_eq!(house.row(task).await.progress.attempts.len(), 4);
}

/// Verifies: ORCH-106
#[tokio::test]
async fn a_task_that_got_on_is_not_to_blame_for_the_daemons_death() {
    let options = Options { poison_limit: 2, ..Options::default() };
    let engine = Engine::new("a").in_process().replays().gated();
    let mut house = House::with_options([engine], options).await;
    let task = house.submit(prompt(TEXT)).await;
    for _ in 0..5 {
        killed_under(&mut house, task, 1).await;
    }
    house.engine(0).open();
    assert_eq!(house.story(task).await.text(), TEXT);
}

/// Verifies: ORCH-106
#[tokio::test]
async fn a_suspect_runs_alone_and_starves_nobody() {
    let engine = Engine::new("a").in_process().slots(2).gated();
    let mut house = House::with([engine]).await;
    let task = house.submit(prompt(TEXT)).await;
    killed_under(&mut house, task, 0).await;
    killed_under(&mut house, task, 0).await;
    let others = [house.submit(prompt("one")).await, house.submit(prompt("two")).await];
    until("the others run", || house.engine(0).active() == 2).await;
    house.engine(0).open();
    for other in others {
        house.story(other).await;
    }
    assert_eq!(house.story(task).await.text(), TEXT);
}

/// Verifies: ORCH-094
#[tokio::test]
async fn a_task_whose_client_does_not_come_back_is_cancelled_and_never_dispatched() {
    let mut house = House::with([Engine::new("a").gated()]).await;
    let alone = |reattach_ms| {
        let request = TaskRequest { cancel_on_disconnect: true, ..prompt(TEXT) };
        Submission { reattach_ms: Some(reattach_ms), ..submission(request) }
    };
    let lost = house.try_submit(alone(20)).await.unwrap().task.id;
    let kept = house.try_submit(alone(60_000)).await.unwrap().task.id;
    house.kill().await;
    house.engine(0).open();
    let before = house.engine(0).seen().len();
    house.start().await;
    house.reaches(lost, TaskState::Canceled).await;
    assert_eq!(house.engine(0).seen().len(), before, "it was dispatched although nobody came");
    let attempts = house.row(lost).await.progress.attempts;
    let dispatched = attempts.iter().filter(|one| one.outcome == Some(Outcome::Canceled));
    assert_eq!(dispatched.count(), 0, "{attempts:?}");
    assert_eq!(house.state(kept).await, TaskState::Queued);
    let story = read_all(&mut house.subscribe(kept, 0).await).await;
    assert_eq!(story.text(), TEXT);
    house.idle().await;
}
