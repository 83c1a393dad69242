use std::{sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http_edge::Problem;
use orchestrator_metrics::DaemonMetrics;
use tokio::time::Instant;

use crate::state::AppState;

/// The metrics.
///
/// OpenMetrics text; `contracts/generated/metrics.json` lists what stands on it. A scrape changes nothing.
// The page is made on another thread than the one that tokens go through.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "meta",
    operation_id = "get_metrics",
    responses((
        status = 200,
        description = "All metrics as they stand.",
        body = String,
        content_type = "application/openmetrics-text",
        example = "# TYPE orchd_sse_subscribers gauge\norchd_sse_subscribers 0\n# EOF\n"
    ))
)]
pub(super) async fn page(State(state): State<AppState>) -> Result<Response, Problem> {
    let scrape = state.scrape;
    let orchestrator = state.orchestrator;
    let page = tokio::task::spawn_blocking(move || scrape.page(&orchestrator)).await;
    match page {
        Ok(Ok(text)) => {
            let text_type = HeaderValue::from_static(::metrics::CONTENT_TYPE);
            Ok(([(CONTENT_TYPE, text_type)], text).into_response())
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the metrics cannot be written");
            Err(Problem::internal())
        }
        Err(error) => {
            tracing::error!(%error, "writing the metrics panicked");
            Err(Problem::internal())
        }
    }
}

/// Measures requests that reached the router, up to the head of their answer.
pub(super) async fn measure(
    State(metrics): State<Arc<DaemonMetrics>>,
    request: Request,
    next: Next,
) -> Response {
    let mut open = OpenRequest {
        route: request.extensions().get::<MatchedPath>().cloned(),
        method: request.method().to_string(),
        began: Instant::now(),
        metrics,
        is_answered: false,
    };
    let response = next.run(request).await;
    open.is_answered = true;
    open.count(response.status());
    response
}

struct OpenRequest {
    route: Option<MatchedPath>,
    method: String,
    began: Instant,
    metrics: Arc<DaemonMetrics>,
    is_answered: bool,
}

impl OpenRequest {
    fn count(&self, status: StatusCode) {
        let route = self.route.as_ref().map(MatchedPath::as_str);
        let took: Duration = self.began.elapsed();
        self.metrics.http_request(route, &self.method, status.as_u16(), took);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        // A client that left is nobody's answer; what a panic becomes is known.
        if !self.is_answered && std::thread::panicking() {
            self.count(StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
}
