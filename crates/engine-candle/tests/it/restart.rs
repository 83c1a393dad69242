use std::num::NonZeroUsize;

use adapter_host::{AdapterError, EngineAdapter as _, Sampling};

use crate::starter::{ask, attempt, config, engine, greedy, load, run};

/// Everything that looks at the tokens before.
fn restless() -> Sampling {
    Sampling {
        temperature: 0.9,
        top_p: 0.95,
        top_k: 50,
        min_p: 0.01,
        repeat_penalty: 1.1,
        presence_penalty: 0.2,
        frequency_penalty: 0.1,
        seed: 0x5eed,
    }
}

/// Verifies: ORCH-102, ORCH-104
#[tokio::test]
async fn an_attempt_that_was_cut_anywhere_continues_to_the_undisturbed_text() {
    let engine = engine().await;
    for sampling in [greedy(), restless()] {
        let first = attempt(ask("Tell me a story about a fox."), 24, sampling);
        let whole = run(&engine, first.clone()).await;
        assert_eq!(whole.ids.len(), 24);
        for cut in [0, 1, 2, 7, 15, 16, 17, 23] {
            let mut rest = first.clone();
            rest.accepted = whole.ids[..cut].into();
            rest.run_settings = whole.settings.clone();
            let rest = run(&engine, rest).await;
            assert_eq!(rest.ids, whole.ids[cut..], "cut after {cut} tokens");
            assert_eq!(rest.replayed as usize, cut, "replay is told as progress");
        }
    }
}

/// Verifies: ORCH-102
#[tokio::test]
async fn another_number_of_threads_and_another_chunk_size_continue_alike() {
    let first = attempt(ask("Tell me a story about a fox."), 16, restless());
    let whole = run(&engine().await, first.clone()).await;
    let mut other = config(1);
    other.prefill_chunk_tokens = NonZeroUsize::new(5).unwrap();
    let mut rest = first;
    rest.accepted = whole.ids[..6].into();
    rest.run_settings = whole.settings;
    let rest = run(&load(other).await.unwrap(), rest).await;
    assert_eq!(rest.ids, whole.ids[6..]);
}

/// Verifies: ORCH-103
#[tokio::test]
async fn settings_of_another_arithmetic_are_refused() {
    let engine = engine().await;
    for settings in [
        serde_json::json!({"arithmetic": "other", "threads": 2, "prefill_chunk_tokens": 64, "kernels": "avx2"}),
        serde_json::json!({"threads": 2}),
        serde_json::json!("avx2"),
    ] {
        let mut attempt = attempt(ask("Hello"), 4, greedy());
        attempt.run_settings = Some(settings);
        let refused = engine.submit(attempt).await.err().unwrap();
        assert!(matches!(refused, AdapterError::SettingsUnavailable), "{refused:?}");
    }
}
