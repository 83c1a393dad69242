use crate::{
    engine::Engine,
    house::{House, prompt, stopping},
    reading::Story,
};

/// Cuts the answer by a death of the process behind every token, and compares with the whole run.
async fn killed_at_every_token(text: &str, stops: &[&str]) -> Story {
    let mut house = House::with([Engine::new("a").replays().gated()]).await;
    let uncut = House::with([Engine::new("a")]).await;
    let task = uncut.submit(stopping(text, stops)).await;
    let uncut = uncut.story(task).await;
    for cut in 0..=text.len().div_ceil(2) {
        let task = house.submit(stopping(text, stops)).await;
        house.shown(task, 1).await;
        house.engine(0).pass(cut);
        for _ in 0..cut * 3 {
            tokio::task::yield_now().await;
        }
        house.kill().await;
        // What was passed and not taken belongs to nobody.
        house.engines = vec![std::sync::Arc::new(Engine::new("a").replays())];
        house.start().await;
        let story = house.story(task).await;
        assert_eq!(story.text(), uncut.text(), "cut at {cut}");
        assert_eq!(story.reason(), uncut.reason(), "cut at {cut}");
        assert_eq!(story.end().data["tokens_out"], uncut.end().data["tokens_out"], "cut at {cut}");
        house.engines = vec![std::sync::Arc::new(Engine::new("a").replays().gated())];
        house.restart().await;
    }
    uncut
}

/// Verifies: ORCH-075, ORCH-092, ORCH-094, ORCH-104
#[tokio::test]
async fn characters_are_whole_wherever_the_process_dies() {
    let story = killed_at_every_token("🦀猫é!🎉漢字", &[]).await;
    assert_eq!(story.text(), "🦀猫é!🎉漢字");
}

/// Verifies: ORCH-075, ORCH-104
#[tokio::test]
async fn a_stop_string_is_found_across_the_seam() {
    let story = killed_at_every_token("one two 猫STOP猫 three", &["猫STOP猫", "nothing"]).await;
    assert_eq!((story.text().as_str(), story.reason()), ("one two ", "stop"));
}

/// Verifies: ORCH-104
#[tokio::test]
async fn what_only_looked_like_a_stop_string_is_released_across_the_seam() {
    let story = killed_at_every_token("one STO two ST", &["STOP"]).await;
    assert_eq!(story.text(), "one STO two ST");
}

/// Verifies: ORCH-067, ORCH-104
#[tokio::test]
async fn a_stop_string_stops_the_engine() {
    let house = House::with([Engine::new("a").gated()]).await;
    house.engine(0).pass(4);
    let task = house.submit(stopping("oneSTOPtwo", &["STOP"])).await;
    let story = house.story(task).await;
    assert_eq!((story.text().as_str(), story.reason()), ("one", "stop"));
    house.idle().await;
    assert_eq!(house.engine(0).active(), 0);
    let again = house.submit(prompt("x")).await;
    house.engine(0).open();
    assert_eq!(house.story(again).await.text(), "x");
}
