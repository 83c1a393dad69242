//! A server on loopback that a test tells what to answer, and fetchers that may reach it.

use std::{
    io,
    sync::{Arc, Mutex, Once},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, Response},
};
use bytes::Bytes;
use fetch::{Authority, EgressPolicy, FetchLimits, Fetcher, FileRequest};
use futures_util::{StreamExt as _, stream};
use tokio::{net::TcpListener, task::JoinSet};
use url::Url;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Where the range that was asked for begins.
    pub(crate) fn range_start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

pub(crate) struct TestServer {
    pub(crate) url: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
    _serving: JoinSet<()>, // dropping it ends the server
}

impl TestServer {
    pub(crate) async fn start(
        answer: impl Fn(&Asked) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        let router = Router::new().fallback(move |request: Request| {
            let path = request.uri().path().to_owned();
            let asked = Asked { path, headers: request.headers().clone() };
            log.lock().unwrap().push(asked.clone());
            let answer = Arc::clone(&answer);
            async move { answer(&asked) }
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, _serving: serving }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn at(&self, path: &str) -> Url {
        self.url.join(path).unwrap()
    }

    pub(crate) fn authority(&self) -> Authority {
        Authority::of(&self.url).unwrap()
    }

    /// A policy that lists this server.
    pub(crate) fn policy(&self) -> EgressPolicy {
        EgressPolicy {
            listed: vec![self.authority()],
            allow_plain_http_for_listed: true,
            ..EgressPolicy::default()
        }
    }

    pub(crate) fn fetcher(&self) -> Fetcher {
        fetcher(self.policy())
    }
}

pub(crate) fn fetcher(policy: EgressPolicy) -> Fetcher {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
    let limits = FetchLimits { retry_delay_ms: 1, retry_delay_ms_max: 2, ..FetchLimits::default() };
    Fetcher::new(policy, limits).unwrap()
}

pub(crate) fn request(url: Url, target: camino::Utf8PathBuf) -> FileRequest {
    FileRequest { url, credentials: None, target, expected_sha256: None, max_bytes: None }
}

pub(crate) fn text(status: u16, body: &str) -> Response<Body> {
    Response::builder().status(status).body(Body::from(body.to_owned())).unwrap()
}

pub(crate) fn redirect(to: &str) -> Response<Body> {
    Response::builder().status(302).header("location", to).body(Body::empty()).unwrap()
}

/// At most the first `sent` bytes, then the end of the connection.
pub(crate) fn cut_body(bytes: &[u8], sent: usize) -> Body {
    let sent = Bytes::copy_from_slice(&bytes[..sent]);
    let end = async {
        tokio::task::yield_now().await; // lets the server write out what it has
        Err(io::Error::other("cut"))
    };
    Body::from_stream(stream::iter([Ok(sent)]).chain(stream::once(end)))
}

/// Bytes that differ everywhere, so that a wrong offset is seen.
pub(crate) fn content(len: usize) -> Vec<u8> {
    (0_u32..).take(len).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}
