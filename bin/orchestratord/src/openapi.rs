//! The OpenAPI document of this daemon: what the routes' annotations say, and what holds for all of them.
//!
//! A route is annotated where its handler is (`routes.rs` says how). Here comes what no annotation should have
//! to repeat: the errors of the layers in front of the handlers, the one shape of errors, headers that every
//! answer carries, and who may call.

pub(crate) mod catalog_examples;
mod errors;
mod events;
pub(crate) mod examples;
mod formats;
pub(crate) mod openai;

use std::sync::LazyLock;

use api_types::{EndEvent, ErrorBody, ErrorCode, MetricsEvent, StartedEvent, TokenEvent};
use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

pub(crate) use events::sse_events;

/// The version of the API: of the document, and of `/v2/meta`.
pub(crate) const API_VERSION: &str = "2.0.0";

/// Types that no operation's own words name: what is inside an event stream.
#[derive(OpenApi)]
#[openapi(components(schemas(
    EndEvent,
    ErrorBody,
    ErrorCode,
    MetricsEvent,
    StartedEvent,
    TokenEvent
)))]
pub(crate) struct InStreams;

/// Methods that an entry of `paths` may have.
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "head", "options"];

/// What clients are told before anything else.
const DESCRIPTION: &str = "\
The native API of orchestratord under `/v2`, its OpenAI-compatible facade under `/v1`, and health at the root.

**Compatibility.** Within `/v2` nothing is removed and nothing changes its type. Fields of answers, values of \
enumerations, error codes and types of events are added: clients MUST ignore fields and event types that they do \
not know, and MUST treat an unknown error code by its HTTP status and `retriable`. Requests are strict: a field \
that the daemon does not know is refused with 422 and its path in `field`.

**Errors.** Each 4xx and 5xx answer outside `/v1` is one `ErrorBody`, from whichever layer it comes; the data of \
the `error` event of a stream is the same object. Below `/v1` errors have the shape of OpenAI's API. A path that \
does not exist is 404 `NOT_FOUND`; a path that exists with another method is 405 `METHOD_NOT_ALLOWED` with \
`Allow`. Who asks is judged before where they ask, so that without a token every path is 401.

**Correlation.** Every answer carries `X-Correlation-Id`: the request's own where it is 1 to 128 of \
`A-Z a-z 0-9 . _ : -`, else a fresh UUIDv7.

**Units.** Durations are integer milliseconds (`_ms`), sizes integer bytes (`_bytes`), instants RFC 3339 in UTC \
(`_at`), digests `sha256:` and 64 lower-case hex digits; ids that the daemon makes are UUIDv7.

**Lists** take `limit` and `cursor`, answer `{items, next_cursor}`, and keep their order.";

/// Puts the document together from what the routes say.
pub(crate) fn document(routes: utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(routes).expect("a document is JSON");
    document["info"] = json!({
        "title": "orchestratord",
        "version": API_VERSION,
        "summary": "Takes LLM work over HTTP, keeps it durably, and gets it done on the machines you own.",
        "description": DESCRIPTION,
        "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
    });
    document["jsonSchemaDialect"] = json!("https://json-schema.org/draft/2020-12/schema");
    document["servers"] = json!([{"url": "/"}]);
    document["tags"] = tags();
    document["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "The token, where one is configured; the names in `security` are the scopes that \
                            open a route. `admin` opens everything.",
        }
    });
    document["components"]["parameters"] = json!({
        "CorrelationId": {
            "name": "X-Correlation-Id",
            "in": "header",
            "required": false,
            "description": "Comes back in the answer, and stays with everything that the request causes. A value \
                            that cannot be used is replaced.",
            "schema": {"type": "string"},
            "example": "order-66",
        }
    });
    document["components"]["headers"] = errors::headers();
    document["components"]["schemas"]["OpenAiError"] = openai::error_schema();
    formats::mark(&mut document["components"]["schemas"]);
    exact_task_request(&mut document["components"]["schemas"]["TaskRequest"]);
    document["paths"]["/v2/tasks"]["post"]["responses"]["202"]["links"] = links_of_a_task();
    let paths = std::mem::take(&mut document["paths"]);
    let Value::Object(paths) = paths else { return document };
    let finished = paths.into_iter().map(|(path, mut item)| {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method) {
                finish(&path, method, operation);
            }
        }
        // The router's word for a parameter that may hold slashes.
        (path.replace("{*", "{"), item)
    });
    document["paths"] = Value::Object(finished.collect());
    document
}

/// One of `prompt`, `messages` and `inputs`, which types alone do not say.
fn exact_task_request(schema: &mut Value) {
    let one = |given: &str, absent: [&str; 2]| {
        let [first, second] = absent;
        let nothing = json!({"type": "null"});
        json!({
            "required": [given],
            "properties": {given: {"not": nothing}, first: nothing, second: nothing},
        })
    };
    schema["oneOf"] = json!([
        one("prompt", ["messages", "inputs"]),
        one("messages", ["prompt", "inputs"]),
        one("inputs", ["prompt", "messages"]),
    ]);
}

/// Where a client goes from a 202.
fn links_of_a_task() -> Value {
    let link = |operation: &str| json!({"operationId": operation, "parameters": {"id": "$response.body#/task_id"}});
    json!({"show": link("get_task"), "follow": link("follow_task"), "cancel": link("cancel_task")})
}

fn tags() -> Value {
    json!([
        {"name": "tasks", "description": "Work: handing it in, following it, ending it."},
        {"name": "catalog", "description": "Models: registering, naming, checking, retiring and deleting them."},
        {"name": "operations", "description": "Work that takes longer than an answer may."},
        {"name": "meta", "description": "What this daemon is and can do."},
        {"name": "health", "description": "Whether it lives and takes work; no token is needed."},
        {"name": "openai", "description": "The facade for clients of OpenAI's API; each request is a task."},
    ])
}

fn finish(path: &str, method: &str, operation: &mut Value) {
    let parameters = operation.as_object_mut().expect("an operation is an object");
    let parameters = parameters.entry("parameters").or_insert_with(|| json!([]));
    let parameters = parameters.as_array_mut().expect("parameters are a list");
    for parameter in parameters.iter_mut() {
        if let Some(schema) = parameter.get_mut("schema") {
            never_null(schema);
        }
    }
    parameters.push(json!({"$ref": "#/components/parameters/CorrelationId"}));
    operation["security"] = errors::security(path, method);
    errors::complete(path, operation);
    add_headers(path, operation);
}

/// A parameter that may be left out has no null: what stands in an address or a header is text.
fn never_null(schema: &mut Value) {
    let only = |values: Option<&Vec<Value>>, null: &Value| {
        let mut others = values?.iter().filter(|value| *value != null);
        Some(others.next().filter(|_| others.next().is_none())?.clone())
    };
    if let Some(kind) = only(schema.get("type").and_then(Value::as_array), &json!("null")) {
        schema["type"] = kind;
    } else if let Some(alternative) =
        only(schema.get("oneOf").and_then(Value::as_array), &json!({"type": "null"}))
    {
        *schema = alternative;
    }
}

/// Headers that every answer of a path has, and those that belong to a status.
fn add_headers(path: &str, operation: &mut Value) {
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    for (status, response) in responses {
        let mut names = vec!["X-Correlation-Id"];
        if is_facade(path) {
            names.push("x-request-id");
            if status.starts_with(['4', '5']) {
                names.push("x-should-retry");
            }
        }
        match status.as_str() {
            "401" => names.push("WWW-Authenticate"),
            "429" | "503" => names.extend(["Retry-After", "X-Backoff-Ms"]),
            _ => {}
        }
        let headers = response.as_object_mut().expect("an answer is an object");
        let headers = headers.entry("headers").or_insert_with(|| Value::Object(Map::new()));
        for name in names {
            headers[name] = json!({"$ref": format!("#/components/headers/{name}")});
        }
    }
}

fn is_facade(path: &str) -> bool {
    path.starts_with("/v1/")
}

/// The document as text, as it is served, printed and checked in: indented, keys in byte order.
pub(crate) fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let document = document(crate::routes::described().into_openapi());
        // The map behind `Value` may keep the order in which keys came.
        let mut text = format!("{:#}", sorted(document));
        text.push('\n');
        text
    });
    &TEXT
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut pairs: Vec<(String, Value)> =
                fields.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(pairs.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// The OpenAPI document of this API.
///
/// It is made from the same types and routes that serve it, and says what every operation takes and answers.
#[utoipa::path(
    get,
    path = "/v2/openapi.json",
    tag = "meta",
    operation_id = "get_openapi",
    responses((
        status = 200,
        description = "The document: OpenAPI 3.1.",
        content_type = "application/json",
        body = Object,
        example = json!({"openapi": "3.1.0", "info": {"title": "orchestratord", "version": API_VERSION}})
    ))
)]
pub(crate) async fn serve() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text()).into_response()
}
