//! A server on loopback whose answers a test writes.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::HeaderName},
    response::{IntoResponse as _, Response},
};
use tokio::{net::TcpListener, task::JoinSet};

/// What was asked of the server.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: serde_json::Value,
}

/// An answer: status, headers, body.
pub(crate) type Answer = (u16, Vec<(&'static str, String)>, String);

type Respond = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// Ends with its last clone.
pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _serving: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(respond: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let provider = rustls::crypto::ring::default_provider();
        let _already_there = provider.install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let state = (Arc::new(respond) as Respond, Arc::clone(&asked));
        let router = Router::new().fallback(answer).with_state(state);
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, _serving: serving }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(
    State((respond, log)): State<(Respond, Arc<Mutex<Vec<Asked>>>)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let asked = Asked {
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let (status, headers, body) = respond(&asked);
    log.lock().unwrap().push(asked);
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
    }
    response
}
