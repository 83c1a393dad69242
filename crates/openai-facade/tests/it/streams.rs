use api_types::{EndEvent, ErrorBody, ErrorCode, EventKind, TokenEvent};
use openai_facade::{AnswerForm, ChunkWriter, Completion, Progress};
use proptest::prelude::*;
use serde_json::{Value, json};

pub(crate) fn completion() -> Completion {
    Completion {
        form: AnswerForm::Chat,
        id: "chatcmpl-1".to_owned(),
        model: "sm\"ol".to_owned(),
        created_s: 17,
    }
}

pub(crate) fn token(text: &str, channel: Option<&str>) -> Vec<u8> {
    let channel = channel.map(str::to_owned);
    let event = TokenEvent {
        i: 0,
        t: text.to_owned(),
        n: Some(1),
        choice: None,
        channel,
        delta: None,
        logprobs: None,
    };
    serde_json::to_vec(&event).unwrap()
}

pub(crate) fn end(finish_reason: &str, tokens_out: Option<u64>) -> Vec<u8> {
    let event = EndEvent {
        finish_reason: finish_reason.to_owned(),
        tokens_in: Some(5),
        tokens_out,
        queue_time_ms: 0,
        first_token_ms: None,
        decode_time_ms: 0,
        attempts: 1,
        kv_migrated: false,
        ..EndEvent::default()
    };
    serde_json::to_vec(&event).unwrap()
}

/// Writes events and reads the stream back: the data of each event, `[DONE]` as a string.
fn stream(include_usage: bool, events: &[(EventKind, Vec<u8>)]) -> Vec<Value> {
    let mut writer = ChunkWriter::new(&completion(), include_usage);
    let mut out = Vec::new();
    for (number, (kind, data)) in (1..).zip(events) {
        let progress = writer.write(*kind, data, &mut out).unwrap();
        let is_terminal = matches!(kind, EventKind::End | EventKind::Error);
        assert_eq!(progress == Progress::Ended, is_terminal);
        assert_eq!(is_terminal, number == events.len(), "test streams end with their end");
    }
    let text = String::from_utf8(out).unwrap();
    let blocks = text.strip_suffix("\n\n").unwrap().split("\n\n");
    blocks
        .map(|block| match block.strip_prefix("data: ").unwrap() {
            "[DONE]" => json!("[DONE]"),
            data => serde_json::from_str(data).unwrap(),
        })
        .collect()
}

fn chunk(delta: &Value, finish_reason: Option<&str>) -> Value {
    let choice =
        json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 17, "model": "sm\"ol",
        "choices": [choice],
    })
}

fn role() -> Value {
    chunk(&json!({"role": "assistant", "content": ""}), None)
}

/// Verifies: ORCH-242
#[test]
fn a_stream_is_role_deltas_finish_and_done() {
    let events = [
        (EventKind::Started, b"{\"task_id\":\"1\"}".to_vec()),
        (EventKind::Token, token("Why?", Some("reasoning"))),
        (EventKind::Metrics, b"{}".to_vec()),
        (EventKind::Token, token("Hel", None)),
        (EventKind::Token, token("", None)),
        (EventKind::Token, token("lo\n\"🦀", Some("content"))),
        (EventKind::End, end("stop", Some(3))),
    ];
    let expected = [
        role(),
        chunk(&json!({"reasoning_content": "Why?"}), None),
        chunk(&json!({"content": "Hel"}), None),
        chunk(&json!({"content": "lo\n\"🦀"}), None),
        chunk(&json!({}), Some("stop")),
        json!("[DONE]"),
    ];
    assert_eq!(stream(false, &events), expected);
}

/// Verifies: ORCH-242
#[test]
fn usage_comes_last_where_it_is_wanted_and_known() {
    for (tokens_out, usage) in [
        (Some(3), json!({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})),
        (None, json!(null)),
    ] {
        let events =
            [(EventKind::Token, token("a", None)), (EventKind::End, end("length", tokens_out))];
        let mut expected =
            vec![role(), chunk(&json!({"content": "a"}), None), chunk(&json!({}), Some("length"))];
        for chunk in &mut expected {
            chunk["usage"] = json!(null);
        }
        let mut last = expected[0].clone();
        last["choices"] = json!([]);
        last["usage"] = usage;
        expected.extend([last, json!("[DONE]")]);
        assert_eq!(stream(true, &events), expected);
    }
}

/// Verifies: ORCH-242
#[test]
fn finish_reasons_are_official_ones() {
    let reasons = [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "tool_calls"),
        ("canceled", "length"),
        ("budget", "length"),
    ];
    for (native, official) in reasons {
        let expected = [role(), chunk(&json!({}), Some(official)), json!("[DONE]")];
        assert_eq!(stream(false, &[(EventKind::End, end(native, Some(0)))]), expected);
    }
}

/// Verifies: ORCH-246
#[test]
fn an_error_after_the_first_chunk_is_the_last_thing_sent() {
    let error = ErrorBody::new(ErrorCode::WorkerReset, "the engine was lost; retry", "c-1");
    let events = [
        (EventKind::Token, token("a", None)),
        (EventKind::Error, serde_json::to_vec(&error).unwrap()),
    ];
    let error = json!({"error": {
        "message": "the engine was lost; retry", "type": "server_error", "param": null,
        "code": "WORKER_RESET",
    }});
    let expected = [role(), chunk(&json!({"content": "a"}), None), error];
    assert_eq!(stream(true, &events)[2], expected[2]);
    assert_eq!(stream(false, &events), expected);
}

#[test]
fn data_of_another_shape_is_an_error_and_writes_nothing() {
    let mut writer = ChunkWriter::new(&completion(), false);
    let mut out = Vec::new();
    let cases: [(EventKind, &[u8]); 4] = [
        (EventKind::Token, b"{\"i\":0}"),
        (EventKind::Token, b"{\"i\":0,\"t\":\"x\",\"channel\":\"smell\"}"),
        (EventKind::End, b"{}"),
        (EventKind::Error, b"no"),
    ];
    for (kind, data) in cases {
        assert_eq!(writer.write(kind, data, &mut out).unwrap_err().event, kind.name());
        assert_eq!(out, b"");
    }
}

/// Events of two answers: one of text with log probabilities, one that calls a tool.
pub(crate) fn two_answers() -> Vec<(EventKind, Vec<u8>)> {
    let logprob = json!({"token": "Hé", "logprob": -0.5, "bytes": [72], "top_logprobs":
        [{"token": "Ho", "logprob": -1.5, "bytes": null}]});
    let tokens = [
        json!({"i": 0, "t": "Hé", "n": 1, "logprobs": [logprob]}),
        json!({"i": 0, "t": "", "n": 1, "choice": 1, "channel": "tool",
            "delta": {"index": 0, "id": "c1", "name": "f"}}),
        json!({"i": 1, "t": "{\"a\"", "n": 1, "choice": 1, "channel": "tool", "delta": {"index": 0}}),
        json!({"i": 1, "t": "y", "n": 1, "logprobs": [{"token": "y", "logprob": -0.25}]}),
        json!({"i": 2, "t": ":1}", "n": 1, "choice": 1, "channel": "tool", "delta": {"index": 0}}),
        json!({"i": 3, "t": "", "n": 0, "choice": 1, "channel": "tool",
            "delta": {"index": 1, "id": "c2", "name": "g"}}),
    ];
    let mut events: Vec<_> =
        tokens.iter().map(|token| (EventKind::Token, token.to_string().into_bytes())).collect();
    let mut end: EndEvent = serde_json::from_slice(&end("stop", Some(5))).unwrap();
    end.finish_reasons = Some(vec!["stop".to_owned(), "tool_calls".to_owned()]);
    events.push((EventKind::End, serde_json::to_vec(&end).unwrap()));
    events
}

/// Verifies: ORCH-242, ORCH-244
#[test]
fn answers_side_by_side_have_their_own_roles_deltas_and_ends() {
    let chunks = stream(false, &two_answers());
    let of = |index: u64| {
        let of_index = |chunk: &&Value| chunk["choices"][0]["index"] == index;
        chunks.iter().filter(of_index).map(|chunk| chunk["choices"][0].clone()).collect::<Vec<_>>()
    };
    let first = of(0);
    assert_eq!(first[0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(first[1]["delta"], json!({"content": "Hé"}));
    assert_eq!(first[1]["logprobs"]["content"][0]["top_logprobs"][0]["token"], "Ho");
    assert_eq!(first[3]["finish_reason"], "stop");
    let calls: Vec<_> =
        of(1).iter().map(|choice| choice["delta"]["tool_calls"][0].clone()).collect();
    let expected = [
        json!(null),
        json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}),
        json!({"index": 0, "function": {"arguments": "{\"a\""}}),
        json!({"index": 0, "function": {"arguments": ":1}"}}),
        json!({"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}}),
        json!(null),
    ];
    assert_eq!(calls, expected);
    assert_eq!(of(1)[5]["finish_reason"], "tool_calls");
    assert_eq!(chunks.last(), Some(&json!("[DONE]")));
}

/// Verifies: ORCH-241, ORCH-242
#[test]
fn plain_completions_have_chunks_of_their_own() {
    let plain = Completion { form: AnswerForm::Text, ..completion() };
    let mut writer = ChunkWriter::new(&plain, false);
    let mut out = Vec::new();
    for (kind, data) in two_answers().into_iter().filter(|(_, data)| !data.ends_with(b"}}")) {
        writer.write(kind, &data, &mut out).unwrap();
    }
    let text = String::from_utf8(out).unwrap();
    let chunks: Vec<Value> = text
        .split("\n\n")
        .filter_map(|block| serde_json::from_str(block.strip_prefix("data: ")?).ok())
        .collect();
    assert!(chunks.iter().all(|chunk| chunk["object"] == "text_completion"));
    let choice = |index: usize| chunks[index]["choices"][0].clone();
    let first = json!({"tokens": ["Hé"], "token_logprobs": [-0.5], "top_logprobs": [{"Ho": -1.5}],
        "text_offset": [0]});
    assert_eq!(
        choice(0),
        json!({"index": 0, "text": "Hé", "logprobs": first, "finish_reason": null})
    );
    assert_eq!(
        (&choice(1)["text"], &choice(1)["logprobs"]["text_offset"]),
        (&json!("y"), &json!([2]))
    );
    assert_eq!((&choice(2)["text"], &choice(2)["finish_reason"]), (&json!(""), &json!("stop")));
    assert!(text.ends_with("data: [DONE]\n\n"));
}

proptest! {
    /// Verifies: ORCH-242
    #[test]
    fn the_text_of_the_chunks_is_the_text_of_the_tokens(texts in prop::collection::vec(any::<String>(), 0..20)) {
        let mut events: Vec<_> =
            texts.iter().map(|text| (EventKind::Token, token(text, None))).collect();
        events.push((EventKind::End, end("stop", Some(1))));
        let chunks = stream(false, &events);
        let contents = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
        prop_assert_eq!(contents.collect::<String>(), texts.concat());
    }
}
