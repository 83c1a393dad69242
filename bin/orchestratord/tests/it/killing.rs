use serde_json::{Value, json};
use testkit::{Directives, Script, ScriptedEngine};

use crate::{
    daemon::{Home, scripted_task},
    events::{Event, whole},
    http::Request,
    starter,
    waiting::wait_for,
};

/// Verifies: ORCH-073, ORCH-092, ORCH-093, ORCH-094, ORCH-102, ORCH-104
#[test]
fn a_stream_goes_on_without_gap_or_repetition_over_several_kills() {
    let engine = ScriptedEngine::start(&["--rate", "60"]);
    let home = Home::scripted(&engine, "strict = true\nchunk_is_token = true", "");
    let prompt = "[[tokens=40]] [[emoji]] killed again and again";
    let mut daemon = home.start().ready();
    let id = daemon.submit(&scripted_task(prompt));
    let mut events: Vec<Event> = Vec::new();
    let mut seen_at_kills = Vec::new();
    for more in [1, 7, 12] {
        let mut stream = daemon.events_after(&id, events.len() as u64);
        events.extend(stream.take(more));
        daemon.kill();
        // What the client saw is there still, though what was cut is not.
        events.extend(stream.rest());
        seen_at_kills.push(events.len() as u64);
        daemon = home.start();
    }
    events.extend(daemon.events_after(&id, events.len() as u64).rest());
    let (text, end) = whole(&events);
    assert_eq!(text, Script::new(prompt, &Directives::read(prompt)).text(40));
    assert_eq!(end.json()["finish_reason"], "stop");
    assert_eq!(daemon.events(&id).rest(), events);
    let task = daemon.task(&id);
    assert_eq!(task["status"], "succeeded");
    let outcomes: Vec<&Value> =
        task["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes.last(), Some(&&json!("completed")));
    assert!(outcomes.len() >= 3 && outcomes[0] == "interrupted", "{outcomes:?}");
    // Each token that was seen counts, and `started` is none.
    let cut_off = task["attempts"].as_array().unwrap().iter().rev().nth(1).unwrap();
    assert!(
        cut_off["tokens"].as_u64() >= Some(seen_at_kills[2] - 1),
        "{cut_off} {seen_at_kills:?}"
    );
}

/// Verifies: ORCH-103, ORCH-073
#[test]
fn where_nothing_can_be_repeated_a_killed_stream_ends_with_a_typed_error() {
    let engine = ScriptedEngine::start(&["--rate", "60"]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[tokens=40]]"));
    let mut stream = daemon.events(&id);
    let mut events = stream.take(5);
    daemon.kill();
    events.extend(stream.rest());
    let daemon = home.start();
    events.extend(daemon.events_after(&id, events.len() as u64).rest());
    let (_, error) = whole(&events);
    assert_eq!(error.name, "error");
    assert_eq!(error.json()["code"], "WORKER_RESET");
    assert_eq!(error.json()["retriable"], true);
}

/// Verifies: ORCH-091, ORCH-092, ORCH-025, ORCH-065
#[test]
fn what_was_accepted_is_there_after_a_kill_in_order_and_once() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "slots = 1\nstrict = true", "");
    let daemon = home.start().ready();
    let running = daemon.submit(&scripted_task("[[tokens=5]] [[stall_after=1]]"));
    daemon.events(&running).take(2);
    let mut queued = Vec::new();
    for place in 0..6 {
        let mut task = scripted_task("[[tokens=50]]");
        task["max_tokens"] = json!(10 + place);
        let request = Request::post("/v2/tasks", task.to_string());
        let answer = request.header("Idempotency-Key", &format!("key-{place}")).send(daemon.addr);
        queued.push((task, answer.json()["task_id"].as_str().unwrap().to_owned()));
    }
    daemon.cancel(&queued[2].1);
    daemon.kill();

    let daemon = home.start();
    let items = daemon.get("/v2/tasks").json()["items"].as_array().unwrap().clone();
    let newest_first: Vec<&str> =
        items.iter().map(|item| item["task_id"].as_str().unwrap()).collect();
    let admitted = std::iter::once(&running).chain(queued.iter().map(|(_, id)| id));
    assert_eq!(newest_first, admitted.rev().collect::<Vec<_>>());
    for (place, (task, id)) in queued.iter().enumerate() {
        let request = Request::post("/v2/tasks", task.to_string());
        let again = request.header("Idempotency-Key", &format!("key-{place}")).send(daemon.addr);
        assert_eq!(again.json()["task_id"], id.as_str());
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    assert_eq!(daemon.task(&queued[2].1)["status"], "canceled");
    // The one that ran comes first.
    wait_for("the former run goes on", || {
        (daemon.task(&running)["status"] == "running").then_some(())
    });
    daemon.cancel(&running);
    for place in [0, 1, 3, 4, 5] {
        daemon.wait_until(&queued[place].1, "succeeded");
    }
    let log = engine.log();
    let order: Vec<u64> = log
        .iter()
        .filter(|entry| entry["event"] == "started")
        .filter_map(|entry| entry["fields"]["max_tokens"].as_u64())
        .filter(|max_tokens| *max_tokens < 20)
        .collect();
    assert_eq!(order, [10, 11, 13, 14, 15]);
}

/// Verifies: ORCH-027, ORCH-074, ORCH-092, ORCH-093, ORCH-094, ORCH-102, ORCH-291, ORCH-292, ORCH-295
#[test]
fn the_real_model_says_after_a_kill_what_it_would_have_said_without() {
    let (home, _turn) = starter::home();
    let mut daemon = home.start().with_starter();
    for (sampling, max_tokens) in [
        (json!({"temperature": 0}), 24),
        (json!({"temperature": 0.8, "top_p": 0.95, "repeat_penalty": 1.1, "seed": 7}), 24),
    ] {
        let task = json!({
            "messages": [{"role": "user", "content": "Write a short poem about the sea."}],
            "sampling": sampling,
            "max_tokens": max_tokens,
            "determinism": "strict",
        });
        let undisturbed = daemon.submit(&task);
        let undisturbed = daemon.events(&undisturbed).rest();
        let (expected, end) = whole(&undisturbed);
        assert!(end.json()["tokens_out"].as_u64().unwrap() > 10, "{end:?}");
        let started = undisturbed[0].json();
        assert_eq!(started["model_ref"], "starter");
        assert!(started["seed"].is_u64());

        let id = daemon.submit(&task);
        let mut stream = daemon.events(&id);
        let mut events = stream.take(8);
        daemon.kill();
        events.extend(stream.rest());
        daemon = home.start();
        events.extend(daemon.events_after(&id, events.len() as u64).rest());
        let (text, end) = whole(&events);
        assert_eq!(text, expected);
        assert_eq!(end.json()["attempts"], 2);
        assert_eq!(daemon.events(&id).rest(), events);
    }
    // Context: three numbers, before a slot is needed.
    let task = json!({"prompt": "word ".repeat(9000), "max_tokens": 100});
    let error = daemon.post("/v2/tasks", &task).expect_error(422, "CONTEXT_EXCEEDED");
    let details = error["details"].as_object().unwrap();
    assert_eq!(details.values().filter(|value| value.is_u64()).count(), 3, "{error}");
}
