use axum::{Router, routing};

use crate::state::AppState;

mod events;
mod facade;
mod scopes;
mod status;
mod tasks;

pub(crate) use facade::render_error;

/// All routes of the daemon.
pub(crate) fn router(state: AppState) -> Router {
    let routes = Router::new()
        .route("/healthz", routing::get(status::health))
        .route("/readyz", routing::get(status::ready))
        .route("/v2/status", routing::get(status::status))
        .route("/v2/tasks", routing::post(tasks::submit).get(tasks::list))
        .route("/v2/tasks/{id}", routing::get(tasks::show))
        .route("/v2/tasks/{id}/cancel", routing::post(tasks::cancel))
        .route("/v2/tasks/{id}/events", routing::get(events::events))
        .route("/v1/models", routing::get(facade::models))
        .route("/v1/models/{*id}", routing::get(facade::model))
        .route("/v1/chat/completions", routing::post(facade::chat))
        .with_state(state);
    http_edge::guard_routes(routes, scopes::SCOPES)
}
