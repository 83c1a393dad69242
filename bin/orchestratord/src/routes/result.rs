use api_types::ErrorCode;
use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use http_edge::{Problem, RequestContext};
use orchestrator::Refusal;

use super::tasks::task_id;
use crate::state::{AppState, problem};

/// What a task gave that is no text.
///
/// The embeddings of a task of workload embedding that succeeded, which the `end` event holds too unless they are
/// over 256 KiB.
#[utoipa::path(
    get,
    path = "/v2/tasks/{id}/result",
    tag = "tasks",
    operation_id = "get_task_result",
    params(("id" = String, Path, description = "The task's id.")),
    responses((
        status = 200,
        description = "The result.",
        content_type = "application/json",
        body = Object,
        example = json!({"embeddings": [[0.25, -0.5]]})
    )),
    extensions(("x-error-codes" = json!([ErrorCode::NotFound, ErrorCode::EventsGone])))
)]
pub(super) async fn result(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let refused = |refusal: Refusal| problem(&refusal, context.correlation_id.as_str());
    let id = task_id(&id).map_err(refused)?;
    let json = state.orchestrator.result(id).await.map_err(refused)?;
    let json_type = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, json_type)], json).into_response())
}
