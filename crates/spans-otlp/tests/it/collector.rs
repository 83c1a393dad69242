use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    trace::v1::Span,
};
use prost::Message as _;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

/// What the collector does with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Take,
    /// Takes the request, and says that it does not want so many of the spans.
    TakeBut(i64),
    Answer(u16),
    /// Takes it once it is let go on.
    TakeLate,
    /// Never answers.
    Hang,
}

/// A collector on a port of its own; goes when dropped.
pub(crate) struct Collector {
    pub(crate) url: String,
    told: Arc<Told>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Told {
    acts: Mutex<VecDeque<Act>>,
    requests: Mutex<Vec<ExportTraceServiceRequest>>,
    late: Notify,
}

impl Collector {
    /// Acts as told, then takes everything.
    #[expect(clippy::disallowed_methods, reason = "the handle is aborted when the collector goes")]
    pub(crate) async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let told =
            Arc::new(Told { acts: Mutex::new(acts.into_iter().collect()), ..Told::default() });
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&told));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, told, serving }
    }

    /// The requests that came, those it did not take too.
    pub(crate) fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.told.requests.lock().unwrap().clone()
    }

    /// Waits until the first of them is there.
    pub(crate) async fn asked(&self) {
        for _ in 0..10_000 {
            if !self.requests().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("nobody asked");
    }

    /// Lets a late taker go on.
    pub(crate) fn let_go_on(&self) {
        self.told.late.notify_one();
    }

    /// Their spans.
    pub(crate) fn spans(&self) -> Vec<Span> {
        spans_of(&self.requests())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub(crate) fn spans_of(requests: &[ExportTraceServiceRequest]) -> Vec<Span> {
    let resources = requests.iter().flat_map(|request| &request.resource_spans);
    resources
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
        .cloned()
        .collect()
}

async fn take(State(told): State<Arc<Told>>, body: Bytes) -> (StatusCode, Vec<u8>) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    told.requests.lock().unwrap().push(request);
    let act = told.acts.lock().unwrap().pop_front().unwrap_or(Act::Take);
    let rejected_spans = match act {
        Act::Take => return (StatusCode::OK, Vec::new()),
        Act::TakeLate => {
            told.late.notified().await;
            return (StatusCode::OK, Vec::new());
        }
        Act::TakeBut(rejected) => rejected,
        Act::Answer(status) => return (StatusCode::from_u16(status).unwrap(), Vec::new()),
        Act::Hang => std::future::pending().await,
    };
    let partial_success =
        Some(ExportTracePartialSuccess { rejected_spans, error_message: String::new() });
    let answer = ExportTraceServiceResponse { partial_success };
    (StatusCode::OK, answer.encode_to_vec())
}
