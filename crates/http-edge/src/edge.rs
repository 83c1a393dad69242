use std::{panic::AssertUnwindSafe, sync::Arc};

use api_types::ErrorCode;
use axum::{
    Router,
    body::Bytes,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use http::{HeaderMap, Request};
use http_body::Body as HttpBody;
use tower::Service as _;

use crate::{
    ClientIdentity, CorrelationId, EdgeLimits, EdgeOptions, Problem, access::Asked, correlation,
    token::Presented,
};

/// Bytes that a header field takes beside its name and value: colon, space and line end.
const FIELD_OVERHEAD_BYTES: usize = 4;

/// What handlers know of the request beside itself; an extension of each request.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Ties together everything that the request causes.
    pub correlation_id: CorrelationId,
    /// Who asks.
    pub identity: ClientIdentity,
    /// What is borne.
    pub limits: Arc<EdgeLimits>,
}

/// Everything between a connection and the routes.
pub(crate) struct Edge {
    router: Router,
    options: EdgeOptions,
    limits: Arc<EdgeLimits>,
}

impl Edge {
    pub(crate) fn new(router: Router, options: EdgeOptions) -> Self {
        let limits = Arc::new(options.limits.clone());
        Self { router, options, limits }
    }

    pub(crate) fn limits(&self) -> &EdgeLimits {
        &self.limits
    }

    pub(crate) async fn answer<B>(&self, mut request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let correlation_id = CorrelationId::of(request.headers());
        let uri = request.uri().clone();
        let answer = match self.admit(&request) {
            Ok(identity) => {
                request.extensions_mut().insert(RequestContext {
                    correlation_id: correlation_id.clone(),
                    identity,
                    limits: Arc::clone(&self.limits),
                });
                let routed = AssertUnwindSafe(self.router.clone().call(request)).catch_unwind();
                match routed.await {
                    Ok(Ok(response)) => response,
                    Ok(Err(never)) => match never {},
                    Err(_panic) => {
                        self.options.counters.count_panic();
                        tracing::error!(%correlation_id, path = uri.path(), "a request panicked");
                        Problem::internal().into_response()
                    }
                }
            }
            Err(problem) => problem.into_response(),
        };
        self.finish(answer, uri.path(), &correlation_id)
    }

    /// What is judged before the path is looked at, in the order of ORCH-037.
    fn admit<B: HttpBody>(&self, request: &Request<B>) -> Result<ClientIdentity, Problem> {
        let headers = request.headers();
        let presented = Presented::of(headers);
        let asked = Asked {
            uri: request.uri(),
            headers,
            presented: &presented,
            allowed_origins: &self.options.allowed_origins,
            is_tls: false,
        };
        let judged = self.options.gate.access().judge(&asked);
        let identity = judged.inspect_err(|_denied| self.options.counters.count_denied())?;
        self.check_headers(headers)?;
        let body_bytes = request.body().size_hint().lower();
        if body_bytes > self.limits.body_max_bytes {
            return Err(too_large(self.limits.body_max_bytes));
        }
        Ok(identity)
    }

    fn check_headers(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES
        };
        let block_bytes: usize = headers.iter().map(field).sum();
        let EdgeLimits { headers_max, header_max_bytes, .. } = *self.limits;
        if headers.len() <= headers_max && block_bytes <= header_max_bytes {
            return Ok(());
        }
        let message =
            format!("at most {headers_max} header fields with {header_max_bytes} bytes are taken");
        Err(Problem::new(ErrorCode::HeadersTooLarge, message))
    }

    fn finish(&self, mut answer: Response, path: &str, correlation_id: &CorrelationId) -> Response {
        if let Some(problem) = Problem::of(&mut answer) {
            answer = problem.render(path, correlation_id, self.options.renderer.as_ref());
        }
        answer.headers_mut().insert(correlation::HEADER, correlation_id.header());
        answer
    }
}

pub(crate) fn too_large(limit_bytes: u64) -> Problem {
    let message = format!("the body is larger than {limit_bytes} bytes");
    Problem::new(ErrorCode::PayloadTooLarge, message)
}
