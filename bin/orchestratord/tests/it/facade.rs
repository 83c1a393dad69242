use std::{io::Write as _, net::TcpStream};

use serde_json::{Value, json};
use testkit::{Directives, Script, ScriptedEngine, prompt_of_messages};

use crate::{
    daemon::{Daemon, Home, scripted_task},
    events::{EventReader, whole},
    http::Request,
    waiting::wait_for,
};

fn chat(content: &str) -> Value {
    json!({"model": "scripted", "messages": [{"role": "user", "content": content}]})
}

fn streamed(content: &str) -> Value {
    let mut body = chat(content);
    body["stream"] = json!(true);
    body
}

fn post(body: &Value) -> Request {
    Request::post("/v1/chat/completions", body.to_string())
}

/// What the scripted engine answers.
fn script(content: &str) -> Script {
    let prompt = prompt_of_messages([("user", content)]);
    Script::new(&prompt, &Directives::read(&prompt))
}

/// The `data:` lines of a stream; comments are left out.
fn data_of(reader: &mut EventReader) -> Vec<String> {
    std::iter::from_fn(|| reader.block())
        .map(|block| block.data)
        .filter(|data| !data.is_empty())
        .collect()
}

/// The text of chunks.
fn text_of(chunks: &[Value]) -> String {
    let contents =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    contents.collect()
}

fn start(flags: &[&str], sections: &str) -> (ScriptedEngine, Home, Daemon) {
    let engine = ScriptedEngine::start(flags);
    let home = Home::scripted(&engine, "slots = 4", sections);
    let daemon = home.start().ready();
    (engine, home, daemon)
}

/// Verifies: ORCH-241, ORCH-242, ORCH-245
#[test]
fn a_stream_of_chunks_is_a_view_of_the_task() {
    let (_engine, _home, daemon) = start(&[], "");
    let mut body = streamed("[[tokens=12]] [[emoji]] hello");
    body["stream_options"] = json!({"include_usage": true});
    let reply = post(&body).open(daemon.addr);
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    let task = reply.header("x-task-id").expect("a task").to_owned();
    let mut data = data_of(&mut EventReader::new(reply));
    assert_eq!(data.pop().as_deref(), Some("[DONE]"));
    let chunks: Vec<Value> = data.iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    for chunk in &chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        for constant in ["id", "created", "model"] {
            assert_eq!(chunk[constant], chunks[0][constant], "{chunk}");
        }
    }
    assert_eq!(chunks[0]["model"], "scripted");
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let (usage, chunks) = chunks.split_last().unwrap();
    assert_eq!((&usage["choices"], &usage["usage"]["completion_tokens"]), (&json!([]), &json!(12)));
    let (finish, chunks) = chunks.split_last().unwrap();
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!(finish["choices"][0]["delta"], json!({}));
    assert_eq!(text_of(chunks), script("[[tokens=12]] [[emoji]] hello").text(12));
    let (native, _) = whole(&daemon.events(&task).rest());
    assert_eq!(text_of(chunks), native);
    assert_eq!(daemon.task(&task)["status"], "succeeded");
}

/// Verifies: ORCH-241, ORCH-245
#[test]
fn a_whole_answer_has_the_official_shape() {
    let (_engine, _home, daemon) = start(&[], "");
    let mut body = chat("[[tokens=30]] whole");
    body["max_tokens"] = json!(6);
    let answer = post(&body).header("X-Correlation-Id", "mine").send(daemon.addr);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-correlation-id"), Some("mine"));
    assert_eq!(answer.header("x-request-id"), Some("mine"));
    assert!(answer.header("x-task-id").is_some());
    let completion = answer.json();
    assert_eq!(completion["object"], "chat.completion");
    let choice = &completion["choices"][0];
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(choice["message"]["content"], script("[[tokens=30]] whole").text(6));
    assert_eq!(choice["finish_reason"], "length");
    let usage = &completion["usage"];
    assert_eq!(usage["completion_tokens"], 6);
    let sum = usage["prompt_tokens"].as_u64().unwrap() + 6;
    assert_eq!(usage["total_tokens"], sum);

    // A stop string ends the answer before it, wherever the engine cut its text.
    let full = script("[[tokens=30]] stopping").text(30);
    let word = full.split_whitespace().nth(4).unwrap();
    let mut body = chat("[[tokens=30]] stopping");
    body["stop"] = json!([word]);
    let content = post(&body).send(daemon.addr).json();
    let before = full.split_once(word).unwrap().0;
    assert_eq!(content["choices"][0]["message"]["content"], before);
    assert_eq!(content["choices"][0]["finish_reason"], "stop");
}

/// Verifies: ORCH-241
#[test]
fn models_are_listed_and_found_by_name() {
    let (_engine, _home, daemon) = start(&["--model", "scripted", "--model", "org/other:1"], "");
    let list = daemon.get("/v1/models").json();
    let mut ids: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["org/other:1", "scripted"]);
    for id in ids.iter().copied().chain(["remote:x/scripted", "remote:x/org/other:1"]) {
        let model = daemon.get(&format!("/v1/models/{id}"));
        assert_eq!((model.status, &model.json()["id"]), (200, &json!(id)), "{}", model.text());
    }
    let unknown = daemon.get("/v1/models/nothing");
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (404, &json!("model_not_found"))
    );
}

/// Verifies: ORCH-243, ORCH-244
#[test]
fn refusals_have_the_shape_that_the_client_knows() {
    let (_engine, _home, daemon) = start(&[], "[queue]\nmodel_capacity = 1");
    let check = |body: &Value, status: u16, kind: &str, code: &str, param: Option<&str>| {
        let answer = post(body).send(daemon.addr);
        let error = answer.json()["error"].clone();
        assert_eq!(answer.status, status, "{error}");
        assert_eq!((&error["type"], &error["code"]), (&json!(kind), &json!(code)), "{error}");
        assert_eq!(error["param"].as_str(), param, "{error}");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()));
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    };
    let with = |name: &str, value: Value| {
        let mut body = chat("x");
        body[name] = value;
        body
    };
    let invalid = "invalid_request_error";
    check(&with("colour", json!(1)), 400, invalid, "INVALID_PARAMS", Some("colour"));
    check(&with("temperature", json!(9)), 400, invalid, "INVALID_PARAMS", Some("temperature"));
    check(&with("messages", json!([])), 400, invalid, "INVALID_PARAMS", Some("messages"));
    check(
        &with("tools", json!([{"type": "function", "function": {"name": "f"}}])),
        400,
        invalid,
        "INVALID_PARAMS",
        Some("tools"),
    );
    check(&with("n", json!(2)), 400, invalid, "INVALID_PARAMS", Some("n"));
    check(&with("logprobs", json!(true)), 400, invalid, "INVALID_PARAMS", Some("logprobs"));
    let format = json!({"type": "json_object"});
    check(
        &with("response_format", format),
        400,
        invalid,
        "INVALID_PARAMS",
        Some("response_format"),
    );
    check(&with("model", json!("nothing")), 404, "not_found_error", "model_not_found", None);
    check(&chat("[[error=400]]"), 503, "server_error", "ENGINE_REFUSED", None);
    let text = Request::post("/v1/chat/completions", "{").send(daemon.addr);
    assert_eq!((text.status, &text.json()["error"]["code"]), (400, &json!("MALFORMED_JSON")));
    // What changes nothing is taken.
    assert_eq!(post(&with("user", json!("me"))).send(daemon.addr).status, 200);

    let held: Vec<String> = (0..4)
        .map(|_| {
            let id = daemon.submit(&scripted_task("[[stall_after=1]]"));
            daemon.events(&id).take(2);
            id
        })
        .collect();
    let queued = daemon.submit(&scripted_task("queued"));
    let full = post(&chat("x")).send(daemon.addr);
    assert_eq!((full.status, full.header("x-should-retry")), (429, Some("true")));
    assert_eq!(full.json()["error"]["type"], "rate_limit_error");
    assert!(full.header("retry-after").is_some());
    for id in held.iter().chain([&queued]) {
        daemon.cancel(id);
    }
    // A deadline that passes is a gateway's timeout.
    let late = post(&chat("[[stall_after=1]]")).header("X-Deadline-Ms", "200").send(daemon.addr);
    assert_eq!((late.status, &late.json()["error"]["code"]), (504, &json!("DEADLINE_EXCEEDED")));
}

/// Verifies: ORCH-246
#[test]
fn an_error_after_the_first_chunk_is_the_last_and_no_done_follows() {
    let (_engine, _home, daemon) = start(&[], "");
    let reply = post(&streamed("[[error_after=3]] [[tokens=9]]")).open(daemon.addr);
    let task = reply.header("x-task-id").unwrap().to_owned();
    let data = data_of(&mut EventReader::new(reply));
    let (last, chunks) = data.split_last().unwrap();
    let chunks: Vec<Value> =
        chunks.iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    assert!(!text_of(&chunks).is_empty());
    let last: Value = serde_json::from_str(last).unwrap();
    let outcome = &daemon.task(&task)["error"];
    assert_eq!(last["error"]["code"], outcome["code"], "{last} {outcome}");
    assert!(last["error"]["message"].is_string());
}

/// Verifies: ORCH-245, ORCH-068
#[test]
fn a_client_that_leaves_cancels_its_task_at_once_unless_it_can_come_back() {
    let (engine, _home, daemon) = start(&[], "");
    for body in [streamed("[[stall_after=2]]"), chat("[[stall_after=2]] whole")] {
        let aborted = engine.log().iter().filter(|entry| entry["event"] == "aborted").count();
        if body["stream"] == true {
            let mut reader = EventReader::new(post(&body).open(daemon.addr));
            while !reader.block().unwrap().data.contains("content\":\"") {}
        } else {
            // The head of a whole answer comes last: the connection is closed while it is awaited.
            leave_in_the_middle(&daemon, &body);
        }
        wait_for("the engine is told", || {
            let log = engine.log();
            let now = log.iter().filter(|entry| entry["event"] == "aborted").count();
            (now > aborted).then_some(())
        });
    }
    for task in &tasks(&daemon) {
        daemon.wait_until(task["task_id"].as_str().unwrap(), "canceled");
    }

    // With a key the task waits for its client, and a repeat joins it.
    let body = streamed("[[tokens=5]] [[stall_after=3]] keyed");
    let keyed = || post(&body).header("Idempotency-Key", "k").open(daemon.addr);
    let first = keyed();
    let id = first.header("x-task-id").unwrap().to_owned();
    let mut reader = EventReader::new(first);
    let mut seen = vec![];
    while seen.len() < 4 {
        seen.extend(reader.block().map(|block| block.data).filter(|data| !data.is_empty()));
    }
    drop(reader);
    let second = keyed();
    assert_eq!(second.header("x-task-id"), Some(id.as_str()));
    let mut reader = EventReader::new(second);
    let mut again = vec![];
    while again.len() < 4 {
        again.extend(reader.block().map(|block| block.data).filter(|data| !data.is_empty()));
    }
    assert_eq!(again, seen);
    assert_eq!(daemon.task(&id)["status"], "running");
    // A task canceled by its client's leaving frees the key; one canceled by request does not.
    let other = post(&streamed("other")).header("Idempotency-Key", "k").send(daemon.addr);
    assert_eq!(
        (other.status, &other.json()["error"]["code"]),
        (400, &json!("IDEMPOTENCY_MISMATCH"))
    );
    daemon.cancel(&id);
    assert_eq!(data_of(&mut reader).last().map(String::as_str), Some("[DONE]"));
}

/// Sends a request for an answer without waiting for any.
fn send_only(daemon: &Daemon, body: &Value) -> TcpStream {
    let text = body.to_string();
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
    let mut socket = TcpStream::connect(daemon.addr).unwrap();
    write!(socket, "{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len()).unwrap();
    socket
}

/// All tasks, newest first.
fn tasks(daemon: &Daemon) -> Vec<Value> {
    daemon.get("/v2/tasks?limit=500").json()["items"].as_array().unwrap().clone()
}

/// Sends a request for a whole answer and leaves once the task runs.
fn leave_in_the_middle(daemon: &Daemon, body: &Value) {
    let before = tasks(daemon).len();
    let socket = send_only(daemon, body);
    wait_for("the task runs", || {
        let tasks = tasks(daemon);
        let newest = tasks.first().filter(|_| tasks.len() > before)?;
        (newest["last_event_id"].as_u64() >= Some(3)).then_some(())
    });
    drop(socket);
}

/// Verifies: ORCH-245
#[test]
fn a_client_that_leaves_while_its_task_is_admitted_leaves_nothing_running() {
    let (_engine, _home, daemon) = start(&[], "");
    for number in 0..30 {
        drop(send_only(&daemon, &chat(&format!("[[stall_after=2]] {number}"))));
    }
    // A request behind them: what they admitted is known by now.
    let last = daemon.submit(&scripted_task("[[tokens=1]]"));
    daemon.wait_until(&last, "succeeded");
    let left = tasks(&daemon).into_iter().filter(|task| task["task_id"] != last.as_str());
    for task in left {
        daemon.wait_until(task["task_id"].as_str().unwrap(), "canceled");
    }
}

/// Verifies: ORCH-242
#[test]
fn a_stream_opens_with_a_comment_while_its_task_waits() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "slots = 1", "[stream]\nheartbeat_ms = 100");
    let daemon = home.start().ready();
    let held = daemon.submit(&scripted_task("[[stall_after=1]]"));
    daemon.events(&held).take(2);
    let mut reader = EventReader::new(post(&streamed("[[tokens=2]] waiting")).open(daemon.addr));
    for _ in 0..3 {
        let block = reader.block().unwrap();
        assert!(block.lines.iter().all(|line| line.starts_with(':')), "{block:?}");
    }
    daemon.cancel(&held);
    assert_eq!(data_of(&mut reader).last().map(String::as_str), Some("[DONE]"));
}
