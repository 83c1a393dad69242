use std::sync::Arc;

use axum::{Router, routing};
use http_edge::Drained;
use tokio::sync::Notify;

use crate::running_server::{Answer, RunningServer, local, send};

struct Held {
    entered: Arc<Notify>,
    release: Arc<Notify>,
}

fn held_route() -> (Router, Held) {
    let held = Held { entered: Arc::default(), release: Arc::default() };
    let (entered, release) = (Arc::clone(&held.entered), Arc::clone(&held.release));
    let handler = async move || {
        entered.notify_one();
        release.notified().await;
        "released"
    };
    (Router::new().route("/v2/held", routing::get(handler)), held)
}

/// Verifies: ORCH-272
#[tokio::test]
async fn open_requests_end_before_the_server_does() {
    let (routes, held) = held_route();
    let mut server = RunningServer::start_with(routes, local()).await;
    let mut stream = server.connect().await;
    let idle = server.connect().await;
    send(&mut stream, "GET /v2/held HTTP/1.1\nHost: localhost", "").await;
    held.entered.notified().await;
    server.stop.cancel();
    while tokio::net::TcpStream::connect(server.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    held.release.notify_one();
    let answer = Answer::read(&mut stream).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "released"));
    assert_eq!(server.tasks.join_next().await.unwrap().unwrap(), Drained { cut_off: 0 });
    drop(idle);
}

#[tokio::test]
async fn requests_that_do_not_end_are_cut_off_at_the_deadline() {
    let (routes, held) = held_route();
    let mut options = local();
    options.limits.drain_deadline_ms = 50;
    let mut server = RunningServer::start_with(routes, options).await;
    let mut stream = server.connect().await;
    send(&mut stream, "GET /v2/held HTTP/1.1\nHost: localhost", "").await;
    held.entered.notified().await;
    server.stop.cancel();
    assert_eq!(server.tasks.join_next().await.unwrap().unwrap(), Drained { cut_off: 1 });
    assert_eq!(server.counters.connections_open(), 0);
}
