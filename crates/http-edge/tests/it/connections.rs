use std::convert::Infallible;

use axum::{Router, body::Body, routing};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};

use crate::running_server::{Answer, RunningServer, local, send};

/// Whether the server has ended the connection without a word.
async fn is_closed(mut stream: TcpStream) -> bool {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes).await {
        Ok(_) => bytes.is_empty(),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// Verifies: ORCH-274
#[tokio::test]
async fn heads_over_the_limits_are_431_with_the_one_shape() {
    let server = RunningServer::start(local()).await;
    let with = |fields: usize, bytes: usize| {
        let mut head = "GET /v2/hello HTTP/1.1\nHost: localhost".to_owned();
        for index in 1..fields {
            head += &format!("\nX-{index:02}: {}", "x".repeat(bytes));
        }
        head
    };
    assert_eq!(server.ask(&with(64, 1), "").await.status, 200);
    server.ask(&with(65, 1), "").await.assert_error(431, "HEADERS_TOO_LARGE");
    assert_eq!(server.ask(&with(2, 16_000), "").await.status, 200);
    server.ask(&with(2, 16_400), "").await.assert_error(431, "HEADERS_TOO_LARGE");
}

#[tokio::test]
async fn heads_far_over_the_limits_are_refused_by_the_library() {
    let server = RunningServer::start(local()).await;
    let many = format!("GET /v2/hello HTTP/1.1\nHost: localhost{}", "\nX: y".repeat(200));
    assert_eq!(server.ask(&many, "").await.status, 431);
    let large = format!("GET /v2/hello HTTP/1.1\nHost: localhost\nX: {}", "y".repeat(70_000));
    assert_eq!(server.ask(&large, "").await.status, 431);
}

/// Verifies: ORCH-274
#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let mut options = local();
    options.limits.connections_max = 2;
    let server = RunningServer::start(options).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        send(&mut stream, "GET /v2/hello HTTP/1.1\nHost: localhost", "").await;
        assert_eq!(Answer::read(&mut stream).await.status, 200);
        held.push(stream);
    }
    assert_eq!(server.counters.connections_open(), 2);
    assert!(is_closed(server.connect().await).await);
    assert_eq!(server.counters.connections_refused(), 1);
    drop(held);
    while server.counters.connections_open() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.get("/v2/hello").await.status, 200);
}

/// Verifies: ORCH-285
#[tokio::test]
async fn limits_and_origins_change_while_connections_are_open() {
    let mut options = local();
    options.limits.connections_max = 1;
    let (mut limits, control) = (options.limits.clone(), options.control.clone());
    let server = RunningServer::start(options).await;
    let mut held = server.connect().await;
    let page = "GET /v2/hello HTTP/1.1\nHost: localhost\nOrigin: http://other.example:1";
    send(&mut held, page, "").await;
    Answer::read(&mut held).await.assert_error(403, "HOST_NOT_ALLOWED");
    assert!(is_closed(server.connect().await).await);
    limits.connections_max = 2;
    limits.headers_max = 2;
    control.set(limits, vec!["http://other.example:1".to_owned()]);
    // The open connection goes on, under the new rules.
    send(&mut held, page, "").await;
    assert_eq!(Answer::read(&mut held).await.status, 200);
    send(&mut held, &format!("{page}\nX: y"), "").await;
    Answer::read(&mut held).await.assert_error(431, "HEADERS_TOO_LARGE");
    assert_eq!(server.get("/v2/hello").await.status, 200);
}

#[tokio::test]
async fn stalled_connections_hinder_nobody_and_are_closed() {
    let mut options = local();
    options.limits.head_read_timeout_ms = 100;
    let server = RunningServer::start(options).await;
    let mut stalled = Vec::new();
    for begun in
        ["", "P", "PRI * HTTP/2.0\r\n\r\n", "GET /v2/hello HT", "GET /v2/hello HTTP/1.1\r\nHost: "]
    {
        let mut stream = server.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        stalled.push(stream);
    }
    assert_eq!(server.get("/v2/hello").await.body, "hello");
    for stream in stalled {
        assert!(is_closed(stream).await);
    }
}

#[tokio::test]
async fn http_2_is_spoken_without_tls() {
    drop(rustls::crypto::ring::default_provider().install_default()); // another test may have been first
    let server = RunningServer::start(local()).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let url = |path: &str| format!("http://{}{path}", server.addr);
    let answer = client.get(url("/v2/hello")).send().await.unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), "hello");
    for (path, status, code) in [("/v2/nowhere", 404, "NOT_FOUND"), ("/v2/panic", 500, "INTERNAL")]
    {
        let answer = client.get(url(path)).send().await.unwrap();
        assert_eq!(answer.status(), status);
        let id = answer.headers()["x-correlation-id"].to_str().unwrap().to_owned();
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!((&body["code"], &body["correlation_id"]), (&code.into(), &id.into()));
    }
    let foreign = client.get(url("/v2/hello")).header("host", "attacker.example").send().await;
    assert_eq!(foreign.unwrap().status(), 403);
}

/// Verifies: ORCH-071
#[tokio::test]
async fn each_piece_of_a_stream_is_sent_when_it_is_there() {
    let (pieces, received) = mpsc::channel::<Bytes>(1);
    let received = std::sync::Arc::new(std::sync::Mutex::new(Some(received)));
    let stream = move || {
        let mut received = received.lock().unwrap().take().unwrap();
        let pieces = futures_util::stream::poll_fn(move |cx| {
            received.poll_recv(cx).map(|piece| piece.map(Ok::<_, Infallible>))
        });
        std::future::ready(Body::from_stream(pieces))
    };
    let server =
        RunningServer::start_with(Router::new().route("/v2/stream", routing::get(stream)), local())
            .await;
    let mut connection = server.connect().await;
    send(&mut connection, "GET /v2/stream HTTP/1.1\nHost: localhost", "").await;
    let mut bytes = Vec::new();
    for piece in ["first", "second", "third"] {
        pieces.send(Bytes::from_static(piece.as_bytes())).await.unwrap();
        // The next piece is not there before this one has arrived.
        while !String::from_utf8_lossy(&bytes).contains(piece) {
            assert_ne!(connection.read_buf(&mut bytes).await.unwrap(), 0);
        }
    }
}

/// A body without end that says when it is dropped.
struct Endless(mpsc::Sender<()>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let frame = http_body::Frame::data(Bytes::from_static(&[b'x'; 8192]));
        std::task::Poll::Ready(Some(Ok(frame)))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

/// Verifies: ORCH-083
#[tokio::test]
async fn a_peer_that_does_not_read_loses_its_connection() {
    let (dropped, mut is_dropped) = mpsc::channel(1);
    let endless = move || async move { Body::new(Endless(dropped.clone())) };
    let routes = Router::new().route("/endless", routing::get(endless));
    let mut options = local();
    options.limits.write_timeout_ms = 50;
    let server = RunningServer::start_with(routes, options).await;
    let mut stream = server.connect().await;
    send(&mut stream, "GET /endless HTTP/1.1\nHost: localhost", "").await;
    // Nothing is read until the server has given up: its end of the stream is gone by then.
    is_dropped.recv().await.expect("the body is dropped");
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).await;
    assert!(bytes.starts_with(b"HTTP/1.1 200"), "{ended:?}");
}
