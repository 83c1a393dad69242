use std::collections::BTreeMap;

use api_types::{ErrorBody, ErrorCode};
use http_edge::{Needs, Scope};
use serde_json::{Value, json};

use super::is_facade;
use crate::routes::SCOPES;

/// Under this key an annotation lists the codes of its handler's own refusals.
const CODES: &str = "x-error-codes";

/// An id for examples.
const EXAMPLE_ID: &str = "0190b6a4-1c2d-7e3f-8a4b-5c6d7e8f9a0b";

/// Adds the errors that an operation can answer with: its handler's own, which its annotation lists under
/// `x-error-codes`, and those of the layers in front of every handler.
pub(super) fn complete(path: &str, operation: &mut Value) {
    let own = operation.get(CODES).cloned().unwrap_or_else(|| json!([]));
    let mut codes: Vec<ErrorCode> =
        serde_json::from_value(own).expect("annotations list codes of the type");
    codes.extend(of_the_layers(path, operation));
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in codes {
        let status = status_at(path, code);
        let listed = by_status.entry(status).or_default();
        if !listed.contains(&code) {
            listed.push(code);
        }
    }
    let names: Vec<&str> = by_status.values().flatten().map(|code| code.name()).collect();
    operation[CODES] = json!(names);
    for (status, codes) in by_status {
        let responses = &mut operation["responses"];
        let key = status.to_string();
        if responses.get(&key).is_none() {
            responses[&key] = response(path, status, &codes);
        }
    }
}

/// What may answer before a handler is reached.
fn of_the_layers(path: &str, operation: &Value) -> Vec<ErrorCode> {
    use ErrorCode as Code;
    let mut codes =
        vec![Code::HostNotAllowed, Code::PayloadTooLarge, Code::HeadersTooLarge, Code::Internal];
    if operation["security"] != json!([]) {
        codes.extend([Code::MissingToken, Code::BadToken, Code::PolicyDenied]);
    }
    if operation.get("requestBody").is_some() {
        let body = [
            Code::MalformedJson,
            Code::RequestTimeout,
            Code::UnsupportedMediaType,
            Code::InvalidParams,
        ];
        codes.extend(body);
    }
    if path.contains('{') {
        codes.push(Code::InvalidParams); // what is no UTF-8 behind its percent signs
    }
    codes
}

fn status_at(path: &str, code: ErrorCode) -> u16 {
    if is_facade(path) { facade_error(code).0 } else { code.status().unwrap_or(503) }
}

fn facade_error(code: ErrorCode) -> (u16, Value) {
    let error = openai_facade::facade_error(&example(code), None);
    (error.status, serde_json::to_value(error.body).expect("an error is JSON"))
}

fn response(path: &str, status: u16, codes: &[ErrorCode]) -> Value {
    let is_facade = is_facade(path);
    let body = |code: ErrorCode| {
        let native = serde_json::to_value(example(code)).expect("an error is JSON");
        if is_facade { facade_error(code).1 } else { native }
    };
    let name = |code: ErrorCode| {
        let body = body(code);
        let code = if is_facade { &body["error"]["code"] } else { &body["code"] };
        code.as_str().unwrap_or_default().to_owned()
    };
    let names: Vec<String> = codes.iter().map(|code| name(*code)).collect();
    let schema = if is_facade {
        let code = json!({"properties": {"code": {"enum": names}}});
        json!({"$ref": "#/components/schemas/OpenAiError", "properties": {"error": code}})
    } else {
        json!({"$ref": "#/components/schemas/ErrorBody", "properties": {"code": {"enum": names}}})
    };
    let examples: serde_json::Map<String, Value> =
        codes.iter().map(|code| (name(*code), json!({"value": body(*code)}))).collect();
    json!({
        "description": description(status, &names),
        "content": {"application/json": {"schema": schema, "examples": examples}},
    })
}

fn example(code: ErrorCode) -> ErrorBody {
    let status = code.status().unwrap_or(503);
    let retry_after_ms = (code.retriable() && matches!(status, 429 | 503)).then_some(1000);
    let field = (code == ErrorCode::InvalidParams).then(|| "max_tokens".to_owned());
    let message = format!("what happened, and what to do next ({})", meaning(status));
    ErrorBody { retry_after_ms, field, ..ErrorBody::new(code, message, EXAMPLE_ID) }
}

fn description(status: u16, names: &[String]) -> String {
    format!("{}: {}.", meaning(status), names.join(", "))
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be read",
        401 => "There is no token, or not a valid one",
        403 => "The caller may not do this",
        404 => "There is no such thing",
        408 => "The body did not arrive in time",
        409 => "The state of things is against it",
        410 => "It was there and is gone",
        412 => "It has changed meanwhile",
        413 => "The body is too large",
        415 => "The body is not UTF-8 JSON by its media type",
        422 => "A value is not taken",
        429 => "Too much at once",
        431 => "The header is too large",
        500 => "Something broke inside",
        503 => "It cannot be done now",
        504 => "It was not done in time",
        507 => "The disk is full",
        _ => "It failed",
    }
}

/// Who may call, as `routes/scopes.rs` has it.
pub(super) fn security(path: &str, method: &str) -> Value {
    let route = SCOPES.iter().find(|route| route.path == path);
    let needs = route.map_or(Needs::Scope(Scope::Admin), |route| match method {
        "get" | "head" => route.reads,
        _ => route.writes,
    });
    let scopes: &[&str] = match needs {
        Needs::Nothing => return json!([]),
        Needs::AnyToken => &[],
        Needs::Scope(Scope::Client) => &["client"],
        Needs::Scope(Scope::Node) => &["node"],
        Needs::Scope(Scope::Admin) => &["admin"],
    };
    // The empty alternative: on a loopback address without a configured token none is needed.
    json!([{"bearer": scopes}, {}])
}

/// Headers of answers that stand in more than one place.
pub(super) fn headers() -> Value {
    let header = |description: &str, schema: Value, example: Value| json!({"description": description, "schema": schema, "example": example});
    let text = || json!({"type": "string"});
    json!({
        "X-Correlation-Id": header(
            "The request's own id, or a fresh one.",
            json!({"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"}),
            json!("order-66"),
        ),
        "x-request-id": header("Equal to X-Correlation-Id.", text(), json!("order-66")),
        "x-should-retry": header(
            "Whether the same request may succeed later, for OpenAI's own client.",
            json!({"type": "string", "enum": ["true", "false"]}),
            json!("true"),
        ),
        "WWW-Authenticate": header("How to come in.", text(), json!("Bearer")),
        "Retry-After": header(
            "Whole seconds to wait before trying again; absent where that cannot help.",
            json!({"type": "integer", "minimum": 1, "maximum": 60}),
            json!(1),
        ),
        "X-Backoff-Ms": header(
            "The same in milliseconds, equal to `retry_after_ms`; absent where trying again cannot help.",
            json!({"type": "integer", "minimum": 0}),
            json!(1000),
        ),
    })
}
