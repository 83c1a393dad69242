use adapter_host::{AdapterError, Attempt, Channel, FinishReason, OutputSupport};
use api_types::{OutputRequest, TokenLogprob};
use serde_json::json;
use testkit::adapter_conformance::{Collected, run};

use crate::setup::{Canned, adapter_of, chat_attempt, config};

const ALL: OutputSupport = OutputSupport {
    json_object: true,
    json_schema: true,
    logprobs: true,
    tools: true,
    choices: true,
    images: true,
};

fn output(json: serde_json::Value) -> OutputRequest {
    serde_json::from_value(json).unwrap()
}

fn tools() -> OutputRequest {
    output(json!({"tools": [{"type": "function", "function": {"name": "f"}}]}))
}

async fn ask(canned: &Canned, output: OutputRequest) -> Collected {
    let mut config = config(&canned.url);
    config.output = ALL;
    run(&adapter_of(config), Attempt { output, ..chat_attempt("x") }).await
}

/// Verifies: ORCH-239, ORCH-244
#[tokio::test]
async fn nothing_is_sent_that_the_configuration_does_not_name() {
    for wish in [
        json!({"n": 2}),
        json!({"logprobs": 0}),
        json!({"response_format": {"type": "json_object"}}),
        json!({"tools": [{"type": "function", "function": {"name": "f"}}]}),
    ] {
        let adapter = adapter_of(config("http://127.0.0.1:9"));
        let answer = run(&adapter, Attempt { output: output(wish), ..chat_attempt("x") }).await;
        assert!(matches!(answer.end, Err(AdapterError::Refused { status: None, .. })));
    }
}

/// Verifies: ORCH-244
#[tokio::test]
async fn calls_come_in_pieces_or_whole_and_with_or_without_an_index() {
    let canned = Canned::stream(&[
        r#"{"choices":[{"delta":{"role":"assistant","content":"","tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"[]"}}]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
        "[DONE]",
    ]);
    let answer = ask(&canned, tools()).await;
    let said: Vec<_> = answer
        .outputs
        .iter()
        .map(|it| {
            let tool = it.tool.as_ref().unwrap();
            assert_eq!(it.channel, Channel::Tool);
            (tool.index, tool.name.as_deref(), &it.bytes[..], it.tokens)
        })
        .collect();
    let expected = [
        (0, Some("f"), &b""[..], Some(0)),
        (0, None, &b"{}"[..], Some(1)),
        (1, Some("g"), &b"[]"[..], Some(1)),
    ];
    assert_eq!(said, expected);
    assert_eq!(answer.end.unwrap().reason, FinishReason::ToolCalls);
    // An engine that calls what it was not given broke the protocol.
    let canned = Canned::stream(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f"}}]}}]}"#,
    ]);
    let end = ask(&canned, OutputRequest::default()).await.end;
    assert!(matches!(end, Err(AdapterError::Protocol { .. })), "{end:?}");
}

/// Verifies: ORCH-244
#[tokio::test]
async fn answers_side_by_side_end_each_for_itself() {
    let canned = Canned::stream(&[
        r#"{"choices":[{"index":1,"delta":{"content":"b"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}"#,
        "[DONE]",
    ]);
    let answer = ask(&canned, output(json!({"n": 2}))).await;
    let choices: Vec<_> = answer.outputs.iter().map(|it| it.choice).collect();
    assert_eq!(choices, [1, 0]);
    let finish = answer.end.unwrap();
    assert_eq!((finish.reason, finish.further), (FinishReason::Stop, vec![FinishReason::Length]));
    // One that never ended is a loss.
    let canned = Canned::stream(&[
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ]);
    let end = ask(&canned, output(json!({"n": 2}))).await.end;
    assert!(matches!(end, Err(AdapterError::Lost { .. })), "{end:?}");
}

/// Verifies: ORCH-244
#[tokio::test]
async fn tokens_without_text_keep_their_log_probabilities() {
    let canned = Canned::stream(&[
        r#"{"choices":[{"delta":{"content":""},"logprobs":{"content":[{"token":"\ufffd","logprob":-1.0,"bytes":[240],"top_logprobs":[]}]}}]}"#,
        r#"{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":-2.0}]}}]}"#,
        r#"{"choices":[{"delta":{},"logprobs":null,"finish_reason":"stop"}]}"#,
        "[DONE]",
    ]);
    let answer = ask(&canned, output(json!({"logprobs": 0}))).await;
    let told: Vec<TokenLogprob> = answer
        .outputs
        .iter()
        .flat_map(|it| {
            serde_json::from_slice::<Vec<TokenLogprob>>(it.logprobs.as_ref().unwrap()).unwrap()
        })
        .collect();
    let logprobs: Vec<f64> = told.iter().map(|entry| entry.logprob).collect();
    assert_eq!(logprobs, [-1.0, -2.0]);
}
