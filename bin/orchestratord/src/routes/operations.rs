use api_types::{ErrorCode, InvalidField, OperationView, Page};
use axum::{
    Extension, Json,
    extract::{Path, RawQuery, State},
};
use http_edge::{Problem, RequestContext};
use operations::OperationId;

use crate::{
    catalog_problem::of_canceling, catalog_view::operation_view, query::Query, state::AppState,
};

/// Longest page of a list, and the usual one.
const PAGE: (usize, usize) = (500, 50);

/// Operations, newest first.
#[utoipa::path(
    get,
    path = "/v2/operations",
    tag = "operations",
    operation_id = "list_operations",
    params(("limit" = Option<u32>, Query, description = "Items on a page, 1 to 500."), ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, description = "A page.", body = Page<OperationView>)),
    extensions(("x-error-codes" = json!([ErrorCode::InvalidParams]))),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<OperationView>>, Problem> {
    let query = Query::read(query.as_deref(), &["limit", "cursor"])?;
    let limit = page_limit(&query, PAGE)?;
    let before = query.get("cursor").map(|cursor| {
        let problem = |_| InvalidField::new("cursor", "allowed: a next_cursor as it was given");
        cursor.parse::<OperationId>().map_err(problem)
    });
    let mut records = state.operations.list(before.transpose()?, limit + 1);
    let has_more = records.len() > limit;
    records.truncate(limit);
    let next_cursor = records.last().filter(|_| has_more).map(|last| last.id.to_string());
    Ok(Json(Page { items: records.into_iter().map(operation_view).collect(), next_cursor }))
}

/// One operation.
#[utoipa::path(
    get,
    path = "/v2/operations/{id}",
    tag = "operations",
    operation_id = "get_operation",
    params(("id" = String, Path, description = "The operation.")),
    responses((status = 200, description = "As it stands.", body = OperationView)),
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
#[utoipa::path(
    delete,
    path = "/v2/operations/{id}",
    tag = "operations",
    operation_id = "cancel_operation",
    params(("id" = String, Path, description = "The operation.")),
    responses((status = 200, description = "As it ended.", body = OperationView)),
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

/// How many entries a page is to have, of at most and usually so many.
pub(super) fn page_limit(
    query: &Query,
    (most, usual): (usize, usize),
) -> Result<usize, InvalidField> {
    let limit = query.get("limit").map_or(Some(usual), |limit| limit.parse().ok());
    let limit = limit.filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| InvalidField::new("limit", format!("allowed: 1 to {most}")))
}

/// A path that is no id names no operation.
fn operation_id(text: &str) -> Option<OperationId> {
    text.parse().ok()
}

fn unknown() -> Problem {
    Problem::new(ErrorCode::NotFound, "no operation has this id; ended ones are kept for a time")
}
