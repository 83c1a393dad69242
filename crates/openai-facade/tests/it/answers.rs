use api_types::{ErrorBody, ErrorCode, EventKind};
use openai_facade::{Answer, Collector};
use serde_json::{Value, json};

use crate::streams::{completion, end, token};

fn collect(events: &[(EventKind, Vec<u8>)]) -> Answer {
    let mut collector = Collector::new(completion());
    let (last, before) = events.split_last().unwrap();
    for (kind, data) in before {
        assert_eq!(collector.take(*kind, data).unwrap(), None);
    }
    collector.take(last.0, &last.1).unwrap().expect("the last event ends it")
}

fn check(events: &[(EventKind, Vec<u8>)], message: &Value, finish_reason: &str, usage: &Value) {
    let Answer::Completion(body) = collect(events) else { panic!("an answer is expected") };
    let expected = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 17, "model": "sm\"ol",
        "choices": [
            {"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason},
        ],
        "usage": usage,
    });
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
}

/// Verifies: ORCH-241
#[test]
fn events_become_one_answer() {
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8});
    let events = [
        (EventKind::Started, b"{}".to_vec()),
        (EventKind::Token, token("Hel", None)),
        (EventKind::Metrics, b"{}".to_vec()),
        (EventKind::Token, token("lo\n\"🦀", None)),
        (EventKind::End, end("stop", Some(3))),
    ];
    let message = json!({"role": "assistant", "content": "Hello\n\"🦀", "refusal": null});
    check(&events, &message, "stop", &usage);
}

/// Verifies: ORCH-241
#[test]
fn reasoning_stands_apart_and_unknown_usage_is_null() {
    let events = [
        (EventKind::Token, token("Why?", Some("reasoning"))),
        (EventKind::Token, token("So.", None)),
        (EventKind::End, end("canceled", None)),
    ];
    let message = json!({
        "role": "assistant", "content": "So.", "reasoning_content": "Why?", "refusal": null,
    });
    check(&events, &message, "length", &json!(null));
}

/// Verifies: ORCH-243
#[test]
fn a_task_that_fails_is_answered_with_its_error() {
    let native = ErrorBody::new(ErrorCode::DeadlineExceeded, "too late", "c-1");
    let events = [
        (EventKind::Token, token("a", None)),
        (EventKind::Error, serde_json::to_vec(&native).unwrap()),
    ];
    let Answer::Error(error) = collect(&events) else { panic!("an error is expected") };
    assert_eq!((error.status, error.should_retry), (504, false));
    assert_eq!(error.body.error.code, "DEADLINE_EXCEEDED");
}
