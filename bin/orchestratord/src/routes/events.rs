use api_types::{ErrorCode, EventKind, InvalidField};
use axum::{
    Extension,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use http_edge::{Problem, RequestContext};
use orchestrator::{EventStoreError, Refusal, Subscribed};

use super::tasks::task_id;
use crate::{
    event_stream::{EventStream, Shape, opening},
    openapi::{examples, sse_events},
    query::{Query, named_header},
    state::{AppState, problem},
};

/// Follow a task's events.
///
/// An event stream (`text/event-stream`) from the first event, or from behind `Last-Event-ID`; it ends with the
/// event `end` or `error`. Stored events have ids from 1 without gaps, and equal ids mean equal bytes for ever.
/// Comments come while nothing else does. To follow on after a break, ask again with the last id.
#[utoipa::path(
    get,
    path = "/v2/tasks/{id}/events",
    tag = "tasks",
    operation_id = "follow_task",
    params(
        ("id" = String, Path, description = "Id of the task.", example = json!(examples::TASK_ID)),
        ("Last-Event-ID" = Option<u64>, Header, description = "Only events behind this one are sent."),
        ("after" = Option<u64>, Query, description = "The same; where both are given the greater one counts."),
        (
            "error_event" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,64}$",
            description = "Another name for the event `error`, which browsers take for their own.",
            example = json!("failure")
        ),
    ),
    responses(
        (
            status = 200,
            description = "The events.",
            content_type = "text/event-stream",
            body = String,
            headers(
                ("Cache-Control" = String, description = "`no-cache`."),
                ("X-Accel-Buffering" = String, description = "`no`, so that proxies pass events on at once."),
            ),
            example = json!(examples::events()),
        ),
        (status = 204, description = "The task has ended, and nothing is left behind the given id."),
    ),
    extensions(("x-sse-events" = json!(sse_events())), ("x-error-codes" = json!([
        ErrorCode::NotFound,
        ErrorCode::Conflict,
        ErrorCode::EventsGone,
        ErrorCode::InvalidParams,
        ErrorCode::TooManyStreams,
        ErrorCode::ShuttingDown,
    ])))
)]
pub(super) async fn events(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let refused = |refusal: Refusal| problem(&refusal, context.correlation_id.as_str());
    let wish = Wish::read(query.as_deref(), &headers).map_err(|field| refused(field.into()))?;
    let id = task_id(&id).map_err(refused)?;
    let (row, _) = state.task_for(&context.identity, id).await.map_err(refused)?;
    let subscription = match state.orchestrator.subscribe(id, wish.after).await {
        Ok(Subscribed::Stream(subscription)) => subscription,
        Ok(Subscribed::NothingLeft) => return Ok(StatusCode::NO_CONTENT.into_response()),
        // Browsers give up on any other status; this one they come back from.
        Err(Refusal::TooManyStreams { .. }) if wish.is_resuming => {
            return Ok(stream_response(Body::from(opening())));
        }
        Err(refusal) => return Err(refused(refusal)),
    };
    let preparing = state.clone();
    let model_id = row.spec.model_id.clone();
    let preparation = Box::new(move || preparing.orchestrator.preparation(&model_id));
    let shape = Shape::Native { error_event: wish.error_event };
    let stream = EventStream::new(subscription, shape, *state.pace.get(), preparation);
    let stream = stream.read_ahead().map_err(|error| unreadable(&error))?;
    Ok(stream_response(Body::new(stream)))
}

/// A client that came back for damaged events would come back for ever if the stream just ended.
fn unreadable(error: &EventStoreError) -> Problem {
    tracing::error!(%error, "a task's events cannot be read");
    match error {
        EventStoreError::Damaged { .. } | EventStoreError::Lost { .. } => {
            let message =
                "these events were damaged on disk; the task's own page still tells its end";
            Problem::new(ErrorCode::EventsGone, message)
        }
        EventStoreError::Full | EventStoreError::Io { .. } => Problem::internal(),
    }
}

/// What a subscriber asks for.
struct Wish {
    after: u64,
    is_resuming: bool,
    error_event: String,
}

impl Wish {
    fn read(query: Option<&str>, headers: &HeaderMap) -> Result<Self, InvalidField> {
        let query = Query::read(query, &["after", "error_event"])?;
        let id = |text: &str, field: &str| {
            text.parse::<u64>().map_err(|_form| InvalidField::new(field, "allowed: an event id"))
        };
        let header = named_header(headers, "last-event-id").filter(|text| !text.is_empty());
        let header = header.map(|text| id(text, "Last-Event-ID")).transpose()?;
        let after = query.get("after").map(|text| id(text, "after")).transpose()?;
        let error_event = query.get("error_event").unwrap_or(EventKind::Error.name());
        let is_name = (1..=64).contains(&error_event.len())
            && error_event
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        if !is_name {
            let message = "allowed: 1 to 64 of A-Z a-z 0-9 _ - .";
            return Err(InvalidField::new("error_event", message));
        }
        Ok(Self {
            after: header.max(after).unwrap_or_default(),
            is_resuming: header.is_some() || after.is_some(),
            error_event: error_event.to_owned(),
        })
    }
}

/// An answer that is a stream of events (ORCH-071).
pub(super) fn stream_response(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let buffering = HeaderName::from_static("x-accel-buffering");
    headers.insert(buffering, HeaderValue::from_static("no"));
    response
}
