use api_types::{ReadyView, StatusView};
use axum::{Json, extract::State, http::StatusCode};

use crate::{openapi::examples, state::AppState};

/// Whether the process serves.
///
/// Needs no token and says no more than that.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    operation_id = "get_health",
    responses((status = 200, description = "It does."))
)]
pub(super) async fn health() -> StatusCode {
    StatusCode::OK
}

/// Whether work is taken.
///
/// Needs no token. Models that are still loading do not count: tasks wait for them.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    operation_id = "get_readiness",
    responses(
        (status = 200, description = "It is.", body = ReadyView, example = json!(examples::ready())),
        (
            status = 503,
            description = "It is not, and which checks fail.",
            body = ReadyView,
            example = json!(examples::not_ready())
        ),
    )
)]
pub(super) async fn ready(State(state): State<AppState>) -> (StatusCode, Json<ReadyView>) {
    let failing = state.orchestrator.failing();
    let ready = failing.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyView { ready, failing }))
}

/// The daemon at a glance.
///
/// Models, pools and queues with what people ask first; `orchctl status` shows it.
#[utoipa::path(
    get,
    path = "/v2/status",
    tag = "meta",
    operation_id = "get_status",
    responses(
        (status = 200, description = "How things stand.", body = StatusView, example = json!(examples::status())),
    )
)]
pub(super) async fn status(State(state): State<AppState>) -> Json<StatusView> {
    let standing = state.orchestrator.standing();
    Json(StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        profile: state.profile.to_owned(),
        ready: standing.failing.is_empty(),
        failing: standing.failing,
        models: standing.models,
        pools: standing.pools,
        queue: standing.queue,
    })
}
