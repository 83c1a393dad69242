use std::collections::HashSet;

use serde_json::{Value, json};
use testkit::{Script, ScriptedEngine};

use crate::{
    daemon::{Daemon, Home, scripted_task},
    events::whole,
    http::{Answer, Request},
    waiting::wait_for,
};

const ENDLESS: &str = "[[tokens=3]] [[stall_after=1]]";

/// A task that holds the pool's slot until it is canceled.
fn occupy(daemon: &Daemon) -> String {
    let id = daemon.submit(&scripted_task(ENDLESS));
    daemon.events(&id).take(2);
    id
}

/// Verifies: ORCH-021, ORCH-009, ORCH-024, ORCH-053, ORCH-062, ORCH-072, ORCH-074, ORCH-075, ORCH-077, ORCH-194
#[test]
fn an_accepted_task_is_run_and_shown_without_anyone_listening() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "slots = 4", "");
    let daemon = home.start().ready();
    let mut task = scripted_task("Tell me of the sea.");
    task["client_ref"] = json!("mine");
    task["max_tokens"] = json!(12);
    task["metadata"] = json!({"who": "me"});
    let answer = daemon.post("/v2/tasks", &task);
    assert_eq!(answer.status, 202);
    let accepted = answer.json();
    let id = accepted["task_id"].as_str().unwrap();
    assert_eq!(id.as_bytes()[14], b'7', "a UUIDv7");
    assert_eq!(answer.header("location"), Some(format!("/v2/tasks/{id}").as_str()));
    for (name, value) in [
        ("status_url", format!("/v2/tasks/{id}")),
        ("events_url", format!("/v2/tasks/{id}/events")),
        ("cancel_url", format!("/v2/tasks/{id}/cancel")),
    ] {
        assert_eq!(accepted[name], value);
    }
    for unknown in ["predicted_start_ms", "predicted_end_ms", "deadline_at"] {
        assert_eq!(accepted.get(unknown), Some(&Value::Null), "{accepted}");
    }
    assert!(accepted["admitted_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(accepted["preparation"]["steps"], json!([]));

    let ended = daemon.wait_until(id, "succeeded");
    assert_eq!(ended["client_ref"], "mine");
    assert_eq!(ended["metadata"], json!({"who": "me"}));
    assert_eq!(ended["model_id"], "remote:x/scripted");
    assert_eq!(ended["attempts"][0]["outcome"], "completed");
    assert_eq!(ended["usage"]["tokens_out"], 12);
    assert_eq!(ended.get("prompt"), None);
    let with_prompt = daemon.get(&format!("/v2/tasks/{id}?include=prompt")).json();
    assert_eq!(with_prompt["prompt"], "Tell me of the sea.");

    let events = daemon.events(id).rest();
    assert_eq!(events.len() as u64, ended["last_event_id"].as_u64().unwrap());
    let started = events[0].json();
    assert_eq!(started["task_id"], id);
    assert_eq!(started["pool_id"], "x");
    assert_eq!(started["model_digest"], Value::Null);
    assert_eq!(started["seed"], ended["attempts"][0]["seed"]);
    let (text, end) = whole(&events);
    let script = Script::new("Tell me of the sea.", &testkit::Directives::default());
    assert_eq!(text, script.text(12));
    let end = end.json();
    assert_eq!(end["finish_reason"], "length");
    assert_eq!((&end["attempts"], &end["kv_migrated"]), (&json!(1), &json!(false)));
    for name in ["queue_time_ms", "first_token_ms", "decode_time_ms"] {
        assert!(end[name].is_u64(), "{end}");
    }
}

/// Verifies: ORCH-026
#[test]
fn a_model_that_nobody_knows_is_not_found() {
    let engine = ScriptedEngine::start(&[]);
    let daemon_home = Home::scripted(&engine, "", "");
    let daemon = daemon_home.start().ready();
    let mut task = scripted_task("x");
    for unknown in ["nothing", "file:/etc/passwd", "remote:x/other", "sha256:00"] {
        task["model_ref"] = json!(unknown);
        daemon.post("/v2/tasks", &task).expect_error(404, "MODEL_NOT_FOUND");
    }
    task["model_ref"] = json!("remote:x/scripted");
    daemon.submit(&task);
}

/// Verifies: ORCH-011, ORCH-041, ORCH-049, ORCH-066
#[test]
fn a_full_queue_refuses_with_a_back_off_and_admits_once_there_is_room() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(
        &engine,
        "slots = 1",
        "[queue]\nmodel_capacity = 2\nreject_backoff_ms = 1500",
    );
    let daemon = home.start().ready();
    let running = occupy(&daemon);
    let queued = [daemon.submit(&scripted_task("one")), daemon.submit(&scripted_task("two"))];
    let refused = daemon.post("/v2/tasks", &scripted_task("three"));
    let error = refused.expect_error(429, "ADMISSION_REJECT");
    assert_eq!(error["policy_label"], "reject");
    assert_eq!(error["retriable"], true);
    let backoff_ms = error["retry_after_ms"].as_u64().unwrap();
    assert_eq!(refused.header("x-backoff-ms"), Some(backoff_ms.to_string().as_str()));
    let seconds = backoff_ms.div_ceil(1000).clamp(1, 60).to_string();
    assert_eq!(refused.header("retry-after"), Some(seconds.as_str()));
    assert_eq!(daemon.get("/v2/tasks").json()["items"].as_array().unwrap().len(), 3);
    assert_eq!(daemon.task(&queued[1])["queue_position"], 1);

    assert_eq!(daemon.cancel(&queued[0])["status"], "canceled");
    assert_eq!(daemon.task(&queued[1])["queue_position"], 0);
    let third = daemon.submit(&scripted_task("three"));
    daemon.post("/v2/tasks", &scripted_task("four")).expect_error(429, "ADMISSION_REJECT");
    daemon.cancel(&running);
    daemon.wait_until(&queued[1], "succeeded");
    daemon.wait_until(&third, "succeeded");
    daemon.submit(&scripted_task("four"));
}

/// Verifies: ORCH-021, ORCH-030, ORCH-048, ORCH-062
#[test]
fn what_waits_is_told_when_it_should_start_and_what_that_rests_on() {
    let engine = ScriptedEngine::start(&["--rate", "100"]);
    let home = Home::scripted(&engine, "slots = 1", "");
    let daemon = home.start().ready();
    for _ in 0..3 {
        let id = daemon.submit(&scripted_task("[[tokens=5]] [[slow_prefill_ms=20]]"));
        daemon.wait_until(&id, "succeeded");
    }
    let mut long = scripted_task(ENDLESS);
    long["expected_tokens"] = json!(8_000);
    long["max_tokens"] = json!(8_000);
    let running = daemon.submit(&long);
    daemon.events(&running).take(2);
    let task = daemon.task(&running);
    assert!(task["predicted_start_ms"].is_null(), "it has started: {task}");
    assert!(task["predicted_end_ms"].as_u64().unwrap() > 1000, "{task}");
    daemon.submit(&scripted_task("first in the queue"));
    let accepted = daemon.post("/v2/tasks", &scripted_task("second")).json();
    let (start, end) = (&accepted["predicted_start_ms"], &accepted["predicted_end_ms"]);
    assert!(start.as_u64().unwrap() >= 20, "somebody is ahead: {accepted}");
    assert!(end.as_u64().unwrap() >= start.as_u64().unwrap() + 20, "{accepted}");
    let task = daemon.task(accepted["task_id"].as_str().unwrap());
    assert!(task["predicted_start_ms"].is_u64() && task["predicted_end_ms"].is_u64());
    let waiting = &task["waiting"];
    let ahead = json!([{"priority": "interactive", "identity": "localhost", "tasks": 1}]);
    assert_eq!(waiting["ahead"], ahead);
    let estimate = &waiting["estimate"];
    assert_eq!((&estimate["samples"], &estimate["slots"]), (&json!(3), &json!(1)));
    assert!(estimate["start_earliest_ms"].as_u64() <= task["predicted_start_ms"].as_u64());
    assert!(estimate["prefill_ms"].as_u64().unwrap() >= 20, "{estimate}");

    let mut hurried = scripted_task("no time");
    hurried["deadline_ms"] = json!(10);
    let error = daemon.post("/v2/tasks", &hurried).expect_error(422, "DEADLINE_UNMET");
    assert_eq!((&error["field"], &error["retriable"]), (&json!("deadline_ms"), &json!(false)));
    let earliest_ms = error["details"]["earliest_deadline_ms"].as_u64().unwrap();
    assert!(earliest_ms > 40, "{error}");
    hurried["deadline_ms"] = json!(earliest_ms + 60_000);
    let hurried = daemon.submit(&hurried);
    daemon.cancel(&running);
    assert!(daemon.task(&running)["predicted_end_ms"].is_null());
    assert_eq!(daemon.wait_until(&hurried, "succeeded").get("waiting"), None);
}

/// Verifies: ORCH-050, ORCH-051
#[test]
fn under_drop_lru_the_oldest_task_of_batch_makes_room() {
    let engine = ScriptedEngine::start(&[]);
    let config = "[queue]\nmodel_capacity = 2\nwhen_full = \"drop-lru\"";
    let home = Home::scripted(&engine, "slots = 1", config);
    let daemon = home.start().ready();
    let running = occupy(&daemon);
    let mut batch = scripted_task("later");
    batch["priority"] = json!("batch");
    let victim = daemon.submit(&batch);
    let kept = daemon.submit(&scripted_task("kept"));
    let newcomer = daemon.submit(&scripted_task("newcomer"));
    let evicted = daemon.wait_until(&victim, "evicted");
    assert_eq!(evicted["error"]["code"], "QUEUE_FULL_DROP_LRU");
    let events = daemon.events(&victim).rest();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].json(), evicted["error"]);
    let refused = daemon.post("/v2/tasks", &batch);
    assert_eq!(refused.expect_error(429, "ADMISSION_REJECT")["policy_label"], "drop-lru");
    assert!(refused.header("retry-after").is_some());
    daemon.cancel(&running);
    daemon.wait_until(&kept, "succeeded");
    daemon.wait_until(&newcomer, "succeeded");
}

/// Verifies: ORCH-025
#[test]
fn twenty_posts_of_one_key_make_one_task() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let post = |task: &Value, key: &str| -> Answer {
        let request = Request::post("/v2/tasks", task.to_string());
        request.header("Idempotency-Key", key).send(daemon.addr)
    };
    let task = scripted_task("once");
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..20).map(|_| scope.spawn(|| post(&task, "key-1"))).collect();
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    });
    let mut ids = HashSet::new();
    let mut first_ones = 0;
    for answer in &answers {
        assert_eq!(answer.status, 202, "{}", answer.text());
        ids.insert(answer.json()["task_id"].as_str().unwrap().to_owned());
        first_ones += usize::from(answer.header("idempotency-replayed") != Some("true"));
    }
    assert_eq!((ids.len(), first_ones), (1, 1));
    assert_eq!(daemon.get("/v2/tasks").json()["items"].as_array().unwrap().len(), 1);

    // Defaults written out are the same request; another body is not.
    let mut same = task.clone();
    same["priority"] = json!("interactive");
    assert_eq!(post(&same, "key-1").header("idempotency-replayed"), Some("true"));
    let other = post(&scripted_task("twice"), "key-1");
    other.expect_error(422, "IDEMPOTENCY_MISMATCH");
    assert_eq!(post(&task, "key-2").header("idempotency-replayed"), None);
    for wrong in ["", "with space", &"x".repeat(256)] {
        let error = post(&task, wrong).expect_error(422, "INVALID_PARAMS");
        assert_eq!(error["field"], "Idempotency-Key");
    }
    // A refusal binds nothing.
    let mut unknown = task.clone();
    unknown["model_ref"] = json!("nothing");
    post(&unknown, "key-3").expect_error(404, "MODEL_NOT_FOUND");
    assert_eq!(post(&task, "key-3").header("idempotency-replayed"), None);
}

/// Verifies: ORCH-031
#[test]
fn a_task_ends_expired_at_its_deadline_queued_or_running() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "slots = 1", "");
    let daemon = home.start().ready();
    let mut running = scripted_task(ENDLESS);
    running["deadline_ms"] = json!(1500);
    let running = daemon.submit(&running);
    let mut queued = scripted_task("never");
    queued["deadline_ms"] = json!(100);
    let answer = daemon.post("/v2/tasks", &queued).json();
    assert!(answer["deadline_at"].is_string());
    let queued = answer["task_id"].as_str().unwrap();
    for (id, events) in [(queued, 1), (running.as_str(), 3)] {
        let ended = daemon.wait_until(id, "expired");
        assert_eq!(ended["error"]["code"], "DEADLINE_EXCEEDED");
        let seen = daemon.events(id).rest();
        assert_eq!(seen.len(), events);
        assert_eq!(seen[events - 1].name, "error");
        assert_eq!(seen[events - 1].json()["code"], "DEADLINE_EXCEEDED");
    }
    // The slot is free again.
    let next = daemon.submit(&scripted_task("[[tokens=1]]"));
    daemon.wait_until(&next, "succeeded");
}

/// Verifies: ORCH-027, ORCH-106, ORCH-239
#[test]
fn what_the_engine_refuses_fails_with_the_reason_and_is_not_tried_again() {
    let engine = ScriptedEngine::start(&["--ctx", "64"]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let mut long = scripted_task(&"word ".repeat(60));
    long["max_tokens"] = json!(32);
    let id = daemon.submit(&long);
    let failed = daemon.wait_until(&id, "failed");
    assert_eq!(failed["error"]["code"], "CONTEXT_EXCEEDED");
    assert_eq!(failed["attempts"].as_array().unwrap().len(), 1);
    let mut task = scripted_task("[[error=400]] please");
    task["max_tokens"] = json!(4);
    let id = daemon.submit(&task);
    let failed = daemon.wait_until(&id, "failed");
    assert_eq!(failed["error"]["code"], "ENGINE_REFUSED");
    assert_eq!(failed["error"]["retriable"], false);
    assert_eq!(failed["attempts"].as_array().unwrap().len(), 1);
    // The engine's own words are for whoever handed in the task, beside the daemon's own, and not in the log.
    assert_eq!(failed["error"]["message"], "the engine refused the task");
    assert_eq!(failed["error"]["details"]["engine_status"], 400);
    let said = failed["error"]["details"]["engine_said"].as_str().unwrap();
    assert!(said.contains("refused as directed"), "{failed}");
    assert!(!home.log().contains("refused as directed"), "{}", home.log());
}

/// Verifies: ORCH-043, ORCH-047
#[test]
fn clients_of_one_identity_are_served_in_order_of_admission() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "slots = 1", "");
    let daemon = home.start().ready();
    let running = occupy(&daemon);
    let mut queued = Vec::new();
    for place in 0..5 {
        let mut task = scripted_task("[[tokens=50]]");
        task["max_tokens"] = json!(10 + place);
        let answer = daemon.post("/v2/tasks", &task).json();
        assert_eq!(answer["queue_position"], place);
        queued.push(answer["task_id"].as_str().unwrap().to_owned());
    }
    daemon.cancel(&running);
    for id in &queued {
        daemon.wait_until(id, "succeeded");
    }
    let order: Vec<u64> = wait_for("the engine logged all", || {
        let log = engine.log();
        let started = log.iter().filter(|entry| entry["event"] == "started").skip(1);
        let order: Vec<u64> =
            started.map(|entry| entry["fields"]["max_tokens"].as_u64().unwrap()).collect();
        (order.len() == 5).then_some(order)
    });
    assert_eq!(order, [10, 11, 12, 13, 14]);
}
