use orchestrator::Options;

use crate::{
    engine::{Engine, answer},
    house::{House, prompt},
};

const TEXT: &str = "Long enough to be gathered \u{1f980} a few times.";

fn options(coalesce_ms: u64) -> Options {
    Options { coalesce_ms, ..Options::default() }
}

/// Verifies: ORCH-082
#[tokio::test]
async fn gathered_tokens_are_one_event_with_one_id_and_their_count() {
    let house = House::with_options([Engine::new("a")], options(50)).await;
    let task = house.submit(prompt(TEXT)).await;
    let story = house.story(task).await;
    let tokens: Vec<_> = story.tokens().collect();
    assert_eq!(story.text(), TEXT);
    let counts: Vec<u64> = tokens.iter().map(|token| u64::from(token.n.unwrap())).collect();
    assert!(counts.iter().any(|count| *count > 1), "nothing was gathered: {counts:?}");
    assert_eq!(story.end().data["tokens_out"], counts.iter().sum::<u64>());
    let mut next = 0;
    for token in &tokens {
        assert_eq!(token.i, next);
        next += u64::from(token.n.unwrap());
    }
    // As many ids as events, and no more.
    assert_eq!(story.last_id(), tokens.len() as u64 + 2);
}

/// Verifies: ORCH-082
#[tokio::test]
async fn off_by_default_each_token_has_its_event() {
    assert_eq!(Options::default().coalesce_ms, 0);
    let house = House::with([Engine::new("a")]).await;
    let task = house.submit(prompt("plain text")).await;
    assert!(house.story(task).await.tokens().all(|token| token.n == Some(1)));
}

/// Verifies: ORCH-082
#[tokio::test]
async fn tokens_do_not_wait_for_others_longer_than_the_window() {
    let house = House::with_options([Engine::new("a").gated()], options(50)).await;
    let task = house.submit(prompt(TEXT)).await;
    let mut listener = house.subscribe(task, 0).await;
    // Nothing follows the three, and still they come.
    house.engine(0).pass(3);
    let mut seen = crate::reading::read_to(&mut listener, 1).await;
    while seen.text() != answer(TEXT, 3) {
        seen.push(crate::reading::next(&mut listener).await.unwrap());
    }
    house.engine(0).open();
    drop(listener);
    assert_eq!(house.story(task).await.events[..seen.events.len()], seen.events);
}

/// Verifies: ORCH-082
#[tokio::test]
async fn a_cancel_shows_what_was_gathered_and_counts_it() {
    let house = House::with_options([Engine::new("a").gated()], options(50)).await;
    let task = house.submit(prompt(TEXT)).await;
    house.engine(0).pass(4);
    house.shown(task, 2).await;
    house.orchestrator().cancel(task).await.unwrap();
    let story = house.story(task).await;
    let shown: u64 = story.tokens().map(|token| u64::from(token.n.unwrap())).sum();
    assert_eq!(
        (story.end().data["tokens_out"].as_u64(), story.reason()),
        (Some(shown), "canceled")
    );
    assert!(TEXT.starts_with(&story.text()));
}
