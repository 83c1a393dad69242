use client::{ClientError, StreamFault, TaskEvent};
use serde_json::json;

use crate::{
    canned_daemon::{CannedDaemon, Reply, Step, broken_stream, nothing_left, stream, write},
    wire::{TASK, client, end, error, event, started, token},
};

/// What comes before the fault, and the fault, where the daemon gives these replies in turn.
async fn fault(replies: impl IntoIterator<Item = Reply>) -> (Vec<TaskEvent>, StreamFault) {
    let mut replies: Vec<Reply> = replies.into_iter().collect();
    replies.reverse();
    let daemon = CannedDaemon::start(move |_| replies.pop().unwrap()).await;
    let mut stream = client(&daemon).events(TASK, 0);
    let mut events = Vec::new();
    loop {
        match stream.next().await {
            Ok(Some(event)) => events.push(event),
            Err(ClientError::Stream { fault, .. }) => {
                assert_eq!(stream.next().await.unwrap(), None, "a fault is the end");
                return (events, fault);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn text(parts: &[&str]) -> Reply {
    stream([write(&parts.concat()), Step::Hold])
}

#[tokio::test(start_paused = true)]
async fn a_missing_event_is_a_fault() {
    let (events, fault) = fault([text(&[&started(), &token(2, "a"), &token(4, "c")])]).await;
    assert_eq!(events.len(), 2);
    assert!(matches!(fault, StreamFault::Gap { expected: 3, found: 4 }), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_event_is_a_fault() {
    let (events, fault) = fault([text(&[&started(), &token(2, "a"), &token(2, "a")])]).await;
    assert_eq!(events.len(), 2);
    assert!(matches!(fault, StreamFault::Repeated { last: 2, found: 2 }), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_again_on_a_new_connection_is_a_fault() {
    let once = [started(), token(2, "a")].concat();
    let (events, fault) = fault([broken_stream(once.as_bytes()), text(&[&once, &end(3)])]).await;
    assert_eq!(events.len(), 2);
    assert!(matches!(fault, StreamFault::Repeated { last: 2, found: 1 }), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn only_the_error_that_says_so_may_come_after_a_gap() {
    let mismatch = event(900, "error", &error("CONTINUATION_MISMATCH", true));
    let replies = text(&[&started(), &mismatch]);
    let daemon = CannedDaemon::start(move |_| replies.clone()).await;
    let mut stream = client(&daemon).events(TASK, 0);
    stream.next().await.unwrap().unwrap();
    let last = stream.next().await.unwrap().unwrap();
    assert_eq!((last.id, last.body.is_terminal()), (Some(900), true));

    let lost = event(900, "error", &error("WORKER_RESET", true));
    let (_, fault) = fault([text(&[&started(), &lost])]).await;
    assert!(matches!(fault, StreamFault::Gap { expected: 2, found: 900 }), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_stored_event_without_an_id_is_a_fault() {
    let data = json!({"i": 0, "t": "a", "n": 1});
    let unnumbered = format!("event: token\ndata: {data}\n\n");
    let (_, fault) = fault([text(&[&unnumbered])]).await;
    assert!(matches!(fault, StreamFault::IdMissing { .. }), "{fault}");
    let (_, fault) = self::fault([text(&[&started(), &unnumbered])]).await;
    assert!(matches!(fault, StreamFault::Repeated { .. }), "{fault}");
    let (_, fault) = self::fault([text(&["id: x\n", &unnumbered])]).await;
    assert!(matches!(fault, StreamFault::Id { .. }), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_last_event_that_never_comes_is_a_fault() {
    let (events, fault) = fault([broken_stream(started().as_bytes()), nothing_left()]).await;
    assert_eq!(events.len(), 1);
    assert!(matches!(fault, StreamFault::NoEnd), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_stream_is_a_fault() {
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi";
    let (_, fault) = fault([vec![write(page)]]).await;
    assert!(matches!(fault, StreamFault::NotEvents { .. }), "{fault}");
    let (_, fault) = self::fault([text(&[&event(1, "started", &json!({"task_id": 1}))])]).await;
    assert!(matches!(fault, StreamFault::Data { .. }), "{fault}");
    let endless = "x".repeat(5 << 20);
    let (_, fault) = self::fault([text(&["data: ", &endless])]).await;
    assert!(matches!(fault, StreamFault::Framing(_)), "{fault}");
}
