use std::time::Duration;

use api_types::{BodyProblem, ErrorCode, TaskRequest, parse_json};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
};
use bytes::{BufMut as _, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;

use crate::{EdgeLimits, Problem, RequestContext, edge::too_large};

/// A body that is one JSON object, as a handler's argument.
#[derive(Debug, Clone)]
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read_json(request).await.map(Self)
    }
}

/// Reads the body of a request that came through [`crate::serve`] as one JSON object.
///
/// # Errors
/// 415 for another media type, 413 and 408 beyond the limits, 400 for text that is not JSON, 422 for JSON
/// that does not fit (ORCH-007, ORCH-008, ORCH-274).
pub async fn read_json<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let body = read_body(request).await?;
    parse_json(&body).map_err(problem_of_body)
}

/// Reads the JSON body of a request that came through [`crate::serve`] without looking into it.
///
/// # Errors
/// 415 for another media type, 413 and 408 beyond the limits, 400 where it ends too early.
pub async fn read_body(request: Request) -> Result<Bytes, Problem> {
    let limits = request.extensions().get::<RequestContext>().map_or_else(
        || EdgeLimits::default().into(),
        |context| std::sync::Arc::clone(&context.limits),
    );
    check_media_type(request.headers())?;
    let read = collect(request.into_body(), limits.body_max_bytes);
    match tokio::time::timeout(Duration::from_millis(limits.body_read_timeout_ms), read).await {
        Ok(result) => result,
        Err(_elapsed) => {
            let message =
                format!("the body did not arrive within {} ms", limits.body_read_timeout_ms);
            Err(Problem::new(ErrorCode::RequestTimeout, message))
        }
    }
}

/// The answer to a body that cannot be read. Fields of the API that this build does not serve yet are named
/// as such (ORCH-022).
#[must_use]
pub fn problem_of_body(problem: BodyProblem) -> Problem {
    let message = problem.to_string();
    match problem {
        BodyProblem::Malformed { line, column, .. } => {
            let details = serde_json::json!({ "line": line, "column": column });
            Problem::new(ErrorCode::MalformedJson, message).with_details(details)
        }
        BodyProblem::Schema { field, message: about } => {
            let is_unknown = about.starts_with("unknown field");
            let message = if is_unknown && TaskRequest::is_unserved_field(&field) {
                format!("`{field}` is not served by this build")
            } else if is_unknown && TaskRequest::is_sampling_field(&field) {
                format!("`{field}` is not known here; in a task it stands in `sampling`")
            } else {
                message
            };
            Problem::new(ErrorCode::InvalidParams, message).with_field(field)
        }
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let (essence, parameters) =
        value.map_or(("", ""), |value| value.split_once(';').unwrap_or((value, "")));
    let is_utf8 = parameters.split(';').all(|parameter| {
        let charset = parameter.trim().split_once('=');
        charset.is_none_or(|(name, value)| {
            !name.eq_ignore_ascii_case("charset")
                || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    });
    if essence.trim().eq_ignore_ascii_case("application/json") && is_utf8 {
        return Ok(());
    }
    let message = "send the body as UTF-8 with `Content-Type: application/json`";
    Err(Problem::new(ErrorCode::UnsupportedMediaType, message))
}

async fn collect(mut body: Body, limit_bytes: u64) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "a body ended early");
            Problem::new(
                ErrorCode::MalformedJson,
                "the body ends early or is not framed as HTTP wants",
            )
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let total = first.len() + rest.len() + data.len();
        if u64::try_from(total).is_ok_and(|total| total > limit_bytes) {
            return Err(too_large(limit_bytes));
        }
        if first.is_empty() {
            first = data; // most bodies arrive in one piece, which then is not copied
        } else {
            rest.put(data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.put(first);
    whole.put(rest);
    Ok(whole.freeze())
}
