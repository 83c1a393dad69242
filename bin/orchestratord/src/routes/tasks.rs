use std::sync::Arc;

use api_types::{
    CancelAnswer, ErrorCode, InvalidField, Page, TaskAccepted, TaskRequest, TaskState, TaskView,
};
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
    openapi::examples,
    page::PageWish,
    query::Query,
    state::{AppState, problem},
    view::{accepted_view, links, task_view},
};

/// Longest idempotency key.
const KEY_CHARS_MAX: usize = 255;

/// Hand in a task.
///
/// The 202 means kept: the task is on disk, and ends once, with a reason. Its output is in its events.
#[utoipa::path(
    post,
    path = "/v2/tasks",
    tag = "tasks",
    operation_id = "submit_task",
    params(
        (
            "Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
            description = "The same key with the same request gives the first task again; with another request \
                           it is 422 IDEMPOTENCY_MISMATCH. 1 to 255 visible ASCII characters.",
            example = json!("order-66-colors"),
        ),
        (
            "traceparent" = Option<String>, Header,
            description = "W3C trace context. A valid one goes on to the engine, else a new trace begins.",
            example = json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ),
    ),
    request_body(content = TaskRequest, example = json!(examples::task_request())),
    responses((
        status = 202,
        description = "The task is kept.",
        body = TaskAccepted,
        headers(
            ("Location" = String, description = "Where the task is."),
            ("Idempotency-Replayed" = String, description = "`true` where the task was there already."),
        ),
        example = json!(examples::task_accepted())
    )),
    extensions(("x-error-codes" = json!(SUBMIT_ERRORS)))
)]
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
        traceparent: Some(context.trace.to_string()),
        parent_span: context.parent_span,
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

/// How a task may be refused, in the shape of every API.
pub(super) const SUBMIT_ERRORS: [ErrorCode; 12] = [
    ErrorCode::ModelNotFound,
    ErrorCode::ModelDeprecated,
    ErrorCode::InvalidParams,
    ErrorCode::ContextExceeded,
    ErrorCode::DeadlineUnmet,
    ErrorCode::IdempotencyMismatch,
    ErrorCode::AdmissionReject,
    ErrorCode::RateLimited,
    ErrorCode::PoolUnavailable,
    ErrorCode::ModelNotAvailable,
    ErrorCode::ShuttingDown,
    ErrorCode::StorageFull,
];

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

/// Tasks, newest first.
///
/// Filters are joined by and.
#[utoipa::path(
    get,
    path = "/v2/tasks",
    tag = "tasks",
    operation_id = "list_tasks",
    params(
        ("status" = Option<TaskState>, Query, description = "Only tasks in this state."),
        ("model_ref" = Option<String>, Query, description = "Only tasks that asked for this model, in these words."),
        ("client_ref" = Option<String>, Query, description = "Only tasks with this name of the client's own."),
        PageWish<u64>,
    ),
    responses(
        (status = 200, description = "A page.", body = Page<TaskView>, example = json!(examples::tasks())),
    ),
    extensions(("x-error-codes" = json!([ErrorCode::InvalidParams])))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<TaskView>>, Problem> {
    let refused = |refusal: Refusal| problem(&refusal, context.correlation_id.as_str());
    let Listing { mut filter, page } =
        Listing::read(query.as_deref()).map_err(|field| refused(field.into()))?;
    let sees_all = context.identity.scope() == Some(Scope::Admin);
    let (queued, preparing) = (TaskState::Queued.name(), TaskState::Preparing.name());
    let wanted = filter.state.clone().filter(|state| state == queued || state == preparing);
    if wanted.is_some() {
        filter.state = Some(queued.to_owned());
    }
    filter.identity = (!sees_all).then(|| context.identity.as_str().to_owned());
    let mut rows =
        state.orchestrator.tasks(filter, page.after, page.fetch()).await.map_err(refused)?;
    let next_cursor = page.cut(&mut rows, |(row, _)| row.sequence);
    let mut items = Vec::with_capacity(rows.len());
    for (row, mut place) in rows {
        for ahead in place.iter_mut().flat_map(|place| &mut place.ahead) {
            ahead.identity.take_if(|identity| !context.identity.may_see(&identity.0));
        }
        let last_event_id = match state.orchestrator.last_event_id(row.id).await {
            Ok(id) => id,
            // It was removed since the list was read.
            Err(Refusal::UnknownTask) => continue,
            Err(refusal) => return Err(refused(refusal)),
        };
        let preparation = state.preparation_of(&row);
        let decision = state.orchestrator.decision(&row);
        let ends = state.orchestrator.remaining_ms(&row);
        let view = task_view(row, place, ends, last_event_id, preparation, decision, false);
        // The journal does not tell them apart: whether a model is here changes without its tasks.
        if wanted.as_deref().is_none_or(|wanted| wanted == view.status.name()) {
            items.push(view);
        }
    }
    Ok(Json(Page { items, next_cursor }))
}

/// What a list is asked for.
struct Listing {
    filter: TaskFilter,
    page: PageWish<u64>,
}

impl Listing {
    fn read(query: Option<&str>) -> Result<Self, InvalidField> {
        let [limit, cursor] = PageWish::<u64>::NAMES;
        let query = Query::read(query, &["status", "model_ref", "client_ref", limit, cursor])?;
        let state = query.get("status").map(|status| {
            let is_known = serde_json::from_value::<TaskState>(status.into()).is_ok();
            let problem = || InvalidField::new("status", "allowed: the name of a task state");
            if is_known { Ok(status.to_owned()) } else { Err(problem()) }
        });
        Ok(Self {
            filter: TaskFilter {
                identity: None,
                state: state.transpose()?,
                model_ref: query.get("model_ref").map(str::to_owned),
                client_ref: query.get("client_ref").map(str::to_owned),
            },
            page: PageWish::read(&query)?,
        })
    }
}

/// The task that a path names; a name that is no id names no task.
pub(super) fn task_id(text: &str) -> Result<TaskId, Refusal> {
    Uuid::try_parse(text).map(TaskId).map_err(|_form| Refusal::UnknownTask)
}

/// One task.
///
/// Its state, parameters, attempts, usage and error. Prompt text only where it is asked for.
#[utoipa::path(
    get,
    path = "/v2/tasks/{id}",
    tag = "tasks",
    operation_id = "get_task",
    params(
        ("id" = String, Path, description = "Id of the task.", example = json!(examples::TASK_ID)),
        (
            "include" = Option<String>, Query, pattern = "^prompt$",
            description = "`prompt` adds the prompt or the messages as they were given."
        ),
    ),
    responses(
        (status = 200, description = "The task.", body = TaskView, example = json!(examples::task_view())),
    ),
    extensions(("x-error-codes" = json!([ErrorCode::NotFound, ErrorCode::InvalidParams])))
)]
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
    let (row, place) = state.task_for(&context.identity, id).await.map_err(refused)?;
    let last_event_id = state.orchestrator.last_event_id(id).await.map_err(refused)?;
    let preparation = state.preparation_of(&row);
    let decision = state.orchestrator.decision(&row);
    let ends = state.orchestrator.remaining_ms(&row);
    Ok(Json(task_view(row, place, ends, last_event_id, preparation, decision, with_prompt)))
}

/// Cancel a task.
///
/// May be repeated. The state is durable before the answer; a task that has ended stays as it is.
#[utoipa::path(
    post,
    path = "/v2/tasks/{id}/cancel",
    tag = "tasks",
    operation_id = "cancel_task",
    params(("id" = String, Path, description = "Id of the task.", example = json!(examples::TASK_ID))),
    responses((
        status = 200,
        description = "The state that the task is in now.",
        body = CancelAnswer,
        example = json!(examples::cancel_answer())
    )),
    extensions(("x-error-codes" = json!([ErrorCode::NotFound, ErrorCode::StorageFull])))
)]
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

/// Erase a task.
///
/// Prompt, output and events of a task that has ended are erased for good; id, state and counters stay until
/// its retention ends. May be repeated.
#[utoipa::path(
    delete,
    path = "/v2/tasks/{id}",
    tag = "tasks",
    operation_id = "erase_task",
    params(("id" = String, Path, description = "Id of the task.", example = json!(examples::TASK_ID))),
    responses((status = 204, description = "Nothing of its text is left.")),
    extensions((
        "x-error-codes" = json!([ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StorageFull])
    ))
)]
pub(super) async fn erase(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let refused = |refusal: Refusal| problem(&refusal, context.correlation_id.as_str());
    let id = task_id(&id).map_err(refused)?;
    state.task_for(&context.identity, id).await.map_err(refused)?;
    state.orchestrator.erase(id).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}
