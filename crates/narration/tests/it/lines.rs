use std::sync::{Arc, Mutex};

use narration::{LineForm, LogLines, Masker};
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt as _;

/// What is written while `work` runs.
fn written(form: LineForm, work: impl FnOnce()) -> String {
    let text = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&text);
    let write = move |line: &[u8]| sink.lock().unwrap().extend_from_slice(line);
    let layer = LogLines::new(form, Masker::default(), || 1_700_000_000_123, write);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
    String::from_utf8(std::mem::take(&mut text.lock().unwrap())).unwrap()
}

/// Verifies: ORCH-266
#[test]
fn a_line_has_the_named_fields_in_their_order() {
    let line = written(LineForm::Json, || {
        tracing::info!(
            other = true,
            error = "none",
            tokens_out = 3_u64,
            task_id = %"t",
            event = "task_ended",
            human = "Done.",
        );
    });
    assert_eq!(
        line,
        "{\"ts\":\"2023-11-14T22:13:20.123Z\",\"level\":\"info\",\"event\":\"task_ended\",\
         \"correlation_id\":null,\"trace_id\":null,\"task_id\":\"t\",\"tokens_out\":3,\
         \"error\":\"none\",\"human\":\"Done.\",\"other\":true}\n"
    );
}

/// Verifies: ORCH-266
#[test]
fn an_event_has_the_ids_of_the_spans_around_it() {
    let line = written(LineForm::Json, || {
        let request = tracing::error_span!("request", correlation_id = "c", trace_id = "t");
        let _request = request.enter();
        let attempt =
            tracing::error_span!("dispatch", attempt = 1_u64, pool_id = tracing::field::Empty);
        let _attempt = attempt.enter();
        attempt.record("pool_id", "p");
        tracing::warn!(attempt = 2_u64, "cut short");
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    let expected = json!({"ts": "2023-11-14T22:13:20.123Z", "level": "warn", "event": "note",
        "correlation_id": "c", "trace_id": "t", "attempt": 2, "pool_id": "p",
        "message": "cut short", "target": line["target"]});
    assert_eq!(line, expected);
}

#[test]
fn causes_are_told_and_text_is_masked() {
    let line = written(LineForm::Json, || {
        let error = std::io::Error::other("http://u:p@host/ said\nno");
        tracing::error!(error = &error as &dyn std::error::Error, api_key = "x", "Bearer abcdef");
    });
    assert_eq!(line.lines().count(), 1);
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["error"], "http://***@host/ said\nno");
    assert_eq!((&line["api_key"], &line["message"]), (&json!("***"), &json!("Bearer ***")));
}

#[test]
fn a_line_for_people_says_it_in_a_sentence() {
    let line = written(LineForm::Readable, || {
        tracing::info!(event = "task_ended", human = "Two\nlines.", pool_id = "p", "shadowed");
    });
    assert_eq!(line, "2023-11-14T22:13:20.123Z INFO  task_ended: Two lines. pool_id=\"p\"\n");
}
