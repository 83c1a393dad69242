use adapter_host::{AdapterError, Attempt, Channel, FinishReason, Sampling};
use engine_openai::SamplingDialect;
use serde_json::json;
use testkit::adapter_conformance::run;

use crate::setup::{Canned, adapter_of, ask, chat_attempt, config};

const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

#[tokio::test]
async fn sampling_beyond_the_standard_is_sent_under_the_names_of_the_engine() {
    let body_of = async |dialect, sampling| {
        let canned = Canned::stream(&[STOP, "[DONE]"]);
        let mut config = config(&canned.url);
        config.dialect = dialect;
        run(&adapter_of(config), Attempt { sampling, ..chat_attempt("x") }).await.end.unwrap();
        canned.request().1
    };
    let sampling = Sampling {
        top_k: 40,
        min_p: 0.25,
        repeat_penalty: 1.5,
        seed: u64::MAX,
        ..Sampling::default()
    };
    let vllm = body_of(SamplingDialect::Vllm, sampling.clone()).await;
    assert_eq!((&vllm["top_k"], &vllm["min_p"]), (&json!(40), &json!(0.25)));
    assert_eq!((&vllm["repetition_penalty"], &vllm["seed"]), (&json!(1.5), &json!(i64::MAX)));
    let llama_cpp = body_of(SamplingDialect::LlamaCpp, sampling).await;
    assert_eq!((&llama_cpp["top_k"], &llama_cpp["repeat_penalty"]), (&json!(40), &json!(1.5)));
    // Engines have defaults of their own, so that neutral values are sent as well.
    let vllm = body_of(SamplingDialect::Vllm, Sampling::default()).await;
    assert_eq!((&vllm["top_k"], &vllm["min_p"]), (&json!(-1), &json!(0.0)));
    let llama_cpp = body_of(SamplingDialect::LlamaCpp, Sampling::default()).await;
    assert_eq!((&llama_cpp["top_k"], &llama_cpp["repeat_penalty"]), (&json!(0), &json!(1.0)));
}

#[tokio::test]
async fn no_stop_strings_are_sent() {
    let canned = Canned::stream(&[STOP, "[DONE]"]);
    ask(&canned.url, "x").await.end.unwrap();
    let (head, body) = canned.request();
    assert!(head.starts_with("post /v1/chat/completions "));
    assert_eq!(body.get("stop"), None);
    assert_eq!(body["messages"], json!([{"role": "user", "content": "x"}]));
}

#[tokio::test]
async fn an_address_with_a_path_is_taken_as_it_is() {
    let canned = Canned::stream(&[STOP, "[DONE]"]);
    let adapter = adapter_of(config(&format!("{}/api/openai/v3/", canned.url)));
    run(&adapter, chat_attempt("x")).await.end.unwrap();
    assert!(canned.request().0.starts_with("post /api/openai/v3/chat/completions "));
}

#[tokio::test]
async fn the_last_text_may_come_with_the_finish_reason() {
    let canned = Canned::stream(&[
        r#"{"choices":[{"delta":{"role":"assistant","content":""}}],"usage":null}"#,
        r#"{"choices":[{"delta":{"content":"so"}}]}"#,
        r#"{"choices":[{"delta":{"content":" \ud83d\ude00"},"finish_reason":"length"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#,
        "[DONE]",
    ]);
    let answer = ask(&canned.url, "x").await;
    assert_eq!(answer.text(), "so \u{1f600}");
    let finish = answer.end.unwrap();
    assert_eq!(finish.reason, FinishReason::Length);
    assert_eq!((finish.prompt_tokens, finish.output_tokens), (Some(7), Some(2)));
}

#[tokio::test]
async fn a_stream_that_ends_in_order_after_its_finish_reason_needs_no_done() {
    let canned = Canned::stream(&[r#"{"choices":[{"delta":{"content":"a"}}]}"#, STOP]);
    let answer = ask(&canned.url, "x").await;
    assert_eq!(answer.text(), "a");
    let finish = answer.end.unwrap();
    assert_eq!((finish.reason, finish.output_tokens), (FinishReason::Stop, None));
}

#[tokio::test]
async fn done_without_a_finish_reason_is_a_loss() {
    let canned = Canned::stream(&[r#"{"choices":[{"delta":{"content":"a"}}]}"#, "[DONE]"]);
    let answer = ask(&canned.url, "x").await;
    assert_eq!(answer.text(), "a");
    assert!(matches!(answer.end, Err(AdapterError::Lost { .. })));
}

#[tokio::test]
async fn an_engine_that_gives_up_an_answer_is_lost() {
    let canned = Canned::stream(&[
        r#"{"choices":[{"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"abort"}]}"#,
        "[DONE]",
    ]);
    let answer = ask(&canned.url, "x").await;
    assert!(matches!(answer.end, Err(AdapterError::Lost { .. })));
}

#[tokio::test]
async fn reasoning_has_its_own_channel_and_is_counted_once() {
    for name in ["reasoning_content", "reasoning"] {
        let thinks = format!(r#"{{"choices":[{{"delta":{{"{name}":"hm","content":null}}}}]}}"#);
        let both = format!(r#"{{"choices":[{{"delta":{{"{name}":".","content":"yes"}}}}]}}"#);
        let canned = Canned::stream(&[&thinks, &both, STOP, "[DONE]"]);
        let answer = ask(&canned.url, "x").await;
        let outputs: Vec<_> =
            answer.outputs.iter().map(|o| (o.channel, &o.bytes[..], o.tokens)).collect();
        let expected = [
            (Channel::Reasoning, &b"hm"[..], Some(1)),
            (Channel::Reasoning, &b"."[..], Some(1)),
            (Channel::Content, &b"yes"[..], Some(0)),
        ];
        assert_eq!(outputs, expected);
    }
}

#[tokio::test]
async fn more_answers_than_asked_for_and_whole_answers_are_breaches() {
    let canned = Canned::stream(&[r#"{"choices":[{"index":1,"delta":{"content":"a"}}]}"#]);
    let end = ask(&canned.url, "x").await.end;
    assert!(matches!(end, Err(AdapterError::Protocol { .. })), "{end:?}");
    let canned = Canned::response("200 OK\r\nContent-Type: application/json", "{}");
    let end = ask(&canned.url, "x").await.end;
    assert!(matches!(end, Err(AdapterError::Protocol { .. })), "{end:?}");
}
