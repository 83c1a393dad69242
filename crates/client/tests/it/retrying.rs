use std::time::Duration;

use api_types::{ErrorCode, TaskRequest};
use client::{Client, ClientConfig, ClientError};
use tokio::time::Instant;

use crate::{
    canned_daemon::{CannedDaemon, Reply, Step, json as reply},
    wire::{TASK, accepted, client, config, error, task},
};

fn request() -> TaskRequest {
    TaskRequest { prompt: Some("hello".to_owned()), ..TaskRequest::default() }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Gives these replies in order, the last one for ever.
async fn daemon_with(replies: impl IntoIterator<Item = Reply>) -> CannedDaemon {
    let mut replies: Vec<Reply> = replies.into_iter().collect();
    replies.reverse();
    let next = move || if replies.len() > 1 { replies.pop() } else { replies.last().cloned() };
    let mut next = next;
    CannedDaemon::start(move |_| next().unwrap()).await
}

fn busy(headers: &[&str]) -> Reply {
    reply("429 Too Many Requests", headers, &error("ADMISSION_REJECT", true))
}

#[tokio::test(start_paused = true)]
async fn a_submission_whose_answer_is_lost_is_repeated_under_the_same_key() {
    let taken = reply("202 Accepted", &["Idempotency-Replayed: true"], &accepted());
    let cut = vec![Step::Write(b"HTTP/1.1 202 Acc".to_vec())];
    let short =
        vec![Step::Write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 900\r\n\r\n{\"task".to_vec())];
    let daemon = daemon_with([vec![], cut, short, taken]).await;
    let submitted = client(&daemon).submit(&request(), None).await.unwrap();
    assert_eq!((submitted.task.task_id.as_str(), submitted.is_replay), (TASK, true));
    let asked = daemon.asked();
    let keys: Vec<_> = asked.iter().map(|asked| asked.header("idempotency-key").unwrap()).collect();
    assert_eq!(keys, [keys[0]; 4]);
    assert!(asked.iter().all(|it| it.line == "POST /v2/tasks" && it.body == asked[0].body));
    assert_eq!(serde_json::from_str::<TaskRequest>(&asked[0].body).unwrap(), request());
}

#[tokio::test(start_paused = true)]
async fn each_submission_has_a_key_of_its_own_unless_the_caller_gives_one() {
    let daemon = daemon_with([reply("202 Accepted", &[], &accepted())]).await;
    let client = client(&daemon);
    for key in [None, None, Some("mine")] {
        assert!(!client.submit(&request(), key).await.unwrap().is_replay);
    }
    let asked = daemon.asked();
    let keys: Vec<_> = asked.iter().map(|asked| asked.header("idempotency-key").unwrap()).collect();
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[2], "mine");
    let unsendable = client.submit(&request(), Some("a\nb")).await.unwrap_err();
    assert!(matches!(unsendable, ClientError::IdempotencyKey { .. }), "{unsendable}");
}

/// How long the client waits between two requests when it is first answered so.
async fn wait_after(first: Reply) -> Duration {
    let daemon = daemon_with([first, reply("202 Accepted", &[], &accepted())]).await;
    client(&daemon).submit(&request(), None).await.unwrap();
    let asked = daemon.asked();
    assert_eq!(asked.len(), 2);
    asked[1].at - asked[0].at
}

#[tokio::test(start_paused = true)]
async fn a_busy_daemon_is_left_alone_for_as_long_as_it_asks() {
    let exact = wait_after(busy(&["Retry-After: 8", "X-Backoff-Ms: 7250"])).await;
    assert!((7250..8000).contains(&exact.as_millis()), "{exact:?}");
    let whole_seconds = wait_after(busy(&["Retry-After: 8"])).await;
    assert!((8000..8500).contains(&whole_seconds.as_millis()), "{whole_seconds:?}");
    let unready = error("POOL_UNREADY", true);
    let unasked = wait_after(reply("503 Service Unavailable", &[], &unready)).await;
    assert!((100..300).contains(&unasked.as_millis()), "{unasked:?}");
    let gateway =
        vec![Step::Write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_vec())];
    let foreign = wait_after(gateway).await;
    assert!((100..300).contains(&foreign.as_millis()), "{foreign:?}");
}

/// Verifies: ORCH-289
#[tokio::test(start_paused = true)]
async fn a_code_of_a_newer_daemon_is_read_and_retried_as_the_answer_says() {
    let final_one = reply("409 Conflict", &[], &error("MOON_TOO_FULL", false));
    let busy = reply("503 Unavailable", &[], &error("MOON_TOO_FULL", true));
    let daemon = daemon_with([busy, final_one]).await;
    let refused = client(&daemon).submit(&request(), None).await.unwrap_err();
    let ClientError::Refused { status: 409, body, .. } = &refused else { panic!("{refused}") };
    assert_eq!((body.code.name(), body.message.as_str()), ("MOON_TOO_FULL", "said MOON_TOO_FULL"));
    assert_eq!(daemon.asked().len(), 2, "the retriable one was tried again");
    let mut ended = task(TASK);
    ended["error"] = error("MOON_TOO_FULL", false);
    let daemon = daemon_with([reply("200 OK", &[], &ended)]).await;
    let shown = client(&daemon).task(TASK, false).await.unwrap();
    assert_eq!(shown.error.unwrap().code.name(), "MOON_TOO_FULL");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_time_does_not_heal_is_told_at_once_with_the_daemons_words() {
    let refusals = [
        ("409 Conflict", "CONFLICT", false, 409, ErrorCode::Conflict),
        ("422 Unprocessable", "INVALID_PARAMS", false, 422, ErrorCode::InvalidParams),
        ("503 Unavailable", "MODEL_NOT_AVAILABLE", false, 503, ErrorCode::ModelNotAvailable),
        ("507 Full", "STORAGE_FULL", true, 507, ErrorCode::StorageFull),
    ];
    for (line, code, retriable, wanted_status, wanted_code) in refusals {
        let daemon = daemon_with([reply(line, &["Retry-After: 1"], &error(code, retriable))]).await;
        let refused = client(&daemon).submit(&request(), None).await.unwrap_err();
        let ClientError::Refused { status, body, .. } = &refused else { panic!("{refused}") };
        assert_eq!((*status, daemon.asked().len()), (wanted_status, 1));
        assert_eq!(body.code, wanted_code);
        assert!(refused.to_string().contains(&format!("said {code}")), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn patience_with_a_busy_daemon_ends() {
    let daemon = daemon_with([busy(&["X-Backoff-Ms: 50000"])]).await;
    let start = Instant::now();
    let refused = client(&daemon).submit(&request(), None).await.unwrap_err();
    assert_eq!(refused.body().unwrap().code, ErrorCode::AdmissionReject);
    // A third pause would pass the two minutes.
    assert_eq!((daemon.asked().len(), start.elapsed().as_secs()), (3, 100));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_was_never_there_is_given_up_soon_and_one_that_was_late() {
    let daemon = daemon_with([reply("202 Accepted", &[], &accepted())]).await;
    let (met, unmet) = (client(&daemon), Client::new(config(&daemon)).unwrap());
    met.submit(&request(), None).await.unwrap();
    daemon.kill().await;
    for (client, wanted) in [(unmet, seconds(2)), (met, seconds(120))] {
        let start = Instant::now();
        let lost = client.submit(&request(), None).await.unwrap_err();
        assert!(lost.is_unreachable(), "{lost}");
        let waited = start.elapsed();
        assert!(waited >= wanted && waited < wanted + seconds(1), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_takes_a_request_and_says_nothing_is_asked_again() {
    let taken = reply("202 Accepted", &[], &accepted());
    let daemon = daemon_with([taken.clone(), vec![Step::Hold], taken]).await;
    let config = ClientConfig { answer_timeout_ms: 9_000, ..config(&daemon) };
    let client = Client::new(config).unwrap();
    for _submission in 0..2 {
        client.submit(&request(), None).await.unwrap();
    }
    let asked = daemon.asked();
    assert_eq!((asked.len(), (asked[2].at - asked[1].at).as_secs()), (3, 9));
}
