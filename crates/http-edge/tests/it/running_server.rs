//! A server on a free port, and raw requests to it.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::Path, routing};
use http_edge::{Access, Drained, EdgeCounters, EdgeOptions, JsonBody, RequestContext};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub(crate) struct RunningServer {
    pub(crate) addr: SocketAddr,
    pub(crate) counters: Arc<EdgeCounters>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: JoinSet<Drained>,
}

pub(crate) fn local() -> EdgeOptions {
    let allowed_origins = vec!["http://app.example:3000".to_owned()];
    EdgeOptions { allowed_origins, ..EdgeOptions::new(Access::Local) }
}

impl RunningServer {
    pub(crate) async fn start(options: EdgeOptions) -> Self {
        Self::start_with(routes(), options).await
    }

    pub(crate) async fn start_with(routes: Router, options: EdgeOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let counters = Arc::clone(&options.counters);
        let mut tasks = JoinSet::new();
        tasks.spawn(http_edge::serve(listener, routes, options, stop.clone()));
        Self { addr, counters, stop, tasks }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Sends `head` (lines parted by LF, without the blank one) and `body` on a connection of its own.
    pub(crate) async fn ask(&self, head: &str, body: &str) -> Answer {
        let mut stream = self.connect().await;
        send(&mut stream, head, body).await;
        Answer::read(&mut stream).await
    }

    /// `GET path` with the usual host.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\nHost: localhost"), "").await
    }

    /// `POST path` with a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let bytes = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: {bytes}"
        );
        self.ask(&head, body).await
    }
}

pub(crate) async fn send(stream: &mut TcpStream, head: &str, body: &str) {
    let text = format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n"));
    stream.write_all(text.as_bytes()).await.unwrap();
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let head_bytes = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let read = stream.read_buf(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
        };
        let head = String::from_utf8(bytes[..head_bytes].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: String::new() };
        let body_bytes: usize =
            answer.header("content-length").map_or(0, |value| value.parse().unwrap());
        while bytes.len() < head_bytes + body_bytes {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the body ends early");
        }
        answer.body = String::from_utf8(bytes[head_bytes..].to_vec()).unwrap();
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Checks that this is an error of this crate's one shape, with its correlation id.
    pub(crate) fn assert_error(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let body = self.json();
        assert_eq!(body["code"], code, "{self:?}");
        assert_eq!(body["correlation_id"], self.header("x-correlation-id").unwrap(), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()));
        assert!(body["retriable"].is_boolean());
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Sum {
    a: u32,
    b: u32,
}

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/healthz", routing::get(async || "ok"))
        .route("/v2/hello", routing::get(async || "hello").post(async || "posted"))
        .route("/v2/none", routing::get(async || http::StatusCode::NO_CONTENT))
        .route("/v2/number/{n}", routing::get(async |Path(n): Path<u64>| n.to_string()))
        .route("/v2/panic", routing::get(panicking))
        .route(
            "/v2/sum",
            routing::post(async |JsonBody(Sum { a, b }): JsonBody<Sum>| (a + b).to_string()),
        )
        .route(
            "/v2/task",
            routing::post(async |JsonBody(_): JsonBody<api_types::TaskRequest>| "taken"),
        )
        .route(
            "/v2/who",
            routing::get(async |axum::Extension(context): axum::Extension<RequestContext>| {
                format!("{} {}", context.identity.as_str(), context.correlation_id)
            }),
        )
}

async fn panicking() -> &'static str {
    panic!("a test's own panic")
}
