use api_types::{BodyProblem, ErrorBody, ErrorCode};
use serde::Serialize;

/// An error as the OpenAI API shows it (ORCH-243).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacadeError {
    /// The HTTP status, where the answer has not begun.
    pub status: u16,
    pub body: ErrorEnvelope,
    /// For the header `x-should-retry`: without it the official client retries by status alone.
    pub should_retry: bool,
}

/// The body of an error, and the data of the last event of a stream that broke off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorEnvelope {
    pub error: ErrorObject,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorObject {
    pub message: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The parameter at fault, as the client named it.
    pub param: Option<String>,
    /// The native code, except `model_not_found`, `context_length_exceeded` and `content_filter`.
    pub code: String,
}

/// Why a body is not a request that is served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestProblem {
    /// The text is not a JSON object.
    #[error(transparent)]
    Body(#[from] BodyProblem),
    /// A parameter is missing, has a value that is not taken, is unknown or is not served.
    #[error("`{param}`: {message}")]
    Param {
        /// Path such as `messages[0].content[1].type`, or a header's name.
        param: String,
        message: String,
    },
}

impl RequestProblem {
    pub(crate) fn param(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Param { param: param.into(), message: message.into() }
    }

    /// The native error, for logs and for [`facade_error`].
    #[must_use]
    pub fn error_body(&self, correlation_id: impl Into<String>) -> ErrorBody {
        let (code, field) = match self {
            Self::Body(BodyProblem::Malformed { .. }) => (ErrorCode::MalformedJson, None),
            Self::Body(BodyProblem::Schema { field, .. }) => {
                (ErrorCode::InvalidParams, Some(field.clone()).filter(|field| field != "."))
            }
            Self::Param { param, .. } => (ErrorCode::InvalidParams, Some(param.clone())),
        };
        ErrorBody { field, ..ErrorBody::new(code, self.to_string(), correlation_id) }
    }
}

/// The facade's view of a native error. `status` is that of the native answer, where there is one that
/// differs from the code's own.
#[must_use]
pub fn facade_error(native: &ErrorBody, status: Option<u16>) -> FacadeError {
    let status = match status.unwrap_or_else(|| status_of(native.code)) {
        422 => 400,
        410 => 404,
        other => other,
    };
    let error = ErrorObject {
        message: native.message.clone(),
        kind: kind_of(status),
        param: native.field.as_deref().map(param_of),
        code: code_of(native.code),
    };
    FacadeError { status, body: ErrorEnvelope { error }, should_retry: native.retriable }
}

/// The status of a code, of outcomes of tasks too.
fn status_of(code: ErrorCode) -> u16 {
    code.status().unwrap_or(match code {
        ErrorCode::QueueFullDropLru => 429,
        ErrorCode::DeadlineExceeded => 504,
        // A blocked prompt is the request's fault (ORCH-318).
        ErrorCode::GuardBlocked => 400,
        _ => 503,
    })
}

/// The `type` that goes with a status; the official client chooses its exception by the status.
fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

fn code_of(code: ErrorCode) -> String {
    match code {
        ErrorCode::ModelNotFound => "model_not_found".to_owned(),
        ErrorCode::ContextExceeded => "context_length_exceeded".to_owned(),
        ErrorCode::GuardBlocked => "content_filter".to_owned(),
        other => match serde_json::to_value(other) {
            Ok(serde_json::Value::String(name)) => name,
            _ => unreachable!("a code is a name"),
        },
    }
}

/// The facade's name of a native field.
fn param_of(field: &str) -> String {
    match field {
        "model_ref" => "model".to_owned(),
        other if other.starts_with("inputs") => other.replacen("inputs", "input", 1),
        other => other.strip_prefix("sampling.").unwrap_or(other).to_owned(),
    }
}
