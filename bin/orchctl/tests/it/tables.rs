use api_types::StatusView;
use serde_json::{Value, json};

use crate::{
    canned_daemon::{CannedDaemon, json as reply, stream, write},
    program::orchctl,
    wire::{TASK, end, error, started, task, token},
};

fn id(number: u32) -> String {
    format!("0190a1b2-0000-7000-8000-{number:012}")
}

/// A daemon that always answers with this document.
async fn daemon_saying(document: Value) -> CannedDaemon {
    CannedDaemon::start(move |_| reply("200 OK", &[], &document)).await
}

/// A daemon with a queued, two running and an ended task; the queued one starts to run while it is asked.
async fn daemon_with_tasks() -> CannedDaemon {
    let with = |number, status: &str, position: Value, tokens: Value| {
        let mut task = task(&id(number));
        task["status"] = json!(status);
        task["queue_position"] = position;
        task["usage"]["tokens_out"] = tokens;
        task
    };
    CannedDaemon::start(move |asked| {
        let queued = with(4, "queued", json!(0), Value::Null);
        let running = [
            with(4, "running", Value::Null, json!(1)),
            with(2, "running", Value::Null, json!(120)),
        ];
        let ended = with(1, "succeeded", Value::Null, json!(7));
        let items = match asked.line.split_once('?').unwrap().1 {
            "status=queued&limit=50" => vec![queued],
            "status=preparing&limit=50" => vec![with(3, "preparing", json!(1), Value::Null)],
            "status=running&limit=50" => running.to_vec(),
            "limit=50" | "limit=500" => [&running[..], &[ended]].concat(),
            other => panic!("{other}"),
        };
        reply("200 OK", &[], &json!({"items": items, "next_cursor": null}))
    })
    .await
}

#[tokio::test]
async fn live_tasks_are_listed_newest_first_and_each_once() {
    let daemon = daemon_with_tasks().await;
    let wanted = "\
TASK                                  STATUS     AHEAD  TOKENS  MODEL  ADMITTED
0190a1b2-0000-7000-8000-000000000004  running    -      1       m      2026-01-01T00:00:00Z
0190a1b2-0000-7000-8000-000000000003  preparing  1      -       m      2026-01-01T00:00:00Z
0190a1b2-0000-7000-8000-000000000002  running    -      120     m      2026-01-01T00:00:00Z
";
    assert_eq!(orchctl(&daemon, &["ps"]).await.well(), wanted);
}

#[tokio::test]
async fn all_tasks_are_listed_on_request() {
    let daemon = daemon_with_tasks().await;
    let out = orchctl(&daemon, &["ps", "--all", "--json"]).await.well();
    let tasks: Vec<Value> = serde_json::from_str(&out).unwrap();
    let states: Vec<&str> = tasks.iter().map(|task| task["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["running", "running", "succeeded"]);
}

#[tokio::test]
async fn a_list_goes_over_pages_up_to_its_limit() {
    let daemon = CannedDaemon::start(|asked| {
        let page = if asked.line.contains("cursor=s2") { 2 } else { 1 };
        let size = if page == 1 { 500 } else { 100 };
        let items: Vec<Value> = (0..size).map(|number| task(&id(page * 1000 - number))).collect();
        reply("200 OK", &[], &json!({"items": items, "next_cursor": "s2"}))
    })
    .await;
    let out = orchctl(&daemon, &["ps", "--all", "--limit", "600"]).await.well();
    assert_eq!(out.lines().count(), 601);
    assert_eq!(daemon.asked()[1].line, "GET /v2/tasks?limit=100&cursor=s2");
}

#[tokio::test]
async fn a_task_is_shown_with_what_became_of_it() {
    let mut task = task(TASK);
    task["status"] = json!("failed");
    task["client_ref"] = json!("evil\u{1b}[2J");
    task["metadata"] = json!({"team": "red"});
    task["parameters"] = json!({"max_tokens": 5});
    task["ended_at"] = json!("2026-01-01T00:00:09Z");
    task["error"] = error("WORKER_RESET", true);
    task["prompt"] = json!([{"role": "user", "content": "hello"}]);
    let attempt = |pool: &str, outcome: Value| {
        json!({
            "attempt_id": "a", "pool_id": pool, "replica_id": "0", "engine": "candle",
            "engine_version": "1.2", "model_digest": null, "seed": 1,
            "started_at": "2026-01-01T00:00:01Z", "ended_at": null, "outcome": outcome, "tokens": 12,
        })
    };
    task["attempts"] = json!([attempt("embedded", json!("lost")), attempt("gpu", Value::Null)]);
    task["preparation"] = json!({"steps": [{
        "id": "f", "kind": "model_fetch", "status": "running", "estimated_ms": null,
        "bytes_total": 10, "bytes_done": 5,
    }]});
    let wanted = "\
task          0190a1b2-0000-7000-8000-000000000001
status        failed
model         m (sha256:00)
priority      interactive
client ref    evil\u{fffd}[2J
metadata      team = red
parameters    {\"max_tokens\":5}
admitted      2026-01-01T00:00:00Z
ended         2026-01-01T00:00:09Z
tokens in     1
last event    3
correlation   c-1
preparation   model_fetch running
error         said WORKER_RESET (WORKER_RESET; may succeed later)
prompt        [{\"content\":\"hello\",\"role\":\"user\"}]

ATTEMPT  POOL      ENGINE      OUTCOME  TOKENS  STARTED               ENDED
1        embedded  candle 1.2  lost     12      2026-01-01T00:00:01Z  -
2        gpu       candle 1.2  runs     12      2026-01-01T00:00:01Z  -
";
    let daemon = daemon_saying(task).await;
    assert_eq!(orchctl(&daemon, &["show", TASK, "--prompt"]).await.well(), wanted);
    assert_eq!(daemon.asked()[0].line, format!("GET /v2/tasks/{TASK}?include=prompt"));
}

fn status() -> Value {
    json!({
        "version": "0.0.0", "profile": "home", "ready": false, "failing": ["store", "recovery"],
        "models": [{
            "id": format!("sha256:{}", "0123456789ab".repeat(5)), "aliases": ["starter", "tiny"],
            "source_ref": "file:x", "state": "active", "verified": true, "architecture": "llama",
            "quant": "Q4_1", "ctx_max": 8192, "size_bytes": 98_362_432, "pools": ["embedded", "gpu"],
            "ready_replicas": 1,
        }, {
            "id": "remote:gpu/big", "aliases": [], "source_ref": "remote:gpu/big", "state": "active",
            "verified": false, "architecture": null, "quant": null, "ctx_max": null,
            "size_bytes": 1_234_567_890_123_u64, "pools": [], "ready_replicas": 0,
        }],
        "pools": [
            {"pool_id": "embedded", "engine": "candle", "state": "ready", "slots_total": 1, "slots_free": 0},
            {"pool_id": "gpu", "engine": "openai", "state": "backoff", "slots_total": 64,
             "slots_free": 64, "last_error": "connection\nrefused"},
        ],
        "queue": [
            {"model_id": format!("sha256:{}", "0123456789ab".repeat(5)), "interactive": 3, "batch": 12, "running": 1},
            {"model_id": "remote:gpu/big", "interactive": 0, "batch": 0, "running": 0},
        ],
    })
}

#[tokio::test]
async fn the_status_shows_readiness_models_pools_and_queues() {
    let wanted = "\
orchestratord 0.0.0 (home): not ready: store, recovery

MODEL          STATE   QUANT  CONTEXT  SIZE    READY  POOLS          ID
starter, tiny  active  Q4_1   8192     98 MB   1      embedded, gpu  sha256:0123456789ab
-              active  -      -        1.2 TB  0      -              remote:gpu/big

POOL      ENGINE  STATE    FREE SLOTS  PROBLEM
embedded  candle  ready    0 of 1      -
gpu       openai  backoff  64 of 64    connection refused

QUEUE           INTERACTIVE  BATCH  RUNNING
starter         3            12     1
remote:gpu/big  0            0      0
";
    let daemon = daemon_saying(status()).await;
    assert_eq!(orchctl(&daemon, &["status"]).await.well(), wanted);
    let out = orchctl(&daemon, &["status", "--json"]).await.well();
    let said: StatusView = serde_json::from_value(status()).unwrap();
    assert_eq!(serde_json::from_str::<StatusView>(&out).unwrap(), said);
}

#[tokio::test]
async fn events_are_printed_a_line_each_from_where_they_are_wanted() {
    let metrics = "event: metrics\ndata: {\"queue_position\":1}\n\n";
    let text = [metrics, &token(2, "a"), &end(3)].concat();
    let daemon = CannedDaemon::start(move |_| stream([write(&text)])).await;
    let wanted = "     -  metrics   {\"queue_position\":1}
     2  token     {\"i\":0,\"n\":1,\"t\":\"a\"}
     3  end       {\"attempts\":1,\"decode_time_ms\":1,\"finish_reason\":\"stop\",\"first_token_ms\":1,\"kv_migrated\":false,\"queue_time_ms\":1,\"tokens_in\":1,\"tokens_out\":2}
";
    assert_eq!(orchctl(&daemon, &["events", TASK, "--after", "1"]).await.well(), wanted);
    assert_eq!(daemon.asked()[0].last_event_id(), 1);
}

#[tokio::test]
async fn events_for_programs_are_lines_of_json() {
    let text = [started(), end(2)].concat();
    let daemon = CannedDaemon::start(move |_| stream([write(&text)])).await;
    let out = orchctl(&daemon, &["events", TASK, "--json"]).await.well();
    let ids: Vec<Value> =
        out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].take()).collect();
    assert_eq!(ids, [1, 2]);
}

#[tokio::test]
async fn a_canceled_task_is_told_with_its_state() {
    let daemon = daemon_saying(json!({"task_id": TASK, "status": "canceled"})).await;
    assert_eq!(orchctl(&daemon, &["cancel", TASK]).await.well(), format!("{TASK} canceled\n"));
    assert_eq!(daemon.asked()[0].line, format!("POST /v2/tasks/{TASK}/cancel"));
}

#[tokio::test]
async fn a_task_may_be_named_by_the_start_or_end_of_its_id() {
    let daemon = CannedDaemon::start(|asked| {
        if asked.line.ends_with("/cancel") {
            return reply("200 OK", &[], &json!({"task_id": "x", "status": "canceled"}));
        }
        let items = [task(&id(4)), task(&id(14)), task(&id(2))];
        reply("200 OK", &[], &json!({"items": items, "next_cursor": null}))
    })
    .await;
    orchctl(&daemon, &["cancel", "02"]).await.well();
    assert_eq!(daemon.asked()[1].line, format!("POST /v2/tasks/{}/cancel", id(2)));

    let many = orchctl(&daemon, &["cancel", "4"]).await;
    assert_eq!(many.code, Some(2));
    let wanted = format!("orchctl: `4` may be {} or {}; give more of the id\n", id(4), id(14));
    assert_eq!(many.err, wanted);

    let none = orchctl(&daemon, &["cancel", "f"]).await;
    assert_eq!(none.code, Some(2));
    let wanted = "orchctl: no task begins or ends with `f` among the last 3; give its whole id\n";
    assert_eq!(none.err, wanted);
}
