use adapter_host::{FinishReason, Sampling};

use crate::starter::{ask, attempt, engine, greedy, run};

/// Verifies: ORCH-291
#[tokio::test]
async fn equal_attempts_give_equal_answers_that_make_sense() {
    let engine = engine().await;
    let prompt = ask("What is the capital of France?");
    let first = run(&engine, attempt(prompt.clone(), 40, greedy())).await;
    assert!(first.text().contains("Paris"), "{}", first.text());
    assert_eq!(first.finish().reason, FinishReason::Stop);
    assert_eq!(first.finish().prompt_tokens, Some(u32::try_from(prompt.len()).unwrap()));
    assert_eq!(first.finish().output_tokens, Some(u32::try_from(first.ids.len()).unwrap()));
    let second = run(&engine, attempt(prompt.clone(), 40, greedy())).await;
    assert_eq!(first.bytes, second.bytes);

    let warm = |seed| Sampling { temperature: 1.2, seed, ..Sampling::default() };
    let first = run(&engine, attempt(prompt.clone(), 12, warm(1))).await;
    let second = run(&engine, attempt(prompt.clone(), 12, warm(1))).await;
    let other = run(&engine, attempt(prompt, 12, warm(2))).await;
    assert_eq!(first.ids, second.ids);
    assert_ne!(first.ids, other.ids, "the seed takes effect");
}

#[tokio::test]
async fn the_end_token_ends_the_answer_and_is_not_part_of_it() {
    let engine = engine().await;
    let answer = run(&engine, attempt(ask("What is the capital of France?"), 40, greedy())).await;
    assert_eq!(answer.finish().reason, FinishReason::Stop);
    assert!(!answer.text().contains("<|im_end|>"), "{}", answer.text());
}

#[tokio::test]
async fn the_token_limit_counts_every_token_of_the_answer() {
    let engine = engine().await;
    let answer = run(&engine, attempt(ask("Count to fifty."), 5, greedy())).await;
    assert_eq!(answer.ids.len(), 5);
    assert_eq!(answer.finish().reason, FinishReason::Length);
    assert_eq!(answer.finish().output_tokens, Some(5));

    let mut rest = attempt(ask("Count to fifty."), 5, greedy());
    rest.accepted = answer.ids[..3].into();
    let rest = run(&engine, rest).await;
    assert_eq!(rest.ids, answer.ids[3..]);
    assert_eq!(rest.finish().output_tokens, Some(5));

    let mut full = attempt(ask("Count to fifty."), 5, greedy());
    full.accepted = answer.ids.into();
    let full = run(&engine, full).await;
    assert!(full.ids.is_empty());
    assert_eq!(full.finish().reason, FinishReason::Length);
}

/// Verifies: ORCH-054
#[tokio::test]
async fn progress_is_told_after_each_chunk_of_the_prompt() {
    let engine = engine().await;
    let prompt: Vec<u32> = (100..250).collect();
    let answer = run(&engine, attempt(prompt.into(), 1, greedy())).await;
    assert_eq!(answer.prompt_progress, [(64, 150), (128, 150), (150, 150)]);
}
