use api_types::{CapabilitiesView, VersionView};
use axum::{Json, extract::State};

use crate::{
    openapi::{API_VERSION, examples},
    state::AppState,
    view::instant,
};

/// What this daemon can do.
///
/// Computed from its configuration and from what its engines have told, for each model and pool.
#[utoipa::path(
    get,
    path = "/v2/meta/capabilities",
    tag = "meta",
    operation_id = "get_capabilities",
    responses((
        status = 200,
        description = "What it can do now.",
        body = CapabilitiesView,
        example = json!(examples::capabilities())
    ))
)]
pub(super) async fn capabilities(State(state): State<AppState>) -> Json<CapabilitiesView> {
    Json(state.abilities.get().view(&state.orchestrator))
}

/// What this daemon was built from.
///
/// Version, commit and time of the build, and the version of the API.
#[utoipa::path(
    get,
    path = "/v2/meta/version",
    tag = "meta",
    operation_id = "get_version",
    responses((
        status = 200,
        description = "The build.",
        body = VersionView,
        example = json!(examples::version())
    ))
)]
pub(super) async fn version() -> Json<VersionView> {
    let built_s: u64 =
        env!("ORCHESTRATORD_BUILD_S").parse().expect("the build script writes digits");
    Json(VersionView {
        api_version: API_VERSION.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        build_commit: env!("ORCHESTRATORD_BUILD_COMMIT").to_owned(),
        build_time: instant(built_s.saturating_mul(1000)),
    })
}
