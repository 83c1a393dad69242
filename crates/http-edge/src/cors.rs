use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};

/// Methods that pages may use.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");

/// Headers of answers that pages may read beside those that every page may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Allow, ETag, Idempotency-Replayed, Location, Retry-After, WWW-Authenticate, X-Backoff-Ms, \
     X-Budget-Cost-Remaining, X-Budget-Time-Remaining-Ms, X-Budget-Tokens-Remaining, X-Correlation-Id, \
     X-Request-Id, X-Should-Retry, X-Task-Id",
);

/// How long a browser may rely on the answer to a preflight, in seconds.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("600");

/// What pages of other origins may do (the CORS protocol of the Fetch standard): those of the listed origins
/// everything that their token opens, all others nothing. Cookies are never involved.
#[derive(Default)]
pub(crate) struct Cors {
    origins: Vec<String>,
}

/// What the answers to one request say to browsers.
pub(crate) enum Grant {
    /// The protocol is off, and answers say nothing of it.
    Off,
    /// Nothing is allowed, and caches are told that it depends on the origin.
    Nothing,
    /// The origin may read the answer.
    To(HeaderValue),
}

impl Cors {
    pub(crate) fn new(origins: Vec<String>) -> Self {
        Self { origins }
    }

    pub(crate) fn origins(&self) -> &[String] {
        &self.origins
    }

    pub(crate) fn judge(&self, headers: &HeaderMap) -> Grant {
        if self.origins.is_empty() {
            return Grant::Off;
        }
        let mut given = headers.get_all(header::ORIGIN).iter();
        match (given.next(), given.next()) {
            (Some(origin), None) if self.origins.iter().any(|listed| listed == origin) => {
                Grant::To(origin.clone())
            }
            _ => Grant::Nothing,
        }
    }
}

impl Grant {
    /// Whether the request only asks whether a page may send another one. It never carries a token.
    pub(crate) fn is_preflight<B>(&self, request: &Request<B>) -> bool {
        matches!(self, Self::To(_))
            && request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The answer to a preflight: the same for each path, which stays unknown to whoever has no token.
    pub(crate) fn preflight(asked: &HeaderMap) -> Response {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
        // Client libraries add headers of their own; a page that may send a token may send them.
        if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        headers.append(
            header::VARY,
            HeaderValue::from_static(
                "Access-Control-Request-Method, Access-Control-Request-Headers",
            ),
        );
        answer
    }

    pub(crate) fn mark(self, headers: &mut HeaderMap) {
        if matches!(self, Self::Off) {
            return;
        }
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Self::To(origin) = self {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}
