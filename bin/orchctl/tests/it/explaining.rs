use serde_json::{Value, json};

use crate::{
    canned_daemon::{CannedDaemon, json as reply},
    program::orchctl,
    wire::{TASK, error, task},
};

fn id(number: u32) -> String {
    format!("0190a1b2-0000-7000-8000-{number:012}")
}

fn queued(number: u32, position: u64) -> Value {
    let mut task = task(&id(number));
    task["status"] = json!("queued");
    task["queue_position"] = json!(position);
    task["usage"] = json!({"tokens_in": 1, "tokens_out": 0});
    task
}

fn status() -> Value {
    json!({
        "version": "1.0", "profile": "home", "ready": false, "failing": ["store"],
        "models": [{
            "id": "sha256:00", "aliases": ["m"], "source_ref": "x", "state": "active",
            "created_at": null, "verified": true, "architecture": null, "quant": null,
            "ctx_max": null, "size_bytes": null, "pools": ["gpu"], "ready_replicas": 0,
        }],
        "pools": [
            {"pool_id": "gpu", "engine": "openai", "state": "backoff", "slots_total": 4,
             "slots_free": 4, "last_error": "connection refused"},
            {"pool_id": "other", "engine": "candle", "state": "ready", "slots_total": 1,
             "slots_free": 0},
        ],
        "queue": [{"model_id": "sha256:00", "interactive": 2, "batch": 1, "running": 0}],
    })
}

/// A decision about pools and the reasons against each.
fn decision(outcome: &str, strategy: &str, candidates: &[(&str, &[&str])]) -> Value {
    let candidates = candidates.iter().map(|(pool, reasons)| {
        json!({"node_id": "local", "pool_id": pool, "replica_id": "0", "reasons": reasons})
    });
    let candidates: Vec<Value> = candidates.collect();
    let chosen = (outcome == "assign").then_some("gpu");
    json!({
        "outcome": outcome, "reason": chosen.is_none().then_some("BUSY"), "strategy": strategy,
        "snapshot_version": 3, "node_id": chosen.map(|_| "local"), "pool_id": chosen,
        "replica_id": chosen.map(|_| "0"), "pinned": false, "fallback": false,
        "candidates": candidates, "candidates_omitted": 0,
    })
}

/// A daemon with a task that waits behind two others.
async fn daemon_with_queue(status_answer: (&'static str, Value)) -> CannedDaemon {
    CannedDaemon::start(move |asked| {
        let line = asked.line.as_str();
        if line.starts_with("GET /v2/tasks?") {
            let mut stranger = queued(9, 0);
            stranger["model_id"] = json!("sha256:99");
            let items = [queued(4, 3), queued(3, 1), stranger, queued(2, 0)];
            return reply("200 OK", &[], &json!({"items": items, "next_cursor": null}));
        }
        if line == "GET /v2/status" {
            return reply(status_answer.0, &[], &status_answer.1);
        }
        let mut task = queued(1, 2);
        task["deadline_at"] = json!("2026-01-01T01:00:00Z");
        task["predicted_start_ms"] = json!(1234);
        let ahead = |identity: Value| json!({"priority": "interactive", "identity": identity, "tasks": 1});
        task["waiting"] = json!({
            "ahead": [ahead(json!("ann")), ahead(Value::Null)],
            "estimate": {
                "start_earliest_ms": 901, "start_latest_ms": 1567, "prefill_ms": 100, "decode_ms": 2000,
                "starts_ahead": 2, "slots": 1, "samples": 12,
            },
        });
        let step = |kind: &str, status: &str, done: Value| {
            json!({"id": kind, "kind": kind, "status": status, "estimated_ms": null,
                   "bytes_total": done.is_u64().then_some(2_000_000), "bytes_done": done})
        };
        task["preparation"] = json!({"steps": [
            step("engine_provision", "completed", Value::Null),
            step("model_fetch", "running", json!(1_000_000)),
            step("pool_warmup", "pending", Value::Null),
        ]});
        let against: &[(&str, &[&str])] = &[
            ("gpu", &["POOL_NOT_READY", "NO_FREE_SLOT"]),
            ("new", &["NEWER_THAN_THIS"]),
            ("other", &["MODEL_ABSENT", "LOAD_NOT_ALLOWED"]),
        ];
        task["decision"] = decision("no_capacity", "session-sticky", against);
        reply("200 OK", &[], &task)
    })
    .await
}

const WAITS: &str = "\
Task 0190a1b2-0000-7000-8000-000000000001 waits in the queue since 2026-01-01T00:00:00Z.
It was admitted at 2026-01-01T00:00:00Z as an interactive task for model m (sha256:00).
Ahead of it in its queue: 2 tasks, the next ones 0190a1b2-0000-7000-8000-000000000002, 0190a1b2-0000-7000-8000-000000000003.
These are: 1 interactive of ann; 1 interactive of others, or begun before.
It should start in 1.2 s, and four times of five between 0.9 s and 1.6 s; it waits for 1 slot, with 2 starts before it. It should have its first token 0.1 s later and end 2.0 s after that, by the last 12 attempts of its model.
It waits for this: fetching the model: 1.0 MB of 2.0 MB (goes on); loading the model (has not begun).
It has no place now: every replica that would do is busy.
Passed over: replica 0 of pool gpu: it is not ready (POOL_NOT_READY), no slot is free (NO_FREE_SLOT).
Passed over: replica 0 of pool new: NEWER_THAN_THIS.
Without its model: 1 further place.
";
const AROUND: &str = "\
The daemon is not ready: store.
Of its model's tasks, 0 run, and 2 interactive and 1 batch ones wait.
Pool gpu, which may serve it, is backoff, 4 of 4 slots free; its problem: connection refused.
";
const DEADLINE: &str = "It expires if it has not ended by 2026-01-01T01:00:00Z.\n";

/// Verifies: ORCH-123
#[tokio::test]
async fn a_task_that_waits_is_explained_by_what_is_ahead_and_what_it_needs() {
    let daemon = daemon_with_queue(("200 OK", status())).await;
    let story = orchctl(&daemon, &["why", TASK]).await.well();
    assert_eq!(story, [WAITS, AROUND, DEADLINE].concat());

    let facts = orchctl(&daemon, &["why", TASK, "--json"]).await.well();
    let facts: Value = serde_json::from_str(&facts).unwrap();
    assert_eq!(
        (&facts["task"]["task_id"], &facts["status"]["ready"]),
        (&json!(TASK), &json!(false))
    );
    let ahead: Vec<&Value> =
        facts["ahead"].as_array().unwrap().iter().map(|task| &task["task_id"]).collect();
    assert_eq!(ahead, [&json!(id(2)), &json!(id(3))]);
}

#[tokio::test]
async fn a_token_that_may_not_see_the_daemon_still_explains_its_tasks() {
    let daemon = daemon_with_queue(("403 Forbidden", error("POLICY_DENIED", false))).await;
    let story = orchctl(&daemon, &["why", TASK]).await.well();
    assert_eq!(story, [WAITS, DEADLINE].concat());
}

#[tokio::test]
async fn a_task_that_runs_is_told_with_when_it_should_end_where_that_is_known() {
    for (predicted_end_ms, words) in [(json!(1234), " and should end in 1.2 s"), (Value::Null, "")]
    {
        let mut task = task(TASK);
        task["status"] = json!("running");
        task["started_at"] = json!("2026-01-01T00:00:01Z");
        task["ended_at"] = Value::Null;
        task["usage"] = json!({"tokens_in": 1, "tokens_out": 0});
        task["predicted_end_ms"] = predicted_end_ms;
        let daemon = CannedDaemon::start(move |asked| match asked.line.as_str() {
            "GET /v2/status" => reply("403 Forbidden", &[], &error("POLICY_DENIED", false)),
            _ => reply("200 OK", &[], &task),
        })
        .await;
        let story = orchctl(&daemon, &["why", TASK]).await.well();
        let first = format!("Task {TASK} runs since 2026-01-01T00:00:01Z{words}.");
        assert_eq!(story.lines().next(), Some(first.as_str()));
    }
}

/// Verifies: ORCH-123
#[tokio::test]
async fn a_task_that_failed_is_explained_by_its_attempts_its_error_and_what_to_do() {
    let mut task = task(TASK);
    task["status"] = json!("failed");
    task["priority"] = json!("batch");
    task["ended_at"] = json!("2026-01-01T00:00:09Z");
    task["deadline_at"] = json!("2026-01-01T01:00:00Z");
    task["usage"] = json!({"tokens_in": 1, "tokens_out": 12});
    task["error"] = error("REPLICA_EXHAUSTED", true);
    let attempt = |number: u32, outcome: &str| {
        json!({
            "attempt_id": "a", "pool_id": "gpu", "replica_id": number.to_string(),
            "engine": "candle", "engine_version": "1.2", "model_digest": null, "seed": 1,
            "started_at": "2026-01-01T00:00:01Z", "ended_at": "2026-01-01T00:00:05Z",
            "outcome": outcome, "tokens": number,
        })
    };
    let (mut first, mut second) = (attempt(1, "lost"), attempt(12, "interrupted"));
    first["decision"] = decision("assign", "least-loaded", &[("gpu", &[]), ("y", &[])]);
    let failed: &[&str] = &["EXCLUDED_AFTER_FAILURE"];
    second["decision"] = decision("assign", "session-sticky", &[("gpu", &[]), ("y", failed)]);
    second["decision"]["fallback"] = json!(true);
    let third = attempt(2, "completed");
    task["attempts"] = json!([first, second, third]);
    let daemon = CannedDaemon::start(move |_| reply("200 OK", &[], &task)).await;
    let wanted = "\
Task 0190a1b2-0000-7000-8000-000000000001 failed at 2026-01-01T00:00:09Z; it has 12 tokens.
It was admitted at 2026-01-01T00:00:00Z as a batch task for model m (sha256:00).
Attempt 1, on replica 1 of pool gpu (candle 1.2) from 2026-01-01T00:00:01Z until 2026-01-01T00:00:05Z, ended because the worker, or the way to it, was lost after 1 token.
Attempt 1 went there as 2 could take the task, and least-loaded chose: the smallest share of busy slots.
Attempt 2, on replica 12 of pool gpu (candle 1.2) from 2026-01-01T00:00:01Z until 2026-01-01T00:00:05Z, was cut off by an end of the daemon after 12 tokens.
Attempt 2 went there as it was the only one that could take the task; no pool that the request prefers could.
Passed over: replica 0 of pool y: the task failed there before (EXCLUDED_AFTER_FAILURE).
Attempt 3, on replica 2 of pool gpu (candle 1.2) from 2026-01-01T00:00:01Z until 2026-01-01T00:00:05Z, was completed after 2 tokens.
Its deadline was 2026-01-01T01:00:00Z.
The error: said REPLICA_EXHAUSTED (REPLICA_EXHAUSTED).
What to do: see with `orchctl status` what is wrong with the pool, and hand it in again.
";
    assert_eq!(orchctl(&daemon, &["why", TASK]).await.well(), wanted);
    assert_eq!(daemon.asked().len(), 1, "an ended task needs no more");
}

#[tokio::test]
async fn a_task_that_nobody_knows_is_refused_as_everywhere() {
    let daemon =
        CannedDaemon::start(|_| reply("404 Not Found", &[], &error("NOT_FOUND", false))).await;
    let done = orchctl(&daemon, &["why", TASK]).await;
    assert_eq!((done.code, done.out.as_str()), (Some(4), ""));
    assert!(done.err.contains("code NOT_FOUND"), "{}", done.err);
}

#[tokio::test]
async fn a_state_of_a_newer_daemon_is_told_as_it_is() {
    let daemon = CannedDaemon::start(|_| {
        let mut task = task(TASK);
        task["status"] = json!("reviewed");
        task["priority"] = json!("background");
        task["ended_at"] = json!("2026-01-01T00:00:09Z");
        reply("200 OK", &[], &task)
    })
    .await;
    let story = orchctl(&daemon, &["why", TASK]).await.well();
    let wanted = format!("Task {TASK} is in a state that this program does not know: reviewed.\n");
    assert!(story.starts_with(&wanted), "{story}");
    assert!(story.contains("as a background task"), "{story}");
    assert_eq!(daemon.asked().len(), 1, "it has ended, so nothing else is asked");
}
