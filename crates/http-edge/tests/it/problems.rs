use std::sync::Arc;

use api_types::ErrorCode;
use axum::{Router, body::Body, response::IntoResponse as _, routing};
use http::StatusCode;
use http_edge::Problem;

use crate::running_server::{Answer, RunningServer, local, send};

/// Verifies: ORCH-008, ORCH-002
#[tokio::test]
async fn unknown_paths_methods_and_unreadable_paths_have_the_one_shape() {
    let server = RunningServer::start(local()).await;
    server.get("/v2/nowhere").await.assert_error(404, "NOT_FOUND");
    server.get("/v3/hello").await.assert_error(404, "NOT_FOUND");
    server.get("/v2/number/x").await.assert_error(422, "INVALID_PARAMS");
    let wrong_method = server.ask("PUT /v2/hello HTTP/1.1\nHost: localhost", "").await;
    wrong_method.assert_error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(wrong_method.header("allow"), Some("GET,HEAD,POST"));
}

/// Verifies: ORCH-273
#[tokio::test]
async fn a_panic_is_the_500_of_its_request_alone() {
    let server = RunningServer::start(local()).await;
    let mut stream = server.connect().await;
    send(&mut stream, "GET /v2/panic HTTP/1.1\nHost: localhost", "").await;
    let answer = Answer::read(&mut stream).await;
    answer.assert_error(500, "INTERNAL");
    assert!(!answer.body.contains("a test's own panic"));
    send(&mut stream, "GET /v2/hello HTTP/1.1\nHost: localhost", "").await;
    assert_eq!(Answer::read(&mut stream).await.body, "hello");
    assert_eq!(server.counters.panics(), 1);
}

/// Verifies: ORCH-011
#[tokio::test]
async fn retriable_429_and_503_tell_how_long_to_wait() {
    let problem = |code: ErrorCode, retry_after_ms: Option<u64>| {
        routing::get(async move || Problem::new(code, "busy").with_retry(true, retry_after_ms))
    };
    let routes = Router::new()
        .route("/v2/full", problem(ErrorCode::AdmissionReject, Some(1_200)))
        .route("/v2/soon", problem(ErrorCode::AdmissionReject, Some(1)))
        .route("/v2/long", problem(ErrorCode::PoolUnready, Some(600_000)))
        .route("/v2/stop", problem(ErrorCode::ShuttingDown, None))
        .route(
            "/v2/never",
            routing::get(async || Problem::new(ErrorCode::ModelNotAvailable, "no")),
        );
    let server = RunningServer::start_with(routes, local()).await;
    for (path, status, seconds, ms) in [
        ("/v2/full", 429, "2", 1_200),
        ("/v2/soon", 429, "1", 1),
        ("/v2/long", 503, "60", 600_000),
        ("/v2/stop", 503, "1", 1_000),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("retry-after"), Some(seconds), "{path}");
        assert_eq!(answer.header("x-backoff-ms"), Some(ms.to_string().as_str()), "{path}");
        assert_eq!(answer.json()["retry_after_ms"], ms, "{path}");
    }
    let never = server.get("/v2/never").await;
    never.assert_error(503, "MODEL_NOT_AVAILABLE");
    assert_eq!(never.header("retry-after"), None);
}

#[tokio::test]
async fn a_renderer_gives_paths_of_its_own_another_shape() {
    let mut options = local();
    options.renderer = Some(Arc::new(|path, error, status| {
        path.starts_with("/v1/").then(|| {
            let text = format!("{} for {}", status.as_u16(), error.correlation_id);
            (StatusCode::IM_A_TEAPOT, Body::from(text)).into_response()
        })
    }));
    let server = RunningServer::start(options).await;
    let other =
        server.ask("GET /v1/nowhere HTTP/1.1\nHost: localhost\nX-Correlation-Id: c7", "").await;
    assert_eq!((other.status, other.body.as_str()), (418, "404 for c7"));
    assert_eq!(other.header("x-correlation-id"), Some("c7"));
    server.get("/v2/nowhere").await.assert_error(404, "NOT_FOUND");
}
