use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::running_server::{Answer, RunningServer, local, send};

/// Verifies: ORCH-007
#[tokio::test]
async fn text_that_is_not_json_is_400_with_its_place() {
    let server = RunningServer::start(local()).await;
    for (body, line, column) in
        [("{\"a\": 1,\n \"b\" 2}", 2, 6), ("", 1, 0), ("{\"a\":\"\u{1}\"}", 1, 7)]
    {
        let answer = server.post("/v2/sum", body).await;
        answer.assert_error(400, "MALFORMED_JSON");
        assert_eq!(answer.json()["details"], json!({ "line": line, "column": column }), "{body:?}");
    }
    let deep = "[".repeat(100_000);
    server.post("/v2/sum", &deep).await.assert_error(422, "INVALID_PARAMS");
}

/// Verifies: ORCH-007
#[tokio::test]
async fn json_that_does_not_fit_is_422_with_its_field() {
    let server = RunningServer::start(local()).await;
    for (body, field) in [
        ("{\"a\": 1}", "b"),
        ("{\"a\": \"1\", \"b\": 2}", "a"),
        ("{\"a\": -1, \"b\": 2}", "a"),
        ("{\"a\": 1, \"b\": 2, \"c\": 3}", "c"),
        ("[1, 2]", "."),
        ("null", "."),
    ] {
        let answer = server.post("/v2/sum", body).await;
        answer.assert_error(422, "INVALID_PARAMS");
        assert_eq!(answer.json()["field"], field, "{body}");
    }
    let answer = server.post("/v2/sum", "{\"a\": 1, \"b\": 2}").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "3"));
}

/// Verifies: ORCH-022
#[tokio::test]
async fn fields_that_are_not_served_yet_are_named_as_such() {
    let server = RunningServer::start(local()).await;
    let answer = server.post("/v2/task", "{\"prompt\": \"x\", \"guard\": {}}").await;
    answer.assert_error(422, "INVALID_PARAMS");
    assert_eq!(answer.json()["field"], "guard");
    assert_eq!(answer.json()["message"], "`guard` is not served by this build");
}

#[tokio::test]
async fn a_sampling_field_beside_the_prompt_is_told_where_it_stands() {
    let server = RunningServer::start(local()).await;
    let names =
        "temperature top_p top_k min_p repeat_penalty presence_penalty frequency_penalty seed stop";
    for name in names.split(' ') {
        let body = |value: serde_json::Value| serde_json::json!({ "prompt": "x", name: value });
        let answer = server.post("/v2/task", &body(1.into()).to_string()).await;
        answer.assert_error(422, "INVALID_PARAMS");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.ends_with("in a task it stands in `sampling`"), "{message}");
        let value = if name == "stop" { serde_json::json!(["x"]) } else { 1.into() };
        let inside = serde_json::json!({ "prompt": "x", "sampling": { name: value } });
        assert_eq!(server.post("/v2/task", &inside.to_string()).await.status, 200, "{name}");
    }
}

/// Verifies: ORCH-008
#[tokio::test]
async fn bodies_of_another_media_type_are_415() {
    let server = RunningServer::start(local()).await;
    let ask = async |line: &str| {
        let head = format!("POST /v2/sum HTTP/1.1\nHost: localhost\nContent-Length: 14{line}");
        server.ask(&head, "{\"a\":1,\"b\":2} ").await
    };
    for line in [
        "",
        "\nContent-Type: text/plain",
        "\nContent-Type: application/x-www-form-urlencoded",
        "\nContent-Type: application/json; charset=latin1",
    ] {
        ask(line).await.assert_error(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    for line in
        ["\nContent-Type: application/json", "\nContent-Type: Application/JSON; charset=\"UTF-8\""]
    {
        assert_eq!(ask(line).await.status, 200, "{line}");
    }
}

/// Verifies: ORCH-274
#[tokio::test]
async fn bodies_over_the_limit_are_413_announced_or_chunked() {
    let mut options = local();
    options.limits.body_max_bytes = 1024;
    let server = RunningServer::start(options).await;
    let fitting = format!("{{\"a\":1,\"b\":2}}{}", " ".repeat(1024 - 13));
    assert_eq!(server.post("/v2/sum", &fitting).await.status, 200);
    server.post("/v2/sum", &format!("{fitting} ")).await.assert_error(413, "PAYLOAD_TOO_LARGE");

    let head = "POST /v2/sum HTTP/1.1\nHost: localhost\nContent-Type: application/json\nTransfer-Encoding: chunked";
    let mut stream = server.connect().await;
    send(&mut stream, head, "").await;
    let chunk = format!("200\r\n{}\r\n", " ".repeat(512));
    stream.write_all(chunk.repeat(3).as_bytes()).await.unwrap();
    Answer::read(&mut stream).await.assert_error(413, "PAYLOAD_TOO_LARGE");

    let body = "7\r\n{\"a\":1,\r\n6\r\n\"b\":2}\r\n0\r\n\r\n";
    let answer = server.ask(head, body).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "3"));
}

/// Verifies: ORCH-274
#[tokio::test]
async fn a_body_that_does_not_arrive_is_408() {
    let mut options = local();
    options.limits.body_read_timeout_ms = 50;
    let server = RunningServer::start(options).await;
    let head = "POST /v2/sum HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: 13";
    let answer = server.ask(head, "{\"a\":1").await;
    answer.assert_error(408, "REQUEST_TIMEOUT");
    assert_eq!(answer.json()["retriable"], true);
}
