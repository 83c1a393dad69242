//! What a daemon says.

use client::{Client, ClientConfig};
use serde_json::{Value, json};

use crate::canned_daemon::CannedDaemon;

pub(crate) const TASK: &str = "0190a1b2-0000-7000-8000-000000000001";

pub(crate) fn config(daemon: &CannedDaemon) -> ClientConfig {
    // Another test may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    ClientConfig::new(daemon.url())
}

pub(crate) fn client(daemon: &CannedDaemon) -> Client {
    Client::new(config(daemon)).unwrap()
}

pub(crate) fn accepted() -> Value {
    json!({
        "task_id": TASK, "status": "queued", "queue_position": 0, "predicted_start_ms": null,
        "predicted_end_ms": null, "admitted_at": "2026-01-01T00:00:00Z", "deadline_at": null,
        "events_url": "/e", "status_url": "/s", "cancel_url": "/c", "preparation": {"steps": []},
        "from_the_future": 1,
    })
}

pub(crate) fn error(code: &str, retriable: bool) -> Value {
    json!({
        "code": code, "message": format!("said {code}"), "retriable": retriable,
        "correlation_id": "c-1", "from_the_future": 1,
    })
}

pub(crate) fn task(id: &str) -> Value {
    json!({
        "task_id": id, "status": "running", "model_ref": "m", "model_id": "sha256:00",
        "priority": "interactive", "request_digest": "sha256:11", "parameters": {},
        "queue_position": null, "predicted_start_ms": null, "predicted_end_ms": null,
        "admitted_at": "2026-01-01T00:00:00Z", "started_at": null, "ended_at": null,
        "deadline_at": null, "attempts": [], "usage": {"tokens_in": 1, "tokens_out": null},
        "error": null, "last_event_id": 3, "correlation_id": "c-1", "preparation": {"steps": []},
        "links": {"events_url": "/e", "status_url": "/s", "cancel_url": "/c"},
    })
}

/// A stored event.
pub(crate) fn event(id: u64, name: &str, data: &Value) -> String {
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
}

/// A token; the first one follows `started`.
pub(crate) fn token(id: u64, text: &str) -> String {
    event(id, "token", &json!({"i": id - 2, "t": text, "n": 1}))
}

pub(crate) fn started() -> String {
    let data = json!({
        "task_id": TASK, "queue_position": 0, "predicted_start_ms": null, "queue_time_ms": 1,
        "model_ref": "m", "model_digest": null, "engine": "e", "engine_version": "1",
        "pool_id": "p", "replica_id": "0", "seed": 1, "kv_warmth": false, "correlation_id": "c-1",
    });
    event(1, "started", &data)
}

pub(crate) fn end(id: u64) -> String {
    let data = json!({
        "finish_reason": "stop", "tokens_in": 1, "tokens_out": 2, "queue_time_ms": 1,
        "first_token_ms": 1, "decode_time_ms": 1, "attempts": 1, "kv_migrated": false,
    });
    event(id, "end", &data)
}

/// A model of the catalog.
pub(crate) fn model(id: &str) -> Value {
    json!({
        "id": id, "aliases": ["mine"], "source_ref": "file:/m.gguf", "resolved_ref": null,
        "files": [{"name": "m.gguf", "size_bytes": 98_362_432, "sha256": id}],
        "size_bytes": 98_362_432, "format": "gguf", "architecture": "llama", "quant": "Q4_1",
        "ctx_max": 8192, "kv_bytes_per_token": 46_080, "state": "Active", "retire_at": null,
        "tags": [], "signatures": [], "sbom": null, "verified_at": "2026-01-01T00:00:00Z",
        "verify_result": "pass", "out_of_service": null, "distrust": null,
        "created_at": "2026-01-01T00:00:00Z", "from_the_future": 1,
    })
}

/// An operation on a model, so many bytes of ten far.
pub(crate) fn operation(state: &str, bytes_done: u64) -> Value {
    let ended_at = (state != "running").then_some("2026-01-01T00:00:09Z");
    json!({
        "operation_id": "op-1", "kind": "model_fetch", "target": "https://x/m.gguf",
        "state": state, "result": null, "error": null, "created_at": "2026-01-01T00:00:00Z",
        "progress": {
            "step": "fetching", "bytes_done": bytes_done, "bytes_total": 10, "estimated_ms": null,
        },
        "ended_at": ended_at, "correlation_id": "c-1", "from_the_future": 1,
    })
}
