use api_types::{ErrorBody, ErrorCode, EventKind};
use openai_facade::{
    Answer, AnswerForm, Collector, Completion, EmbeddingEncoding, embedding_answer,
};
use serde_json::{Value, json};

use crate::streams::{completion, end, token, two_answers};

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

/// Verifies: ORCH-244
#[test]
fn calls_and_log_probabilities_are_put_together_for_each_answer() {
    let Answer::Completion(body) = collect(&two_answers()) else { panic!("an answer is expected") };
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let (first, second) = (&answer["choices"][0], &answer["choices"][1]);
    assert_eq!(
        (&first["message"]["content"], &first["finish_reason"]),
        (&json!("Héy"), &json!("stop"))
    );
    assert_eq!(first["logprobs"]["content"].as_array().unwrap().len(), 2);
    assert_eq!(first["message"].get("tool_calls"), None);
    let calls = json!([
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
        {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]);
    assert_eq!(
        (&second["message"]["tool_calls"], &second["message"]["content"]),
        (&calls, &json!(null))
    );
    assert_eq!((&second["index"], &second["finish_reason"]), (&json!(1), &json!("tool_calls")));
}

/// Verifies: ORCH-241
#[test]
fn a_plain_completion_is_one_object() {
    let mut collector = Collector::new(Completion { form: AnswerForm::Text, ..completion() });
    collector.take(EventKind::Token, &two_answers()[0].1).unwrap();
    let answer = collector.take(EventKind::End, &end("length", Some(1))).unwrap();
    let Some(Answer::Completion(body)) = answer else { panic!("an answer is expected") };
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["object"], "text_completion");
    let choice = &answer["choices"][0];
    assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!("Hé"), &json!("length")));
    assert_eq!(choice["logprobs"]["tokens"], json!(["Hé"]));
    assert_eq!(answer["usage"]["completion_tokens"], 1);
}

/// Verifies: ORCH-248
#[test]
fn embeddings_are_numbers_or_base64() {
    let result = br#"{"embeddings":[[0.5,-2.0],[1.0,0.1]]}"#;
    let answer = |encoding| -> Value {
        let body = embedding_answer("m", encoding, Some(4), result).unwrap();
        serde_json::from_slice(&body).unwrap()
    };
    let floats = answer(EmbeddingEncoding::Float);
    assert_eq!((&floats["object"], &floats["model"]), (&json!("list"), &json!("m")));
    assert_eq!(
        floats["data"][1],
        json!({"object": "embedding", "index": 1, "embedding": [1.0, 0.1]})
    );
    assert_eq!(floats["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
    let packed = answer(EmbeddingEncoding::Base64);
    assert_eq!(packed["data"][0]["embedding"], "AAAAPwAAAMA=");
    assert!(embedding_answer("m", EmbeddingEncoding::Float, None, b"{}").is_err());
}
