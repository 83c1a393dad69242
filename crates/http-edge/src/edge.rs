use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc};

use api_types::ErrorCode;
use axum::{
    Router,
    body::Bytes,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use http::{HeaderMap, Request};
use http_body::Body as HttpBody;
use narration::TraceContext;
use tower::Service as _;
use tracing::Instrument as _;

use crate::{
    Access, ClientIdentity, CorrelationId, EdgeLimits, EdgeOptions, Problem,
    access::Asked,
    audit::{Audit, Witness},
    control::Rules,
    correlation::{self, Place, place_of},
    cors::Grant,
    scope::ScopeRefused,
    token::Presented,
};

/// Bytes that a header field takes beside its name and value: colon, space and line end.
const FIELD_OVERHEAD_BYTES: usize = 4;

/// What handlers know of the request beside itself; an extension of each request.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Ties together everything that the request causes.
    pub correlation_id: CorrelationId,
    /// The request's own place in the client's trace, or in one that starts with it.
    pub trace: TraceContext,
    /// The client's place in that trace; `None` where the trace starts with the request.
    pub parent_span: Option<u64>,
    /// Who asks.
    pub identity: ClientIdentity,
    /// What is borne.
    pub limits: Arc<EdgeLimits>,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    pub(crate) is_tls: bool,
}

/// Everything between a connection and the routes.
pub(crate) struct Edge {
    router: Router,
    options: EdgeOptions,
    audit: Audit,
}

impl Edge {
    pub(crate) fn new(router: Router, mut options: EdgeOptions) -> Self {
        let origins = std::mem::take(&mut options.allowed_origins);
        options.control.begin(options.limits.clone(), origins);
        Self { router, options, audit: Audit::default() }
    }

    pub(crate) fn limits(&self) -> Arc<EdgeLimits> {
        Arc::clone(&self.options.control.rules().limits)
    }

    pub(crate) async fn answer<B>(&self, request: Request<B>, peer: Peer) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let correlation_id = CorrelationId::of(request.headers());
        let place = place_of(request.headers(), self.options.records_traces);
        // Of the highest level, so that it is there for whichever lines are told.
        let span =
            tracing::error_span!("request", %correlation_id, trace_id = place.trace.trace_id());
        self.answer_within(request, peer, correlation_id, place).instrument(span).await
    }

    async fn answer_within<B>(
        &self,
        request: Request<B>,
        peer: Peer,
        correlation_id: CorrelationId,
        place: Place,
    ) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let uri = request.uri().clone();
        let rules = self.options.control.rules();
        let grant = rules.cors.judge(request.headers());
        let is_preflight = grant.is_preflight(&request);
        let witness = Witness { peer: peer.addr, correlation_id: &correlation_id };
        let answer = match self.admit(&request, peer, witness, is_preflight, &rules) {
            Ok(_) if is_preflight => Grant::preflight(request.headers()),
            Ok(identity) => {
                self.route(request, identity, place, witness, Arc::clone(&rules.limits)).await
            }
            Err(problem) => problem.into_response(),
        };
        let mut answer = self.finish(answer, uri.path(), &correlation_id);
        grant.mark(answer.headers_mut());
        answer
    }

    async fn route<B>(
        &self,
        mut request: Request<B>,
        identity: ClientIdentity,
        place: Place,
        witness: Witness<'_>,
        limits: Arc<EdgeLimits>,
    ) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let path = request.uri().clone();
        request.extensions_mut().insert(RequestContext {
            correlation_id: witness.correlation_id.clone(),
            trace: place.trace,
            parent_span: place.parent_span,
            identity: identity.clone(),
            limits,
        });
        let routed = AssertUnwindSafe(self.router.clone().call(request)).catch_unwind();
        let mut answer = match routed.await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_panic) => {
                self.options.counters.count_panic();
                let correlation_id = witness.correlation_id;
                tracing::error!(event = "request_panicked", %correlation_id, path = path.path(), "a request panicked");
                Problem::internal().into_response()
            }
        };
        if answer.extensions_mut().remove::<ScopeRefused>().is_some() {
            self.options.counters.count_denied(ErrorCode::PolicyDenied);
            self.audit.failed(ErrorCode::PolicyDenied, &identity, witness);
        }
        answer
    }

    /// What is judged before the path is looked at, in the order of ORCH-037.
    fn admit<B: HttpBody>(
        &self,
        request: &Request<B>,
        peer: Peer,
        witness: Witness<'_>,
        is_preflight: bool,
        rules: &Rules,
    ) -> Result<ClientIdentity, Problem> {
        let headers = request.headers();
        let presented = Presented::of(headers);
        let asked = Asked {
            uri: request.uri(),
            headers,
            presented: &presented,
            allowed_origins: rules.cors.origins(),
            is_tls: peer.is_tls,
        };
        let access = self.options.gate.access();
        let identity = if is_preflight && matches!(*access, Access::Tokens(_)) {
            ClientIdentity::nobody() // browsers send preflights without the token
        } else {
            access.judge(&asked).inspect_err(|denied| {
                self.options.counters.count_denied(denied.body().code);
                self.audit.failed(denied.body().code, &presented.identity(), witness);
            })?
        };
        self.audit.succeeded(&identity, witness);
        check_headers(headers, &rules.limits)?;
        let body_bytes = request.body().size_hint().lower();
        let body_max_bytes = rules.limits.body_max_bytes;
        if body_bytes > body_max_bytes {
            return Err(too_large(body_max_bytes));
        }
        Ok(identity)
    }

    fn finish(&self, mut answer: Response, path: &str, correlation_id: &CorrelationId) -> Response {
        if let Some(problem) = Problem::of(&mut answer) {
            answer = problem.render(path, correlation_id, self.options.renderer.as_ref());
        }
        answer.headers_mut().insert(correlation::HEADER, correlation_id.header());
        answer
    }
}

fn check_headers(headers: &HeaderMap, limits: &EdgeLimits) -> Result<(), Problem> {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES
    };
    let block_bytes: usize = headers.iter().map(field).sum();
    let EdgeLimits { headers_max, header_max_bytes, .. } = *limits;
    if headers.len() <= headers_max && block_bytes <= header_max_bytes {
        return Ok(());
    }
    let message =
        format!("at most {headers_max} header fields with {header_max_bytes} bytes are taken");
    Err(Problem::new(ErrorCode::HeadersTooLarge, message))
}

pub(crate) fn too_large(limit_bytes: u64) -> Problem {
    let message = format!("the body is larger than {limit_bytes} bytes");
    Problem::new(ErrorCode::PayloadTooLarge, message)
}
