use std::time::Duration;

use api_types::{
    AddModelRequest, AliasRequest, AliasView, AvailabilityView, CatalogModelView, ErrorCode,
    InvalidField, ModelState, ModelStateRequest, OperationAccepted, OperationStatus, Page,
};
use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use catalog_core::{
    Alias, CatalogError, CatalogId, EntryState, ListedModel, ModelReference, Precondition,
};
use http_edge::{Problem, RequestContext, read_json};
use operations::{NewOperation, OperationRecord};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    catalog_parts::Wanted,
    catalog_problem::{of_beginning, of_catalog, of_provisioning},
    catalog_view::{availability_view, model_view, operation_accepted, operation_view},
    catalog_work::{ModelDelete, ModelFetch, ModelVerify},
    etag::{etag, is_known, precondition},
    openapi::catalog_examples,
    page::PageWish,
    query::Query,
    state::AppState,
};

/// How long the answer waits for a file of this machine to be read before it names the operation.
const REGISTER_WAIT: Duration = Duration::from_secs(10);

/// Longest time that tasks of a retired model may be left, in milliseconds: a year.
const RETIRE_MS_MAX: u64 = 365 * 24 * 3_600_000;

/// Register a model.
///
/// At once where its bytes are here, else as an operation.
#[utoipa::path(
    post,
    path = "/v2/catalog/models",
    tag = "catalog",
    operation_id = "add_model",
    request_body(content = AddModelRequest, example = json!(catalog_examples::add_model())),
    responses((status = 201, description = "It was registered.", body = CatalogModelView, example = json!(catalog_examples::model())), (status = 200, description = "It was known.", body = CatalogModelView, example = json!(catalog_examples::model())), (status = 202, description = "It has begun.", body = OperationAccepted, example = json!(catalog_examples::operation_accepted()))),
    extensions(("x-error-codes" = json!([ErrorCode::InvalidParams, ErrorCode::PolicyDenied, ErrorCode::UntrustedArtifact, ErrorCode::ModelNotAvailable, ErrorCode::Conflict, ErrorCode::AdmissionReject, ErrorCode::ShuttingDown, ErrorCode::StorageFull]))),
)]
pub(super) async fn add(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let correlation_id = context.correlation_id.as_str();
    let request: AddModelRequest = read_json(request).await?;
    let wanted = Wanted::parse(&request)?;
    let parts = &state.catalog;
    parts.check_trust(&wanted, correlation_id).map_err(|error| Problem::from(*error))?;
    let known = parts.provisioner.look_up(&wanted.reference, wanted.expected).await;
    if let Some(entry) = known.map_err(|error| of_provisioning(&error, correlation_id))? {
        let dressed = parts.dress(&entry.id, &wanted).await;
        dressed.map_err(|error| of_catalog(&error, correlation_id))?;
        return shown(&state, &entry.id, StatusCode::OK);
    }
    let input = serde_json::to_value(&request).expect("wire types are JSON");
    let target = wanted.reference.to_string();
    let record = begin(&state, ModelFetch::NAME, target, input, correlation_id).await?;
    if !matches!(wanted.reference, ModelReference::File(_)) {
        return Ok(accepted(record));
    }
    // A file that lies here is only read, which is mostly soon done.
    let ended = tokio::time::timeout(REGISTER_WAIT, state.operations.ended(record.id)).await;
    let Ok(Some(ended)) = ended else { return Ok(accepted(record)) };
    let view = operation_view(ended);
    match (view.state, view.result, view.error) {
        (OperationStatus::Succeeded, Some(result), _) => {
            let id: Option<CatalogId> = result["model_id"].as_str().and_then(|id| id.parse().ok());
            let is_new = result["is_new"] == json!(true);
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            shown(&state, &id.ok_or_else(Problem::internal)?, status)
        }
        (_, _, Some(error)) => Err(error.into()),
        _ => Err(Problem::new(ErrorCode::Conflict, "the operation was canceled; ask anew")),
    }
}

/// Models, by id.
///
/// Filters are joined by and.
#[utoipa::path(
    get,
    path = "/v2/catalog/models",
    tag = "catalog",
    operation_id = "list_catalog_models",
    params(PageWish<CatalogId>, ("state" = Option<ModelState>, Query, description = "Only models in this state."), ("tag" = Option<String>, Query, description = "Only models with this tag."), ("If-None-Match" = Option<String>, Header, description = "Versions that are known already; then the answer is 304.")),
    responses((status = 200, description = "A page.", body = Page<CatalogModelView>, headers(("ETag" = String, description = "Its version.")), example = json!(catalog_examples::models())), (status = 304, description = "It is as it was.")),
    extensions(("x-error-codes" = json!([ErrorCode::InvalidParams]))),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::read(query.as_deref(), &["limit", "cursor", "state", "tag"])?;
    let page = PageWish::<CatalogId>::read(&query)?;
    let wanted_state = query.get("state").map(|state| match state {
        "Active" => Ok(EntryState::Active),
        "Retired" => Ok(EntryState::Retired),
        _ => Err(InvalidField::new("state", "allowed: Active, Retired")),
    });
    let wanted_state = wanted_state.transpose()?;
    let mut models = state.catalog.catalog.list();
    models.retain(|model| {
        let has_tag = |tag: &str| model.entry.tags.iter().any(|own| own == tag);
        page.after.as_ref().is_none_or(|after| model.entry.id > *after)
            && wanted_state.is_none_or(|state| model.entry.state == state)
            && query.get("tag").is_none_or(has_tag)
    });
    let next_cursor = page.cut(&mut models, |model| model.entry.id.clone());
    let mut hash = Sha256::new();
    for model in &models {
        hash.update(model.version());
    }
    hash.update([u8::from(next_cursor.is_some())]);
    let version: String = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    if is_known(&headers, &version) {
        return Ok(not_modified(&version));
    }
    let trust = state.catalog.catalog.trust();
    let items: Vec<CatalogModelView> =
        models.iter().map(|model| model_view(model, &trust)).collect();
    Ok(([(header::ETAG, etag(&version))], Json(Page { items, next_cursor })).into_response())
}

/// One model.
///
/// By its catalog id or one of its names.
#[utoipa::path(
    get,
    path = "/v2/catalog/models/{id}",
    tag = "catalog",
    operation_id = "get_catalog_model",
    params(("id" = String, Path, description = "Catalog id or name."), ("If-None-Match" = Option<String>, Header, description = "Versions that are known already; then the answer is 304.")),
    responses((status = 200, description = "The entry.", body = CatalogModelView, headers(("ETag" = String, description = "Its version.")), example = json!(catalog_examples::model())), (status = 304, description = "It is as it was.")),
    extensions(("x-error-codes" = json!([ErrorCode::ModelNotFound]))),
)]
pub(super) async fn show(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let model = listed(&state, &id, &context)?;
    let version = model.version();
    if is_known(&headers, &version) {
        return Ok(not_modified(&version));
    }
    Ok(model_response(&state, &model, StatusCode::OK))
}

/// Delete a model, and its bytes where they are the daemon's own.
///
/// One that is in use is deleted only with `force`, after its last user.
#[utoipa::path(
    delete,
    path = "/v2/catalog/models/{id}",
    tag = "catalog",
    operation_id = "delete_model",
    params(("id" = String, Path, description = "Catalog id or name."), ("force" = Option<bool>, Query, description = "Retire a model in use, and delete it after its last user."), ("If-Match" = Option<String>, Header, description = "Versions that the entry may have; another is 412.")),
    responses((status = 204, description = "It is gone."), (status = 202, description = "It has begun.", body = OperationAccepted, example = json!(catalog_examples::operation_accepted()))),
    extensions(("x-error-codes" = json!([ErrorCode::ModelNotFound, ErrorCode::Conflict, ErrorCode::PreconditionFailed, ErrorCode::InvalidParams, ErrorCode::AdmissionReject, ErrorCode::ShuttingDown, ErrorCode::StorageFull]))),
)]
pub(super) async fn remove(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let correlation_id = context.correlation_id.as_str();
    let query = Query::read(query.as_deref(), &["force"])?;
    let force = match query.get("force") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(InvalidField::new("force", "allowed: true, false").into()),
    };
    let parts = &state.catalog;
    let entry = listed(&state, &id, &context)?.entry;
    let holds = precondition(&headers);
    let refused = |error: &CatalogError| Problem::from(of_catalog(error, correlation_id));
    let in_use = |users: &crate::catalog_parts::Users| {
        let message =
            "the model is in use; ?force=true retires it now and deletes it after its last user";
        Problem::new(ErrorCode::Conflict, message).with_details(users.details())
    };
    let users = parts.users(&entry.id);
    if !users.is_none() && !force {
        // What is not what the client thinks it is comes first.
        if !holds.holds(parts.catalog.listed(&entry.id.to_string()).as_ref()) {
            return Err(refused(&CatalogError::Changed));
        }
        return Err(in_use(&users));
    }
    // From here on nobody new can use it.
    let (former, retire_at_ms) = (entry.state, entry.retire_at_ms);
    let retired = parts.catalog.set_state(&entry.id, EntryState::Retired, retire_at_ms, &holds);
    retired.await.map_err(|error| refused(&error))?;
    let users = parts.users(&entry.id);
    if users.is_none() {
        let deleted = parts.delete(&entry.id).await;
        deleted.map_err(|error| of_provisioning(&error, correlation_id))?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if !force {
        let back = parts.catalog.set_state(&entry.id, former, retire_at_ms, &Precondition::Any);
        back.await.map_err(|error| refused(&error))?;
        return Err(in_use(&users));
    }
    let target = entry.id.to_string();
    let record = begin(&state, ModelDelete::NAME, target, json!({}), correlation_id).await?;
    Ok(accepted(record))
}

/// Read all bytes of a model and hold them against its digest.
///
/// One that has changed is out of service.
#[utoipa::path(
    post,
    path = "/v2/catalog/models/{id}/verify",
    tag = "catalog",
    operation_id = "verify_model",
    params(("id" = String, Path, description = "Catalog id or name.")),
    responses((status = 202, description = "It has begun.", body = OperationAccepted, example = json!(catalog_examples::operation_accepted()))),
    extensions(("x-error-codes" = json!([ErrorCode::ModelNotFound, ErrorCode::InvalidParams, ErrorCode::Conflict, ErrorCode::AdmissionReject, ErrorCode::ShuttingDown]))),
)]
pub(super) async fn verify(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let entry = listed(&state, &id, &context)?.entry;
    if entry.files.is_empty() {
        let message = "the model has no files here, its engine holds it";
        return Err(Problem::new(ErrorCode::InvalidParams, message).with_field("id"));
    }
    let correlation_id = context.correlation_id.as_str();
    let target = entry.id.to_string();
    begin(&state, ModelVerify::NAME, target, json!({}), correlation_id).await.map(accepted)
}

/// Retire a model, or take it back.
///
/// A retired model takes no new tasks; those it has end by the deadline.
#[utoipa::path(
    post,
    path = "/v2/catalog/models/{id}/state",
    tag = "catalog",
    operation_id = "set_model_state",
    params(("id" = String, Path, description = "Catalog id or name."), ("If-Match" = Option<String>, Header, description = "Versions that the entry may have; another is 412.")),
    request_body(content = ModelStateRequest, example = json!(catalog_examples::model_state())),
    responses((status = 200, description = "The entry.", body = CatalogModelView, headers(("ETag" = String, description = "Its version.")), example = json!(catalog_examples::model()))),
    extensions(("x-error-codes" = json!([ErrorCode::ModelNotFound, ErrorCode::PreconditionFailed]))),
)]
pub(super) async fn set_state(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let holds = precondition(request.headers());
    let wish: ModelStateRequest = read_json(request).await?;
    let entry = listed(&state, &id, &context)?.entry;
    let parts = &state.catalog;
    let (next, retire_at_ms) = match (wish.state, wish.deadline_ms) {
        (ModelState::Active, None) => (EntryState::Active, None),
        (ModelState::Active, Some(_)) => {
            return Err(InvalidField::new("deadline_ms", "allowed: with Retired only").into());
        }
        (ModelState::Retired, Some(ms)) if ms > RETIRE_MS_MAX => {
            return Err(InvalidField::new("deadline_ms", "allowed: up to 31536000000").into());
        }
        (ModelState::Retired, ms) => {
            (EntryState::Retired, ms.map(|ms| (parts.now_ms)().saturating_add(ms)))
        }
    };
    let changed = parts.catalog.set_state(&entry.id, next, retire_at_ms, &holds).await;
    changed.map_err(|error| of_catalog(&error, context.correlation_id.as_str()))?;
    parts.retired.notify_one();
    shown(&state, &entry.id, StatusCode::OK)
}

/// Point a name to a model.
///
/// A name that is there moves; tasks that were admitted stay with the model that they were bound to.
#[utoipa::path(
    put,
    path = "/v2/catalog/aliases/{name}",
    tag = "catalog",
    operation_id = "set_alias",
    params(("name" = String, Path, description = "The name."), ("If-Match" = Option<String>, Header, description = "Versions that the entry may have; another is 412.")),
    request_body(content = AliasRequest, example = json!(catalog_examples::alias_request())),
    responses((status = 201, description = "The name is new.", body = AliasView, example = json!(catalog_examples::alias())), (status = 200, description = "It moved, or stays.", body = AliasView, example = json!(catalog_examples::alias()))),
    extensions(("x-error-codes" = json!([ErrorCode::ModelNotFound, ErrorCode::PreconditionFailed, ErrorCode::Conflict]))),
)]
pub(super) async fn set_alias(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let holds = precondition(request.headers());
    let wish: AliasRequest = read_json(request).await?;
    let alias: Alias =
        name.parse().map_err(|wrong| InvalidField::new("name", format!("{wrong}")))?;
    let catalog = &state.catalog.catalog;
    let target = listed(&state, &wish.model_ref, &context)?.entry;
    let is_new = catalog.find(alias.as_str()).is_none();
    let moved = catalog.set_alias_if(alias.clone(), &target.id, &holds).await;
    moved.map_err(|error| of_catalog(&error, context.correlation_id.as_str()))?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let view = AliasView { name: alias.to_string(), model_id: target.id.to_string() };
    Ok((status, Json(view)).into_response())
}

/// Remove a name.
///
/// The model stays.
#[utoipa::path(
    delete,
    path = "/v2/catalog/aliases/{name}",
    tag = "catalog",
    operation_id = "remove_alias",
    params(("name" = String, Path, description = "The name."), ("If-Match" = Option<String>, Header, description = "Versions that the entry may have; another is 412.")),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-error-codes" = json!([ErrorCode::NotFound, ErrorCode::PreconditionFailed]))),
)]
pub(super) async fn remove_alias(
    State(state): State<AppState>,
    Extension(context): Extension<RequestContext>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    // What cannot be a name is none.
    let unknown = |_form| Problem::new(ErrorCode::NotFound, "no model has this name");
    let alias: Alias = name.parse().map_err(unknown)?;
    let removed = state.catalog.catalog.remove_alias(&alias, &precondition(&headers)).await;
    removed.map_err(|error| of_catalog(&error, context.correlation_id.as_str()))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which nodes and pools hold which model.
///
/// For each model of the catalog, by id.
#[utoipa::path(
    get,
    path = "/v2/catalog/availability",
    tag = "catalog",
    operation_id = "get_availability",
    params(PageWish<CatalogId>),
    responses((status = 200, description = "A page.", body = Page<AvailabilityView>, example = json!(catalog_examples::availability()))),
    extensions(("x-error-codes" = json!([ErrorCode::InvalidParams]))),
)]
pub(super) async fn availability(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<AvailabilityView>>, Problem> {
    let query = Query::read(query.as_deref(), &PageWish::<CatalogId>::NAMES)?;
    let page = PageWish::<CatalogId>::read(&query)?;
    let mut models = state.catalog.catalog.list();
    models.retain(|model| page.after.as_ref().is_none_or(|after| model.entry.id > *after));
    let next_cursor = page.cut(&mut models, |model| model.entry.id.clone());
    let view = |model| availability_view(model, &state.orchestrator);
    Ok(Json(Page { items: models.iter().map(view).collect(), next_cursor }))
}

async fn begin(
    state: &AppState,
    kind: &'static str,
    target: String,
    input: Value,
    correlation_id: &str,
) -> Result<OperationRecord, Problem> {
    let wish = NewOperation { kind, target, input, correlation_id: correlation_id.to_owned() };
    let begun = state.operations.begin(wish).await;
    begun.map_err(|error| of_beginning(&error, correlation_id).into())
}

fn accepted(record: OperationRecord) -> Response {
    let view = operation_accepted(record);
    let location = HeaderValue::from_str(&view.status_url).expect("an id is a header value");
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(view)).into_response()
}

fn listed(
    state: &AppState,
    model_ref: &str,
    context: &RequestContext,
) -> Result<ListedModel, Problem> {
    state.catalog.catalog.listed(model_ref).ok_or_else(|| {
        let model = model_ref.chars().take(128).collect();
        let unknown = catalog_core::ResolveError::UnknownModel { model };
        of_catalog(&unknown.into(), context.correlation_id.as_str()).into()
    })
}

fn shown(state: &AppState, id: &CatalogId, status: StatusCode) -> Result<Response, Problem> {
    let model = state.catalog.catalog.listed(&id.to_string());
    Ok(model_response(state, &model.ok_or_else(Problem::internal)?, status))
}

fn model_response(state: &AppState, model: &ListedModel, status: StatusCode) -> Response {
    let view = model_view(model, &state.catalog.catalog.trust());
    let id = percent_encoded(&view.id);
    let headers = [
        (header::ETAG, etag(&model.version())),
        (header::CONTENT_LOCATION, location(&format!("/v2/catalog/models/{id}"))),
    ];
    let mut response = (status, headers, Json(view)).into_response();
    if status == StatusCode::CREATED {
        let place = location(&format!("/v2/catalog/models/{id}"));
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

fn location(path: &str) -> HeaderValue {
    HeaderValue::from_str(path).expect("what is not plain was escaped")
}

/// An id as one segment of a path: those of remote models may hold slashes and more.
fn percent_encoded(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b':' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn not_modified(version: &str) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, etag(version))]).into_response()
}
