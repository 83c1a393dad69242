use std::sync::Arc;

use api_types::{CancelAnswer, InvalidField, Page, TaskAccepted, TaskRequest, TaskState, TaskView};
use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use http_edge::{Problem, RequestContext, Scope, read_json};
use orchestrator::{Refusal, Submission, TaskFilter};
use orchestrator_core::TaskId;
use uuid::Uuid;

use crate::{
    query::{Query, traceparent},
    state::{AppState, problem},
    view::{accepted_view, links, task_view},
};

/// Longest idempotency key.
const KEY_CHARS_MAX: usize = 255;

/// Longest page of a list, and the usual one.
const PAGE: (usize, usize) = (500, 50);

/// `POST /v2/tasks`.
pub(super) async fn submit(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let body: TaskRequest = read_json(request).await?;
    let refused = |refusal: Refusal| problem(&refusal, context.correlation_id.as_str());
    let submission = Submission {
        request: body,
        identity: context.identity.as_str().into(),
        correlation_id: context.correlation_id.as_str().to_owned(),
        traceparent: Some(traceparent(&headers)),
        route: "/v2/tasks",
        idempotency_key: idempotency_key(&headers).map_err(|field| refused(field.into()))?,
        reattach_ms: None,
    };
    let accepted = state.orchestrator.submit(submission).await.map_err(refused)?;
    let location = links(accepted.task.id).status_url;
    let view: TaskAccepted = accepted_view(&accepted);
    let mut response = (StatusCode::ACCEPTED, Json(view)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location.parse().expect("an id is a header value"));
    if accepted.is_replay {
        let name = HeaderName::from_static("idempotency-replayed");
        headers.insert(name, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The idempotency key of a request, if it has one (ORCH-025).
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<Arc<str>>, InvalidField> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| {
        (1..=KEY_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    });
    let message = "allowed: 1 to 255 visible ASCII characters";
    text.map(|text| Some(text.into())).ok_or_else(|| InvalidField::new("Idempotency-Key", message))
}

/// `GET /v2/tasks`.
pub(super) async fn list(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<TaskView>>, Problem> {
    let refused = |refusal: Refusal| problem(&refusal, context.correlation_id.as_str());
    let mut page = Listing::read(query.as_deref()).map_err(|field| refused(field.into()))?;
    let sees_all = context.identity.scope() == Some(Scope::Admin);
    page.filter.identity = (!sees_all).then(|| context.identity.as_str().to_owned());
    // One more than asked for tells whether there is a next page.
    let mut rows = state
        .orchestrator
        .tasks(page.filter, page.before_sequence, page.limit + 1)
        .await
        .map_err(refused)?;
    let has_more = rows.len() > page.limit;
    rows.truncate(page.limit);
    let next_cursor =
        rows.last().filter(|_| has_more).map(|(row, _)| format!("s{:x}", row.sequence));
    let mut items = Vec::with_capacity(rows.len());
    for (row, position) in rows {
        let last_event_id = state.orchestrator.last_event_id(row.id).await.map_err(refused)?;
        let preparation = state.preparation_of(&row);
        items.push(task_view(row, position, last_event_id, preparation, false));
    }
    Ok(Json(Page { items, next_cursor }))
}

/// What a list is asked for.
struct Listing {
    filter: TaskFilter,
    before_sequence: Option<u64>,
    limit: usize,
}

impl Listing {
    fn read(query: Option<&str>) -> Result<Self, InvalidField> {
        let query = Query::read(query, &["status", "model_ref", "client_ref", "limit", "cursor"])?;
        let state = query.get("status").map(|status| {
            let is_known = serde_json::from_value::<TaskState>(status.into()).is_ok();
            let problem = || InvalidField::new("status", "allowed: the name of a task state");
            if is_known { Ok(status.to_owned()) } else { Err(problem()) }
        });
        let limit = query.get("limit").map_or(Some(PAGE.1), |limit| limit.parse().ok());
        let limit = limit.filter(|limit| (1..=PAGE.0).contains(limit));
        let cursor = query.get("cursor").map(|cursor| {
            let hex = cursor.strip_prefix('s').unwrap_or_default();
            let problem = |_| InvalidField::new("cursor", "allowed: a next_cursor as it was given");
            u64::from_str_radix(hex, 16).map_err(problem)
        });
        Ok(Self {
            filter: TaskFilter {
                identity: None,
                state: state.transpose()?,
                model_ref: query.get("model_ref").map(str::to_owned),
                client_ref: query.get("client_ref").map(str::to_owned),
            },
            before_sequence: cursor.transpose()?,
            limit: limit.ok_or_else(|| InvalidField::new("limit", "allowed: 1 to 500"))?,
        })
    }
}

/// The task that a path names; a name that is no id names no task.
pub(super) fn task_id(text: &str) -> Result<TaskId, Refusal> {
    Uuid::try_parse(text).map(TaskId).map_err(|_form| Refusal::UnknownTask)
}

/// `GET /v2/tasks/{id}`.
pub(super) async fn show(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<TaskView>, Problem> {
    let refused = |refusal: Refusal| problem(&refusal, context.correlation_id.as_str());
    let query =
        Query::read(query.as_deref(), &["include"]).map_err(|field| refused(field.into()))?;
    let with_prompt = match query.get("include") {
        None => false,
        Some("prompt") => true,
        Some(_) => return Err(refused(InvalidField::new("include", "allowed: prompt").into())),
    };
    let id = task_id(&id).map_err(refused)?;
    let (row, position) = state.task_for(&context.identity, id).await.map_err(refused)?;
    let last_event_id = state.orchestrator.last_event_id(id).await.map_err(refused)?;
    let preparation = state.preparation_of(&row);
    Ok(Json(task_view(row, position, last_event_id, preparation, with_prompt)))
}

/// `POST /v2/tasks/{id}/cancel`.
pub(super) async fn cancel(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Json<CancelAnswer>, Problem> {
    let refused = |refusal: Refusal| problem(&refusal, context.correlation_id.as_str());
    let id = task_id(&id).map_err(refused)?;
    state.task_for(&context.identity, id).await.map_err(refused)?;
    let status = state.orchestrator.cancel(id).await.map_err(refused)?;
    Ok(Json(CancelAnswer { task_id: id.to_string(), status }))
}
