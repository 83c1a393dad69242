use api_types::{
    AddModelRequest, ErrorCode, ModelState, ModelStateRequest, OperationStatus, Reported,
};
use client::{Added, ClientError, Deleted};
use serde_json::{Value, json};

use crate::{
    canned_daemon::{CannedDaemon, Step, json as reply},
    wire::{client, error, model, operation},
};

fn begun() -> Value {
    json!({
        "operation_id": "op-1", "kind": "model_fetch", "target": "https://x/m.gguf",
        "state": "running", "status_url": "/v2/operations/op-1", "from_the_future": 1,
    })
}

fn request() -> AddModelRequest {
    AddModelRequest {
        source_ref: "file:/m.gguf".to_owned(),
        aliases: vec!["mine".to_owned()],
        ..AddModelRequest::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_added_is_new_or_known_or_fetched() {
    let mut answers = vec![
        reply("202 Accepted", &[], &begun()),
        reply("200 OK", &[], &model("sha256:00")),
        reply("201 Created", &[], &model("sha256:00")),
    ];
    let daemon = CannedDaemon::start(move |_| answers.pop().unwrap()).await;
    let client = client(&daemon);
    let Added::New(new) = client.add_model(&request()).await.unwrap() else { panic!("not new") };
    assert_eq!((new.id.as_str(), &new.state), ("sha256:00", &Reported::Known(ModelState::Active)));
    let known = client.add_model(&request()).await.unwrap();
    assert!(matches!(known, Added::Known(_)), "{known:?}");
    let Added::Begun(begun) = client.add_model(&request()).await.unwrap() else { panic!("no op") };
    assert_eq!((begun.operation_id.as_str(), begun.kind.as_str()), ("op-1", "model_fetch"));
    let asked = &daemon.asked()[0];
    assert_eq!(asked.line, "POST /v2/catalog/models");
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body, json!({"source_ref": "file:/m.gguf", "aliases": ["mine"]}));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_deleted_is_gone_or_goes_after_its_last_user() {
    let daemon = CannedDaemon::start(|asked| {
        if asked.line.contains('?') {
            return reply("202 Accepted", &[], &begun());
        }
        vec![Step::Write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_vec())]
    })
    .await;
    let client = client(&daemon);
    assert_eq!(client.delete_model("a/b", false).await.unwrap(), Deleted::Gone);
    assert!(matches!(client.delete_model("a/b", true).await.unwrap(), Deleted::Begun(_)));
    let lines: Vec<String> = daemon.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(
        lines,
        ["DELETE /v2/catalog/models/a%2Fb", "DELETE /v2/catalog/models/a%2Fb?force=true"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_catalog_is_read_in_pages_and_its_names_are_set_and_removed() {
    let daemon = CannedDaemon::start(|asked| match asked.line.as_str() {
        "GET /v2/catalog/models" => {
            reply("200 OK", &[], &json!({"items": [model("sha256:00")], "next_cursor": "c/2"}))
        }
        "GET /v2/catalog/models?cursor=c%2F2" => {
            reply("200 OK", &[], &json!({"items": [], "next_cursor": null}))
        }
        "GET /v2/catalog/models/mine" => reply("200 OK", &[], &model("sha256:00")),
        "POST /v2/catalog/models/mine/verify" => reply("202 Accepted", &[], &begun()),
        "POST /v2/catalog/models/mine/state" => {
            assert_eq!(asked.body, r#"{"state":"Retired","deadline_ms":5}"#);
            reply("200 OK", &[], &model("sha256:00"))
        }
        "PUT /v2/catalog/aliases/other" => {
            assert_eq!(asked.body, r#"{"model_ref":"mine"}"#);
            reply("200 OK", &[], &json!({"name": "other", "model_id": "sha256:00"}))
        }
        "DELETE /v2/catalog/aliases/other" => {
            vec![Step::Write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_vec())]
        }
        "GET /v2/catalog/availability" => reply("200 OK", &[], &json!({"items": []})),
        other => panic!("{other}"),
    })
    .await;
    let client = client(&daemon);
    let page = client.models(None).await.unwrap();
    assert_eq!(page.items[0].id, "sha256:00");
    assert!(client.models(page.next_cursor.as_deref()).await.unwrap().items.is_empty());
    assert_eq!(client.model("mine").await.unwrap().aliases, ["mine"]);
    assert_eq!(client.verify_model("mine").await.unwrap().operation_id, "op-1");
    let retired = ModelStateRequest { state: ModelState::Retired, deadline_ms: Some(5) };
    client.set_model_state("mine", &retired).await.unwrap();
    assert_eq!(client.set_alias("other", "mine").await.unwrap().model_id, "sha256:00");
    client.remove_alias("other").await.unwrap();
    assert!(client.availability().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_looked_at_until_it_has_ended_and_goes_on_over_a_lost_connection() {
    let mut looks = vec![
        reply("200 OK", &[], &operation("succeeded", 10)),
        vec![],
        reply("503 Service Unavailable", &[], &error("SHUTTING_DOWN", true)),
        reply("200 OK", &[], &operation("running", 7)),
        reply("200 OK", &[], &operation("running", 0)),
    ];
    let daemon = CannedDaemon::start(move |_| looks.pop().unwrap()).await;
    let mut seen = Vec::new();
    let ended = client(&daemon)
        .operation_ended("op-1", |operation| seen.push(operation.progress.bytes_done.unwrap()))
        .await
        .unwrap();
    assert_eq!((ended.state, seen), (Reported::Known(OperationStatus::Succeeded), vec![0, 7, 10]));
    assert_eq!(daemon.asked().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_failed_tells_why_even_with_a_code_of_a_newer_daemon() {
    let mut failed = operation("failed", 3);
    failed["error"] = error("DISK_ON_FIRE", false);
    let daemon = CannedDaemon::start(move |_| reply("200 OK", &[], &failed)).await;
    let ended = client(&daemon).operation_ended("op-1", |_| ()).await.unwrap();
    assert_eq!(ended.error.unwrap().code.name(), "DISK_ON_FIRE");
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_cancelled_by_its_id() {
    let daemon = CannedDaemon::start(|_| reply("200 OK", &[], &operation("canceled", 3))).await;
    let client = client(&daemon);
    let canceled = client.cancel_operation("op-1").await.unwrap();
    assert_eq!(canceled.state, OperationStatus::Canceled);
    assert_eq!(daemon.asked()[0].line, "DELETE /v2/operations/op-1");
}

#[tokio::test(start_paused = true)]
async fn states_of_a_newer_daemon_are_read_and_end_with_their_time() {
    let mut models = model("sha256:00");
    models["state"] = json!("Quarantined");
    let daemon = CannedDaemon::start(move |asked| {
        if asked.line.contains("/models/") {
            return reply("200 OK", &[], &models);
        }
        let mut paused = operation("paused", 1);
        paused["ended_at"] = match asked.line.ends_with("/op-2") {
            true => json!("2026-01-01T00:00:09Z"),
            false => Value::Null,
        };
        reply("200 OK", &[], &paused)
    })
    .await;
    let client = client(&daemon);
    assert_eq!(client.model("m").await.unwrap().state.name(), "Quarantined");
    assert_eq!(client.operation("op-1").await.unwrap().state.name(), "paused");
    let ended = client.operation_ended("op-2", |_| ()).await.unwrap();
    assert_eq!(ended.state.name(), "paused");
}

#[tokio::test(start_paused = true)]
async fn a_model_in_use_is_refused_with_the_daemons_words() {
    let daemon =
        CannedDaemon::start(|_| reply("409 Conflict", &[], &error("CONFLICT", false))).await;
    let refused = client(&daemon).delete_model("mine", false).await.unwrap_err();
    let ClientError::Refused { status: 409, body, .. } = refused else { panic!("{refused}") };
    assert_eq!(body.code, ErrorCode::Conflict);
}
