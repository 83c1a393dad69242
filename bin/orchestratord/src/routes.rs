use std::sync::Arc;

use axum::{Router, middleware::from_fn_with_state};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{openapi, state::AppState};

mod catalog;
mod events;
mod facade;
mod meta;
mod metrics;
mod operations;
mod result;
mod scopes;
mod status;
mod tasks;

pub(crate) use facade::render_error;
pub(crate) use scopes::SCOPES;

/// All routes of the daemon.
pub(crate) fn router(state: AppState) -> Router {
    let counted = Arc::clone(&state.scrape.metrics);
    let routes = Router::from(described()).with_state(state);
    let guarded = http_edge::guard_routes(routes, SCOPES);
    guarded.layer(from_fn_with_state(counted, metrics::measure))
}

/// The metrics and nothing else, for a listener of their own.
pub(crate) fn metrics_alone(state: AppState) -> Router {
    Router::new().route("/metrics", axum::routing::get(metrics::page)).with_state(state)
}

/// All routes with their entries in the OpenAPI document. To add one:
///
/// 1. Annotate the handler with `#[utoipa::path(...)]`: method, path, `tag`, an `operation_id` that no other
///    has, parameters, request body, and the answers that are no errors, each with a description and an
///    example (a value of the type, in `openapi/examples.rs`; `cargo test` sends it to the daemon). The first
///    line of the handler's comment is the summary, the rest the description.
/// 2. List the error codes of the handler's own refusals under `x-error-codes`. The layers' errors
///    (401, 403, 413, 431, 500; with a body also 400, 408, 415, 422), headers and security are added by
///    `openapi.rs`.
/// 3. Give new wire types `ToSchema` behind the feature `openapi` of their crate; a field that may be null
///    but is never left out is `schema(required)`.
/// 4. Add `.routes(routes!(handler))` below (handlers of one path stand in one `routes!`), and the path to
///    `routes/scopes.rs`.
/// 5. Run `cargo xtask contracts` and commit what it writes.
pub(crate) fn described() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::InStreams::openapi())
        .routes(routes!(status::health))
        .routes(routes!(status::ready))
        .routes(routes!(metrics::page))
        .routes(routes!(openapi::serve))
        .routes(routes!(meta::capabilities))
        .routes(routes!(meta::version))
        .routes(routes!(status::status))
        .routes(routes!(tasks::submit, tasks::list))
        .routes(routes!(tasks::show, tasks::erase))
        .routes(routes!(tasks::cancel))
        .routes(routes!(events::events))
        .routes(routes!(result::result))
        .routes(routes!(operations::list))
        .routes(routes!(operations::show, operations::cancel))
        .routes(routes!(catalog::list, catalog::add))
        .routes(routes!(catalog::show, catalog::remove))
        .routes(routes!(catalog::verify))
        .routes(routes!(catalog::set_state))
        .routes(routes!(catalog::set_alias, catalog::remove_alias))
        .routes(routes!(catalog::availability))
        .routes(routes!(facade::models))
        .routes(routes!(facade::model))
        .routes(routes!(facade::chat))
        .routes(routes!(facade::completion))
        .routes(routes!(facade::embeddings))
}
