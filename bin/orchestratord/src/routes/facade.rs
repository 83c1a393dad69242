use std::sync::Arc;

use api_types::{
    EndEvent, ErrorBody, ErrorCode, EventKind, ModelView, PreparationView, TaskRequest,
};
use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use http_edge::{Problem, RequestContext, read_body};
use jiff::Timestamp;
use openai_facade::{
    Answer, AnswerForm, ChunkWriter, Collector, Completion, EmbeddingRequest, FacadeError,
    FacadeRequest, ModelListObject, ModelObject, RequestHeaders, RequestProblem, embedding_answer,
    facade_error, header, parse_chat, parse_completion, parse_embeddings, reattach_ms,
};
use orchestrator::{Accepted, Delivery, Refusal, Submission, Subscribed, Subscription};
use orchestrator_core::TaskId;

use super::{
    events::stream_response,
    tasks::{SUBMIT_ERRORS, idempotency_key},
};
use crate::{
    event_stream::{EventStream, Shape, events_of},
    openapi::openai,
    query::named_header,
    state::{AppState, problem},
};

const X_TASK_ID: HeaderName = HeaderName::from_static("x-task-id");
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The correlation id under the name by which the official clients know it (ORCH-249).
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Errors below `/v1` in the shape of OpenAI's API.
pub(crate) fn render_error(path: &str, error: &ErrorBody, status: StatusCode) -> Option<Response> {
    path.starts_with("/v1/").then(|| {
        let response = error_response(&facade_error(error, Some(status.as_u16())));
        with_request_id(response, &error.correlation_id)
    })
}

fn with_request_id(mut response: Response, correlation_id: &str) -> Response {
    if let Ok(id) = HeaderValue::from_str(correlation_id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

fn error_response(error: &FacadeError) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(&error.body)).into_response();
    let retry = if error.should_retry { "true" } else { "false" };
    response.headers_mut().insert(X_SHOULD_RETRY, HeaderValue::from_static(retry));
    response
}

/// How a task may end without an answer, where the answer had not begun.
const OUTCOME_ERRORS: [ErrorCode; 8] = [
    ErrorCode::TooManyStreams,
    ErrorCode::QueueTimeout,
    ErrorCode::EngineRefused,
    ErrorCode::DeadlineExceeded,
    ErrorCode::ReplicaExhausted,
    ErrorCode::WorkerReset,
    ErrorCode::DecodeTimeout,
    ErrorCode::ContinuationMismatch,
];

/// What the routes that make tasks take in headers, because OpenAI's bodies have no room for it.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what `wishes` and `submission` read")]
struct TaskHeaders {
    /// The task's class.
    #[param(rename = "X-Priority", pattern = "^(interactive|batch)$")]
    priority: Option<String>,
    /// Milliseconds from admission.
    #[param(rename = "X-Deadline-Ms", minimum = 1, maximum = 31622400000_i64)]
    deadline_ms: Option<u64>,
    /// A repeat with the same key joins the task.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    idempotency_key: Option<String>,
}

/// Complete a chat.
///
/// OpenAI's chat completion as a view of a task, whose id is in `X-Task-Id`. It ends with its last connection,
/// unless `Idempotency-Key` lets a repeat join it.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    tag = "openai",
    operation_id = "create_chat_completion",
    params(TaskHeaders),
    request_body(
        content = openai::ChatCompletionRequest,
        examples(
            ("whole" = (value = json!(openai::chat_request()))),
            ("stream" = (value = json!(openai::chat_stream_request()))),
        )
    ),
    responses((
        status = 200,
        description = "The answer; with `stream` it is an event stream of `chat.completion.chunk` objects, ended by \
                       `[DONE]`, or by an error object where it breaks off.",
        headers(("X-Task-Id" = String, description = "The task; see /v2/tasks/{id}.")),
        content(
            (openai::ChatCompletion = "application/json", example = json!(openai::chat_completion())),
            (String = "text/event-stream", example = json!(openai::chat_chunks())),
        )
    )),
    extensions(("x-error-codes" = json!([&SUBMIT_ERRORS[..], &OUTCOME_ERRORS[..]].concat())))
)]
pub(super) async fn chat(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let route = Route { path: "/v1/chat/completions", form: AnswerForm::Chat, parse: parse_chat };
    complete(&state, &context, request, route).await
}

/// Complete a text.
///
/// OpenAI's older completion as a view of a task, as `POST /v1/chat/completions` is. One prompt a request.
#[utoipa::path(
    post,
    path = "/v1/completions",
    tag = "openai",
    operation_id = "create_completion",
    params(TaskHeaders),
    request_body(content = openai::CompletionRequest, example = json!(openai::completion_request())),
    responses((
        status = 200,
        description = "The answer; with `stream` it is an event stream of `text_completion` objects, ended by \
                       `[DONE]`, or by an error object where it breaks off.",
        headers(("X-Task-Id" = String, description = "The task; see /v2/tasks/{id}.")),
        content(
            (openai::TextCompletion = "application/json", example = json!(openai::text_completion())),
            (String = "text/event-stream", example = json!(openai::text_chunks())),
        )
    )),
    extensions(("x-error-codes" = json!([&SUBMIT_ERRORS[..], &OUTCOME_ERRORS[..]].concat())))
)]
pub(super) async fn completion(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let route = Route { path: "/v1/completions", form: AnswerForm::Text, parse: parse_completion };
    complete(&state, &context, request, route).await
}

/// Embed texts.
///
/// OpenAI's embeddings as a view of a task of workload embedding, for models whose pools do this work.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    tag = "openai",
    operation_id = "create_embeddings",
    params(TaskHeaders),
    request_body(content = openai::EmbeddingsRequest, example = json!(openai::embeddings_request())),
    responses((
        status = 200,
        description = "One embedding for each text, in their order.",
        headers(("X-Task-Id" = String, description = "The task; see /v2/tasks/{id}.")),
        body = openai::Embeddings,
        example = json!(openai::embeddings())
    )),
    extensions(("x-error-codes" = json!([&SUBMIT_ERRORS[..], &OUTCOME_ERRORS[..]].concat())))
)]
pub(super) async fn embeddings(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let correlation_id = context.correlation_id.as_str();
    let refused = |refusal: Refusal| problem(&refusal, correlation_id);
    let headers = request.headers().clone();
    let body = read_body(request).await?;
    let EmbeddingRequest { task, encoding, ignored } =
        parse_embeddings(&body, &wishes(&headers))
            .map_err(|wrong| Problem::from(wrong.error_body(correlation_id)))?;
    if !ignored.is_empty() {
        state.scrape.metrics.params_ignored(ignored.len() as u64);
    }
    let model = task.model_ref.clone().unwrap_or_default();
    let submission = submission(task, &context, &headers, "/v1/embeddings").map_err(refused)?;
    let (accepted, subscribed) = listened_to(&state, submission).await.map_err(refused)?;
    let id = accepted.task.id;
    let Subscribed::Stream(subscription) = subscribed else { return Err(Problem::internal()) };
    let response = match ended(subscription).await? {
        Outcome::Error(error) => error_response(&facade_error(&error, None)),
        Outcome::End(end) => {
            let result = state.orchestrator.result(id).await.map_err(refused)?;
            let list = embedding_answer(&model, encoding, end.tokens_in, &result)
                .map_err(|error| unreadable(&error))?;
            json_response(list)
        }
    };
    Ok(of_task(response, id, correlation_id))
}

/// How a task ended.
enum Outcome {
    End(Box<EndEvent>),
    Error(Box<ErrorBody>),
}

/// Waits for the end of a task of whose events only the last one matters.
async fn ended(mut subscription: Subscription) -> Result<Outcome, Problem> {
    while let Some(delivery) = subscription.next().await {
        let Delivery::Terminal(terminal) = delivery.map_err(|error| unreadable(&error))? else {
            continue;
        };
        let outcome = if terminal.name == EventKind::End.name() {
            serde_json::from_str(&terminal.data).map(Outcome::End)
        } else {
            serde_json::from_str(&terminal.data).map(Outcome::Error)
        };
        return outcome.map_err(|error| unreadable(&error));
    }
    Err(shutting_down())
}

fn shutting_down() -> Problem {
    let message = "the daemon is shutting down; the task goes on at its next start";
    Problem::new(ErrorCode::ShuttingDown, message)
}

fn json_response(json: Vec<u8>) -> Response {
    let json_type = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json_type)], json).into_response()
}

/// What sets the routes of completions apart.
struct Route {
    path: &'static str,
    form: AnswerForm,
    parse: fn(&[u8], &RequestHeaders<'_>) -> Result<FacadeRequest, RequestProblem>,
}

async fn complete(
    state: &AppState,
    context: &RequestContext,
    request: Request<Body>,
    route: Route,
) -> Result<Response, Problem> {
    let correlation_id = context.correlation_id.as_str();
    let refused = |refusal: Refusal| problem(&refusal, correlation_id);
    let headers = request.headers().clone();
    let body = read_body(request).await?;
    let FacadeRequest { task, options } = (route.parse)(&body, &wishes(&headers))
        .map_err(|wrong| Problem::from(wrong.error_body(correlation_id)))?;
    if !options.ignored.is_empty() {
        state.scrape.metrics.params_ignored(options.ignored.len() as u64);
        tracing::debug!(correlation_id, ignored = ?options.ignored, "parameters without effect");
    }
    let model = task.model_ref.clone().unwrap_or_default();
    let submission = submission(task, context, &headers, route.path).map_err(refused)?;
    let (accepted, subscribed) = listened_to(state, submission).await.map_err(refused)?;
    let id = accepted.task.id;
    let completion = Completion {
        form: route.form,
        id: format!("{}-{}", route.form.id_prefix(), id.0.simple()),
        model,
        created_s: accepted.task.spec.admitted_at_ms / 1000,
    };
    let subscription = match subscribed {
        Subscribed::Stream(subscription) => subscription,
        Subscribed::NothingLeft => return Err(Problem::internal()),
    };
    let response = if options.stream {
        let writer = ChunkWriter::new(&completion, options.include_usage);
        let shape = Shape::Chunks(Box::new(writer));
        let stream = EventStream::new(
            subscription,
            shape,
            *state.pace.get(),
            Box::new(PreparationView::default),
        );
        stream_response(Body::new(stream))
    } else {
        collect(subscription, completion).await?
    };
    Ok(of_task(response, id, correlation_id))
}

/// The headers that say what an answer belongs to.
fn of_task(mut response: Response, id: TaskId, correlation_id: &str) -> Response {
    let task_id = HeaderValue::from_str(&id.to_string()).expect("an id is a header value");
    response.headers_mut().insert(X_TASK_ID, task_id);
    with_request_id(response, correlation_id)
}

fn submission(
    task: TaskRequest,
    context: &RequestContext,
    headers: &HeaderMap,
    route: &'static str,
) -> Result<Submission, Refusal> {
    let key = idempotency_key(headers)?;
    Ok(Submission {
        request: task,
        identity: context.identity.as_str().into(),
        correlation_id: context.correlation_id.as_str().to_owned(),
        traceparent: Some(context.trace.to_string()),
        parent_span: context.parent_span,
        route,
        reattach_ms: Some(reattach_ms(key.is_some())),
        idempotency_key: key,
    })
}

fn wishes(headers: &HeaderMap) -> RequestHeaders<'_> {
    RequestHeaders {
        priority: named_header(headers, header::PRIORITY),
        session_id: named_header(headers, header::SESSION_ID),
        deadline_ms: named_header(headers, header::DEADLINE_MS),
    }
}

/// Admits a task and listens to it. A client that leaves in between is noticed all the same: what it
/// would have listened with is dropped in its place.
async fn listened_to(
    state: &AppState,
    submission: Submission,
) -> Result<(Accepted, Subscribed), Refusal> {
    let orchestrator = Arc::clone(&state.orchestrator);
    let admission = state.admissions.spawn(async move {
        let accepted = orchestrator.submit(submission).await?;
        let subscribed = orchestrator.subscribe(accepted.task.id, 0).await?;
        Ok((accepted, subscribed))
    });
    match admission.await {
        Ok(listened_to) => listened_to,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_with_the_runtime) => Err(Refusal::ShuttingDown),
        },
    }
}

/// Waits for the whole answer.
async fn collect(
    mut subscription: Subscription,
    completion: Completion,
) -> Result<Response, Problem> {
    let mut collector = Collector::new(completion);
    while let Some(delivery) = subscription.next().await {
        let delivery = delivery.map_err(|error| unreadable(&error))?;
        let answer = match &delivery {
            Delivery::Notice(_) => None,
            Delivery::Events(events) => {
                for (kind, data) in events_of(events) {
                    collector.take(kind, data).map_err(|error| unreadable(&error))?;
                }
                None
            }
            Delivery::Terminal(terminal) => match EventKind::of_name(&terminal.name) {
                None => None,
                Some(kind) => collector
                    .take(kind, terminal.data.as_bytes())
                    .map_err(|error| unreadable(&error))?,
            },
        };
        match answer {
            None => {}
            Some(Answer::Completion(json)) => return Ok(json_response(json)),
            Some(Answer::Error(error)) => return Ok(error_response(&error)),
        }
    }
    Err(shutting_down())
}

fn unreadable(error: &dyn std::error::Error) -> Problem {
    tracing::error!(error = %error, "a task's events cannot be read");
    Problem::internal()
}

/// Every name that a request's `model` may have.
///
/// Models in OpenAI's shape.
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "openai",
    operation_id = "list_openai_models",
    responses(
        (status = 200, description = "The models.", body = openai::ModelListSchema, example = json!(openai::models())),
    )
)]
pub(super) async fn models(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
) -> Response {
    let models = state.orchestrator.standing().models;
    let list: ModelListObject = models.iter().flat_map(objects).collect();
    with_request_id(Json(list).into_response(), context.correlation_id.as_str())
}

fn objects(model: &ModelView) -> Vec<ModelObject> {
    let created_s = created_s(model);
    let names =
        if model.aliases.is_empty() { std::slice::from_ref(&model.id) } else { &model.aliases };
    names.iter().map(|name| ModelObject::new(name.clone(), created_s)).collect()
}

/// Seconds since 1970; 0 for a model that is still on its way.
fn created_s(model: &ModelView) -> u64 {
    let created: Option<Timestamp> = model.created_at.as_deref().and_then(|at| at.parse().ok());
    created.and_then(|at| u64::try_from(at.as_second()).ok()).unwrap_or_default()
}

/// One model, by alias or catalog id.
///
/// The id may hold slashes, as they are or escaped.
#[utoipa::path(
    get,
    path = "/v1/models/{*id}",
    tag = "openai",
    operation_id = "get_openai_model",
    params(("id" = String, Path, description = "Alias or catalog id.", example = json!("starter"))),
    responses(
        (status = 200, description = "The model.", body = openai::ModelSchema, example = json!(openai::model())),
    ),
    extensions(("x-error-codes" = json!([ErrorCode::ModelNotFound])))
)]
pub(super) async fn model(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let models = state.orchestrator.standing().models;
    let found = models.iter().find(|model| model.id == name || model.aliases.contains(&name));
    match found {
        Some(model) => {
            let object = Json(ModelObject::new(name, created_s(model)));
            Ok(with_request_id(object.into_response(), context.correlation_id.as_str()))
        }
        None => {
            let unknown = Refusal::from(orchestrator::ModelRefusal::Unknown(name));
            Err(problem(&unknown, context.correlation_id.as_str()))
        }
    }
}
