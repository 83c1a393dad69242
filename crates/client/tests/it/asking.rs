use std::time::SystemTime;

use api_types::TaskState;
use client::{ClientError, TaskQuery};
use serde_json::json;

use crate::{
    canned_daemon::{CannedDaemon, Step, json as reply},
    wire::{client, error, task},
};

#[tokio::test(start_paused = true)]
async fn a_list_is_read_page_by_page_under_its_filters() {
    let daemon = CannedDaemon::start(|asked| {
        let (item, next) =
            if asked.line.contains("cursor") { ("b", None) } else { ("a", Some("s 1")) };
        reply("200 OK", &[], &json!({"items": [task(item)], "next_cursor": next}))
    })
    .await;
    let client = client(&daemon);
    let mut query = TaskQuery {
        status: Some(TaskState::Queued),
        model_ref: Some("a&b".to_owned()),
        client_ref: Some("me".to_owned()),
        limit: Some(1),
        cursor: None,
    };
    let page = client.tasks(&query).await.unwrap();
    query.cursor = page.next_cursor;
    let last = client.tasks(&query).await.unwrap();
    assert_eq!((page.items[0].task_id.as_str(), last.items[0].task_id.as_str()), ("a", "b"));
    assert_eq!(last.next_cursor, None);
    let first = "GET /v2/tasks?status=queued&model_ref=a%26b&client_ref=me&limit=1";
    assert_eq!(daemon.asked()[0].line, first);
    assert_eq!(daemon.asked()[1].line, format!("{first}&cursor=s+1"));
}

#[tokio::test(start_paused = true)]
async fn a_task_is_shown_with_its_prompt_on_request_only() {
    let daemon = CannedDaemon::start(|_| reply("200 OK", &[], &task("t"))).await;
    let client = client(&daemon);
    assert_eq!(client.task("t", false).await.unwrap().last_event_id, 3);
    client.task("t", true).await.unwrap();
    let lines: Vec<String> = daemon.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines, ["GET /v2/tasks/t", "GET /v2/tasks/t?include=prompt"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_looks_like_a_path_leads_nowhere_else() {
    let daemon =
        CannedDaemon::start(|_| reply("404 Not Found", &[], &error("NOT_FOUND", false))).await;
    let refused = client(&daemon).cancel("x/../../status?a").await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused { status: 404, .. }), "{refused}");
    assert_eq!(daemon.asked()[0].line, "POST /v2/tasks/x%2F..%2F..%2Fstatus%3Fa/cancel");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_not_ready_has_answered() {
    let body = json!({"ready": false, "failing": ["recovery"]});
    let daemon = CannedDaemon::start(move |_| reply("503 Service Unavailable", &[], &body)).await;
    let view = client(&daemon).ready().await.unwrap();
    assert_eq!((view.ready, view.failing), (false, vec!["recovery".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_another_shape_is_told_apart_from_a_refusal() {
    let daemon = CannedDaemon::start(|_| reply("200 OK", &[], &json!({"task": 1}))).await;
    let unreadable = client(&daemon).status().await.unwrap_err();
    assert!(matches!(unreadable, ClientError::Unreadable { .. }), "{unreadable}");
    assert!(unreadable.to_string().contains("GET /v2/status"), "{unreadable}");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_something_in_between_is_shown_shortened() {
    let daemon = CannedDaemon::start(|_| {
        let page =
            format!("HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n<html>{}", "é".repeat(5000));
        vec![Step::Write(page.into_bytes())]
    })
    .await;
    let foreign = client(&daemon).status().await.unwrap_err();
    let ClientError::Foreign { status: 500, text } = foreign else { panic!("{foreign}") };
    assert_eq!((text.chars().count(), &text[..6]), (200, "<html>"));
    assert_eq!(daemon.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let daemon = CannedDaemon::start(|_| {
        let mebibyte = Step::Write(vec![b' '; 1 << 20]);
        let head = Step::Write(b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
        [head].into_iter().chain(vec![mebibyte; 64]).chain([Step::Hold]).collect()
    })
    .await;
    let endless = client(&daemon).status().await.unwrap_err();
    assert!(matches!(endless, ClientError::TooLong { .. }), "{endless}");
}

#[tokio::test(start_paused = true)]
async fn the_daemons_clock_is_the_date_of_its_answer() {
    let date = "Date: Thu, 01 Jan 1970 00:01:00 GMT";
    let daemon = CannedDaemon::start(move |_| reply("200 OK", &[date], &json!({}))).await;
    let clock = client(&daemon).clock().await.unwrap().unwrap();
    assert_eq!(clock.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 60);
    assert_eq!(daemon.asked()[0].line, "GET /healthz");

    let daemon = CannedDaemon::start(|_| reply("200 OK", &[], &json!({}))).await;
    assert_eq!(client(&daemon).clock().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_task_of_a_newer_daemon_is_read_with_words_that_this_build_does_not_know() {
    let daemon = CannedDaemon::start(|asked| {
        if asked.line.ends_with("/cancel") {
            return reply("200 OK", &[], &json!({"task_id": "t", "status": "reviewed"}));
        }
        let mut task = task("t");
        task["status"] = json!("reviewed");
        task["priority"] = json!("background");
        task["error"] = error("DISK_ON_FIRE", true);
        task["preparation"] = json!({"steps": [{
            "id": "1", "kind": "model_fetch", "status": "paused", "estimated_ms": null,
            "bytes_total": null, "bytes_done": null,
        }]});
        reply("200 OK", &[], &task)
    })
    .await;
    let client = client(&daemon);
    let task = client.task("t", false).await.unwrap();
    let words = [task.status.name(), task.priority.name(), task.preparation.steps[0].status.name()];
    assert_eq!(words, ["reviewed", "background", "paused"]);
    assert_eq!(task.error.unwrap().code.name(), "DISK_ON_FIRE");
    assert_eq!(client.cancel("t").await.unwrap().status.name(), "reviewed");
}
