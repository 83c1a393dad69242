use api_types::{ReadyView, StatusView};
use axum::{Json, extract::State, http::StatusCode};

use crate::state::AppState;

/// `GET /healthz`: the process serves.
pub(super) async fn health() -> StatusCode {
    StatusCode::OK
}

/// `GET /readyz`: whether work is taken.
pub(super) async fn ready(State(state): State<AppState>) -> (StatusCode, Json<ReadyView>) {
    let failing = state.orchestrator.failing();
    let ready = failing.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyView { ready, failing }))
}

/// `GET /v2/status`: the daemon at a glance.
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
