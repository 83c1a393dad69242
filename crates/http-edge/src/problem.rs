use api_types::{ErrorBody, ErrorCode, InvalidField};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::{CorrelationId, ErrorRenderer};

/// Back-off of errors that ask for one and do not say how long.
const RETRY_AFTER_MS_DEFAULT: u64 = 1000;

/// Longest `Retry-After`, in seconds (ORCH-011).
const RETRY_AFTER_S_MAX: u64 = 60;

const X_BACKOFF_MS: HeaderName = HeaderName::from_static("x-backoff-ms");

/// An error on its way to the client. The server gives it its correlation id and its shape; as a response by
/// itself it has a status and no body.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    status: StatusCode,
    body: Box<ErrorBody>,
    headers: HeaderMap,
}

impl Problem {
    /// An error with its code's own status and retriability. Codes that only end tasks have the status 503.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::from(ErrorBody::new(code, message, ""))
    }

    /// Something broke that the client cannot help. What it was belongs in the log.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            ErrorCode::Internal,
            "something went wrong; the log has more under the correlation id",
        )
    }

    /// With another status than the code's own.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With the path of the field at fault.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.body.field = Some(field.into());
        self
    }

    /// With numbers that the client may want.
    #[must_use]
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.body.details = Some(details);
        self
    }

    /// With an answer to whether trying again can help, and after how long.
    #[must_use]
    pub fn with_retry(mut self, retriable: bool, retry_after_ms: Option<u64>) -> Self {
        self.body.retriable = retriable;
        self.body.retry_after_ms = retry_after_ms;
        self
    }

    /// With a header that belongs to the error.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The status that it will have.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The error; its correlation id is set when it is sent.
    #[must_use]
    pub fn body(&self) -> &ErrorBody {
        &self.body
    }

    /// The problem that a response stands for: one that a handler or a layer of this crate returned, or an
    /// error of the router without an envelope.
    pub(crate) fn of(response: &mut Response) -> Option<Self> {
        if let Some(problem) = response.extensions_mut().remove::<Self>() {
            return Some(problem);
        }
        let status = response.status();
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let is_plain = content_type.is_none_or(|value| value.as_bytes().starts_with(b"text/plain"));
        let is_error = status.is_client_error() || status.is_server_error();
        (is_error && is_plain).then(|| {
            let mut problem = Self::of_status(status);
            // The router tells here which methods a path has.
            problem.headers.extend(
                response
                    .headers_mut()
                    .remove(header::ALLOW)
                    .map(|allowed| (header::ALLOW, allowed)),
            );
            problem
        })
    }

    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => {
                Self::new(ErrorCode::NotFound, "there is nothing at this path")
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(ErrorCode::MethodNotAllowed, "this path has other methods, see `Allow`")
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(ErrorCode::PayloadTooLarge, "the body is too large")
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(ErrorCode::UnsupportedMediaType, "send `Content-Type: application/json`")
            }
            status if status.is_client_error() => {
                Self::new(ErrorCode::InvalidParams, "the path or the query cannot be read")
            }
            _ => Self::internal(),
        }
    }

    pub(crate) fn render(
        mut self,
        path: &str,
        correlation_id: &CorrelationId,
        renderer: Option<&ErrorRenderer>,
    ) -> Response {
        self.body.correlation_id = correlation_id.as_str().to_owned();
        self.set_back_off();
        let rendered = renderer.and_then(|render| render(path, &self.body, self.status));
        let is_rendered = rendered.is_some();
        let mut response = rendered.unwrap_or_else(|| json(&self.body));
        if !is_rendered {
            *response.status_mut() = self.status;
        }
        response.headers_mut().extend(self.headers);
        response
    }

    fn set_back_off(&mut self) {
        let is_busy =
            matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        if self.body.retriable && is_busy {
            self.body.retry_after_ms.get_or_insert(RETRY_AFTER_MS_DEFAULT);
        }
        let Some(back_off_ms) = self.body.retry_after_ms else { return };
        let seconds = back_off_ms.div_ceil(1000).clamp(1, RETRY_AFTER_S_MAX);
        self.headers.insert(header::RETRY_AFTER, seconds.into());
        self.headers.insert(X_BACKOFF_MS, back_off_ms.into());
    }
}

impl From<ErrorBody> for Problem {
    fn from(body: ErrorBody) -> Self {
        let status = body.code.status().and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        Self { status, body: Box::new(body), headers: HeaderMap::new() }
    }
}

impl From<InvalidField> for Problem {
    fn from(invalid: InvalidField) -> Self {
        Self::new(ErrorCode::InvalidParams, invalid.to_string()).with_field(invalid.field)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

fn json(body: &ErrorBody) -> Response {
    let bytes = serde_json::to_vec(body).expect("an error is plain data");
    let mut response = Response::new(Body::from(bytes));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
