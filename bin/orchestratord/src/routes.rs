use axum::{Router, routing};

use crate::state::AppState;

mod events;
mod status;
mod tasks;

/// All routes of the daemon.
pub(crate) fn router(state: AppState) -> Router {
    Router::new()
        .route("/healthz", routing::get(status::health))
        .route("/readyz", routing::get(status::ready))
        .route("/v2/status", routing::get(status::status))
        .route("/v2/tasks", routing::post(tasks::submit).get(tasks::list))
        .route("/v2/tasks/{id}", routing::get(tasks::show))
        .route("/v2/tasks/{id}/cancel", routing::post(tasks::cancel))
        .route("/v2/tasks/{id}/events", routing::get(events::events))
        .with_state(state)
}
