use api_types::{ErrorCode, OperationView, Page};
use axum::{
    Extension, Json,
    extract::{Path, RawQuery, State},
};
use http_edge::{Problem, RequestContext};
use operations::OperationId;

use crate::{
    catalog_problem::of_canceling, catalog_view::operation_view, openapi::catalog_examples,
    page::PageWish, query::Query, state::AppState,
};

/// Operations, newest first.
///
/// Ended ones are kept for a day.
#[utoipa::path(
    get,
    path = "/v2/operations",
    tag = "operations",
    operation_id = "list_operations",
    params(PageWish<OperationId>),
    responses((status = 200, description = "A page.", body = Page<OperationView>, example = json!(catalog_examples::operations()))),
    extensions(("x-error-codes" = json!([ErrorCode::InvalidParams]))),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<OperationView>>, Problem> {
    let query = Query::read(query.as_deref(), &PageWish::<OperationId>::NAMES)?;
    let page = PageWish::<OperationId>::read(&query)?;
    let mut records = state.operations.list(page.after, page.fetch());
    let next_cursor = page.cut(&mut records, |record| record.id);
    Ok(Json(Page { items: records.into_iter().map(operation_view).collect(), next_cursor }))
}

/// One operation.
///
/// Its state, how far it is, and its result or error.
#[utoipa::path(
    get,
    path = "/v2/operations/{id}",
    tag = "operations",
    operation_id = "get_operation",
    params(("id" = String, Path, description = "The operation.")),
    responses((status = 200, description = "As it stands.", body = OperationView, example = json!(catalog_examples::operation()))),
    extensions(("x-error-codes" = json!([ErrorCode::NotFound]))),
)]
pub(super) async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<OperationView>, Problem> {
    let record = operation_id(&id).and_then(|id| state.operations.get(id));
    record.map(|record| Json(operation_view(record))).ok_or_else(unknown)
}

/// Cancel an operation; one that has ended stays as it is.
///
/// Where its kind allows that; the record stays.
#[utoipa::path(
    delete,
    path = "/v2/operations/{id}",
    tag = "operations",
    operation_id = "cancel_operation",
    params(("id" = String, Path, description = "The operation.")),
    responses((status = 200, description = "As it ended.", body = OperationView, example = json!(catalog_examples::operation()))),
    extensions(("x-error-codes" = json!([ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::ShuttingDown]))),
)]
pub(super) async fn cancel(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Json<OperationView>, Problem> {
    let id = operation_id(&id).ok_or_else(unknown)?;
    match state.operations.cancel(id).await {
        Ok(record) => Ok(Json(operation_view(record))),
        Err(error) => Err(of_canceling(&error, context.correlation_id.as_str()).into()),
    }
}

/// A path that is no id names no operation.
fn operation_id(text: &str) -> Option<OperationId> {
    text.parse().ok()
}

fn unknown() -> Problem {
    Problem::new(ErrorCode::NotFound, "no operation has this id; ended ones are kept for a time")
}
