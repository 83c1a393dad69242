use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use serde_json::{Value, json};
use testkit::{Directives, Script, ScriptedEngine};

fn connect(engine: &ScriptedEngine, path: &str, body: &Value) -> TcpStream {
    let body = body.to_string();
    let mut connection = TcpStream::connect(engine.address()).unwrap();
    let method = if body == "null" { "GET" } else { "POST" };
    write!(
        connection,
        "{method} {path} HTTP/1.0\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    connection
}

/// Status line and body of the answer, read to the end of the connection. HTTP/1.0 has no chunks.
fn ask(engine: &ScriptedEngine, path: &str, body: &Value) -> (String, String) {
    let mut text = Vec::new();
    let end = connect(engine, path, body).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(end.is_ok() || !text.is_empty());
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

fn completion(prompt: &str) -> Value {
    json!({"model": "scripted", "prompt": prompt, "stream": true, "stream_options": {"include_usage": true}})
}

/// Chunks of a stream that are JSON.
fn chunks(body: &str) -> Vec<Value> {
    body.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect()
}

fn text(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect()
}

fn expected(prompt: &str) -> String {
    Script::new(prompt, &Directives::read(prompt)).text(u32::MAX)
}

#[test]
fn a_stream_has_text_then_reason_then_usage_then_done() {
    let engine = ScriptedEngine::start(&["--split-bytes", "3", "--rate", "5000"]);
    let prompt = "[[emoji]] [[tokens=6]] wave";
    let (status, body) = ask(&engine, "/v1/completions", &completion(prompt));
    assert_eq!(status, "HTTP/1.0 200 OK");
    let chunks = chunks(&body);
    assert_eq!(text(&chunks), expected(prompt));
    assert_eq!(chunks[6]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[7]["usage"]["completion_tokens"], 6);
    assert!(body.ends_with("data: [DONE]\n\n"));
}

#[test]
fn a_whole_answer_is_the_same_text() {
    let engine = ScriptedEngine::start(&["--model", "a", "--model", "b"]);
    let request =
        json!({"model": "b", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4});
    let (_, body) = ask(&engine, "/v1/chat/completions", &request);
    let answer: Value = serde_json::from_str(&body).unwrap();
    let prompt = testkit::prompt_of_messages([("user", "hi")]);
    let script = Script::new(&prompt, &Directives::default());
    assert_eq!(answer["choices"][0]["message"]["content"], script.text(4));
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    let (status, _) = ask(&engine, "/v1/completions", &json!({"model": "c", "prompt": "hi"}));
    assert_eq!(status, "HTTP/1.0 404 Not Found");
    let (_, models) = ask(&engine, "/v1/models", &Value::Null);
    assert!(models.contains("\"id\":\"a\"") && models.contains("\"id\":\"b\""));
}

#[test]
fn an_engine_that_dies_first_sends_what_it_said() {
    for flags in [&[][..], &["--split-bytes", "1"]] {
        let mut engine = ScriptedEngine::start(flags);
        let prompt = "[[cjk]] [[tokens=9]] [[die_after=4]]";
        let (_, body) = ask(&engine, "/v1/completions", &completion(prompt));
        let chunks = chunks(&body);
        assert_eq!(chunks.len(), 4);
        assert!(expected(prompt).starts_with(&text(&chunks)));
        assert_eq!(engine.exit_code(), Some(70));
    }
}

#[test]
fn flags_end_the_process_after_tokens_or_bytes() {
    let engine = ScriptedEngine::start(&["--fail-after-tokens", "5"]);
    let (_, body) = ask(&engine, "/v1/completions", &completion("[[tokens=9]]"));
    assert_eq!(chunks(&body).len(), 5);
    let engine = ScriptedEngine::start(&["--fail-after-bytes", "333"]);
    let (_, body) = ask(&engine, "/v1/completions", &completion("[[tokens=9]]"));
    assert_eq!(body.len(), 333);
}

#[tokio::test]
async fn a_client_that_goes_away_is_logged_and_frees_its_slot() {
    let engine = ScriptedEngine::start(&["--slots", "1"]);
    let mut connection = connect(&engine, "/v1/completions", &completion("[[stall_after=2]]"));
    let mut byte = [0];
    connection.read_exact(&mut byte).unwrap();
    drop(connection);
    assert_eq!(engine.logged("aborted").await["tokens"], 2);
    ask(&engine, "/v1/completions", &completion("[[tokens=3]]"));
    let ended = engine.logged("ended").await;
    assert_eq!((&ended["id"], &ended["tokens"]), (&json!(2), &json!(3)));
    let started = engine.logged("started").await;
    assert_eq!(started["fields"]["stream"], true);
    assert_eq!(started["fields"].get("prompt"), None);
}

#[test]
fn faults_break_a_stream_as_directed() {
    let engine = ScriptedEngine::start(&[]);
    let body_of = |fault: &str| {
        let prompt = format!("[[tokens=6]] [[{fault}_after=3]]");
        ask(&engine, "/v1/completions", &completion(&prompt)).1
    };
    assert!(body_of("garbage").contains("[gar"));
    assert!(body_of("huge_line").len() > 2 << 20);
    assert!(body_of("error").contains("failed as directed"));
    for cut in [body_of("close"), body_of("truncate")] {
        assert_eq!(chunks(&cut).len(), 3);
        assert!(!cut.contains("[DONE]"));
    }
}

#[test]
fn requests_are_refused_as_directed_or_when_they_do_not_fit() {
    let engine = ScriptedEngine::start(&["--ctx", "10", "--key", "k"]);
    let (status, _) = ask(&engine, "/v1/completions", &completion("x"));
    assert_eq!(status, "HTTP/1.0 401 Unauthorized");
    let engine = ScriptedEngine::start(&["--ctx", "10"]);
    let (status, body) =
        ask(&engine, "/v1/completions", &completion("[[error=503]] [[error_bytes=5000]]"));
    assert_eq!(status, "HTTP/1.0 503 Service Unavailable");
    assert!(body.len() > 5000);
    let request = json!({"model": "scripted", "prompt": "one two three", "max_tokens": 8});
    let (status, body) = ask(&engine, "/v1/completions", &request);
    assert_eq!(status, "HTTP/1.0 400 Bad Request");
    assert!(body.contains("maximum context length is 10 tokens, 11 were requested"));
}
