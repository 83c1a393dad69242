use serde_json::json;
use testkit::ScriptedEngine;

use crate::{
    daemon::{Daemon, Home, scripted_task},
    http::Request,
};

fn daemon() -> (ScriptedEngine, Home, Daemon) {
    let engine = ScriptedEngine::start(&[]);
    let home =
        Home::scripted(&engine, "", "[server]\naddr = \"127.0.0.1:0\"\nbody_read_timeout_ms = 300");
    let daemon = home.start().ready();
    (engine, home, daemon)
}

fn post(daemon: &Daemon, body: impl Into<Vec<u8>>) -> crate::http::Answer {
    Request::post("/v2/tasks", body).send(daemon.addr)
}

fn nothing_was_kept(daemon: &Daemon) {
    assert_eq!(daemon.get("/v2/tasks").json()["items"], json!([]));
}

/// Verifies: ORCH-002, ORCH-004, ORCH-007
#[test]
fn text_that_is_not_json_is_refused_with_its_line_and_column() {
    let (_engine, _home, daemon) = daemon();
    let check = |body: &[u8], line: u64, column: u64| {
        let error = post(&daemon, body).expect_error(400, "MALFORMED_JSON");
        assert_eq!(error["details"], json!({"line": line, "column": column}), "{body:?}");
        assert_eq!(error["retriable"], false);
    };
    check(b"{\"prompt\": \"x\",\n  oops}", 2, 3);
    check(b"{\"prompt\": \"x\"", 1, 14);
    check(b"", 1, 0);
    check(b"{\"prompt\": \"x\", \"model_ref\": \"scripted\"} and more", 1, 42);
    check(b"\n\n{\"prompt\": \"\xff\xfe\"}", 3, 13);
    nothing_was_kept(&daemon);
}

/// Verifies: ORCH-002, ORCH-007, ORCH-022, ORCH-023, ORCH-037, ORCH-276
#[test]
fn a_field_that_does_not_fit_is_named_and_leaves_nothing_behind() {
    let (_engine, _home, daemon) = daemon();
    let check = |body: serde_json::Value, field: &str| {
        let error = post(&daemon, body.to_string()).expect_error(422, "INVALID_PARAMS");
        assert_eq!(error["field"], field, "{body} gave {error}");
        error["message"].as_str().unwrap().to_owned()
    };
    let with = |name: &str, value: serde_json::Value| {
        let mut task = scripted_task("x");
        task[name] = value;
        task
    };
    let sampling = |name: &str, value: serde_json::Value| with("sampling", json!({name: value}));

    check(with("prompt", json!(1)), "prompt");
    check(with("colour", json!("red")), "colour");
    check(with("max_tokens", json!("many")), "max_tokens");
    check(with("max_tokens", json!(-1)), "max_tokens");
    check(with("max_tokens", json!(0)), "max_tokens");
    check(with("deadline_ms", json!(0)), "deadline_ms");
    check(with("priority", json!("urgent")), "priority");
    check(with("determinism", json!("most")), "determinism");
    check(with("client_ref", json!("x".repeat(129))), "client_ref");
    check(with("sampling", json!([1])), "sampling");
    check(sampling("temperature", json!(2.1)), "sampling.temperature");
    check(sampling("temperature", json!("hot")), "sampling.temperature");
    check(sampling("top_p", json!(0.0)), "sampling.top_p");
    check(sampling("min_p", json!(1.5)), "sampling.min_p");
    check(sampling("repeat_penalty", json!(0)), "sampling.repeat_penalty");
    check(sampling("presence_penalty", json!(-3)), "sampling.presence_penalty");
    check(sampling("seed", json!(1_u64 << 53)), "sampling.seed");
    check(sampling("stop", json!(["a", ""])), "sampling.stop[1]");
    check(sampling("stop", json!(vec!["x"; 17])), "sampling.stop");
    check(sampling("heat", json!(1)), "sampling.heat");
    // In range, but nothing that this engine's protocol has a word for.
    check(sampling("top_k", json!(40)), "sampling.top_k");
    check(sampling("min_p", json!(0.1)), "sampling.min_p");
    check(with("messages", json!([{"role": "user", "content": "x"}])), "messages");
    check(with("prompt", json!("x".repeat((2 << 20) + 1))), "prompt");
    let keys: serde_json::Map<_, _> = (0..17).map(|key| (key.to_string(), json!("v"))).collect();
    check(with("metadata", keys.into()), "metadata");
    check(with("metadata", json!({"k": "v".repeat(513)})), "metadata.k");
    check(json!({"model_ref": "scripted"}), "prompt");
    check(json!({"model_ref": "scripted", "messages": []}), "messages");
    let no_role = json!([{"role": "user", "content": "x"}, {"content": "y"}]);
    check(json!({"model_ref": "scripted", "messages": no_role}), "messages[1].role");
    check(json!(["prompt", "x"]), ".");

    for unserved in ["query", "engine", "ctx", "guard", "session_id"] {
        let message = check(with(unserved, json!(null)), unserved);
        assert!(message.contains("not served"), "{message}");
    }
    let embedding = json!({"model_ref": "scripted", "workload": "embedding", "inputs": ["x"]});
    check(embedding, "workload");
    nothing_was_kept(&daemon);
}

/// Verifies: ORCH-274, ORCH-002
#[test]
fn a_body_beyond_the_limit_is_refused_whether_it_says_its_length_or_not() {
    let (_engine, _home, daemon) = daemon();
    let limit = 4 << 20;
    let told = Request::post("/v2/tasks", "").unmeasured();
    let told = told.header("Content-Length", &(limit + 1).to_string());
    told.send(daemon.addr).expect_error(413, "PAYLOAD_TOO_LARGE");

    let mut chunked = format!("{:x}\r\n", limit + 1).into_bytes();
    chunked.resize(chunked.len() + limit + 1, b' ');
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    let untold = Request::post("/v2/tasks", chunked).unmeasured();
    let untold = untold.header("Transfer-Encoding", "chunked");
    untold.send(daemon.addr).expect_error(413, "PAYLOAD_TOO_LARGE");

    let late = Request::post("/v2/tasks", "{").unmeasured().header("Content-Length", "100");
    late.send(daemon.addr).expect_error(408, "REQUEST_TIMEOUT");
    nothing_was_kept(&daemon);
}

/// Verifies: ORCH-008
#[test]
fn a_body_of_another_media_type_is_refused() {
    let (_engine, _home, daemon) = daemon();
    let body = scripted_task("x").to_string();
    for path in ["/v2/tasks", "/v1/chat/completions"] {
        for media_type in
            ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"]
        {
            let request = Request::new("POST", path).header("Content-Type", media_type);
            let answer = request.body(body.as_str()).send(daemon.addr);
            assert_eq!(answer.status, 415, "{media_type} at {path}: {}", answer.text());
        }
        assert_eq!(Request::new("POST", path).body(body.as_str()).send(daemon.addr).status, 415);
    }
    let request = Request::new("POST", "/v2/tasks").body(body);
    let request = request.header("Content-Type", "Application/JSON; charset=\"UTF-8\"");
    assert_eq!(request.send(daemon.addr).status, 202);
}
