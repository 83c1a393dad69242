use std::process::Command;

use api_types::{
    AddModelRequest, AliasRequest, AliasView, AvailabilityView, CancelAnswer, CapabilitiesView,
    CatalogModelView, ErrorBody, ModelStateRequest, OperationAccepted, OperationView, Page,
    ReadyView, StatusView, TaskAccepted, TaskRequest, TaskView, VersionView,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use testkit::ScriptedEngine;

use crate::{
    daemon::{Daemon, Home, scripted_task},
    http::{Answer, Request},
    starter::workspace,
};

/// An id of nothing.
const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

/// How the daemon says that it has no route.
const NO_SUCH_PATH: &str = "there is nothing at this path";

/// The checked-in document.
fn checked_in() -> Value {
    let path = workspace().join("contracts/generated/openapi-orchestratord.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn daemon() -> (ScriptedEngine, Home, Daemon) {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "workloads = [\"completion\", \"embedding\"]", "");
    let daemon = home.start().ready();
    (engine, home, daemon)
}

/// Each operation: path, method, and what the document says of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let methods = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().clone().into_iter();
        let path = path.clone();
        methods.map(move |(method, operation)| (path.clone(), method.to_uppercase(), operation))
    };
    paths.flat_map(methods).collect()
}

/// A path of the document with something that is there in place of its parameter.
fn concrete(path: &str, task: &str) -> String {
    let id = if path.starts_with("/v1/models") { "scripted" } else { task };
    let parts = path.split('/').map(|part| if part.starts_with('{') { id } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Verifies: ORCH-013
#[test]
fn the_checked_in_document_is_what_the_daemon_serves_and_prints() {
    let (_engine, _home, daemon) = daemon();
    let served = daemon.get("/v2/openapi.json");
    assert_eq!((served.status, served.header("content-type")), (200, Some("application/json")));
    let advice = "run `cargo xtask contracts` and commit what it writes";
    assert!(served.json() == checked_in(), "{advice}");
    let printed =
        Command::new(env!("CARGO_BIN_EXE_orchestratord")).arg("openapi").output().unwrap();
    assert!(printed.status.success());
    assert_eq!(printed.stdout, served.body);
    assert_eq!(served.json()["openapi"], "3.1.0");
}

/// Verifies: ORCH-013, ORCH-008
#[test]
fn the_daemon_has_the_documented_operations_and_no_others() {
    let (_engine, _home, daemon) = daemon();
    let document = checked_in();
    let documented = operations(&document);
    for path in document["paths"].as_object().unwrap().keys() {
        let has = |method: &str| documented.iter().any(|(p, m, _)| p == path && m == method);
        let mut allowed: Vec<&str> =
            ["DELETE", "GET", "PATCH", "POST", "PUT"].into_iter().filter(|it| has(it)).collect();
        if has("GET") {
            allowed.push("HEAD");
        }
        allowed.sort_unstable();
        let target = concrete(path, &daemon.submit(&scripted_task("x")));
        // A delete comes last, as what it deletes is gone afterwards.
        for method in ["GET", "HEAD", "PATCH", "POST", "PUT", "DELETE"] {
            let answer = Request::new(method, &target).send(daemon.addr);
            if allowed.contains(&method) {
                // The thing that a path names may be missing, but never the path.
                let is_there = answer.status != 405 && !answer.text().contains(NO_SUCH_PATH);
                assert!(is_there, "{method} {path}: {}", answer.text());
                continue;
            }
            assert_eq!(answer.status, 405, "{method} {path}");
            let allow = answer.header("allow").unwrap_or_default();
            let mut allow: Vec<&str> = allow.split(',').map(str::trim).collect();
            allow.sort_unstable();
            assert_eq!(allow, allowed, "{method} {path}");
        }
        let beyond = daemon.get(&format!("{target}/and/beyond"));
        assert_eq!(beyond.status, 404, "{path}: {}", beyond.text());
    }
}

/// The schema of an answer with every object closed, so that a field which the document lacks shows.
fn closed(mut schema: Value, document: &Value) -> Value {
    let mut components = document["components"].clone();
    close(&mut components);
    schema["components"] = components;
    schema
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            let is_object = fields.get("type").is_some_and(|it| it == "object");
            if is_object && fields.contains_key("properties") {
                fields.entry("additionalProperties").or_insert(json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[track_caller]
fn assert_valid(schema: &Value, document: &Value, body: &Value, about: &str) {
    let validator = jsonschema::validator_for(&closed(schema.clone(), document)).unwrap();
    let problems: Vec<String> = validator
        .iter_errors(body)
        .map(|problem| format!("{problem} at {}", problem.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{about}: {problems:#?} in {body:#}");
}

/// Holds an answer against what the document says of its operation.
#[track_caller]
fn assert_documented(document: &Value, path: &str, method: &str, answer: &Answer) {
    let about = format!("{method} {path} gave {}: {}", answer.status, answer.text());
    let operation = &document["paths"][path][method.to_lowercase()];
    let response = &operation["responses"][answer.status.to_string()];
    assert!(response.is_object(), "undocumented: {about}");
    for name in ["X-Correlation-Id", "x-request-id"] {
        if response["headers"].get(name).is_some() {
            let given = answer.header(name);
            assert!(given.is_some(), "without {name}: {about}");
            assert_eq!(given, answer.header("x-correlation-id"), "{about}");
        }
    }
    let Some(contents) = response["content"].as_object() else {
        assert!(answer.body.is_empty(), "a body: {about}");
        return;
    };
    let media_type = answer.header("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default();
    let content = contents.get(media_type).unwrap_or_else(|| panic!("{media_type}: {about}"));
    if media_type == "text/event-stream" && operation.get("x-sse-events").is_some() {
        assert_events(document, &operation["x-sse-events"], answer.text());
    } else if media_type == "application/json" {
        assert_valid(&content["schema"], document, &answer.json(), &about);
    }
}

#[track_caller]
fn assert_events(document: &Value, kinds: &Value, stream: &str) {
    let mut seen = 0;
    for event in stream.split("\n\n") {
        let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        let (Some(name), Some(data)) = (line("event: "), line("data: ")) else { continue };
        let kind = kinds.get(name).unwrap_or_else(|| panic!("undocumented event {name}"));
        assert_eq!(line("id: ").is_some(), kind["has_id"] == true, "{event}");
        assert_valid(&kind["data"], document, &serde_json::from_str(data).unwrap(), name);
        seen += 1;
    }
    assert!(seen > 0, "no event in {stream:?}");
}

/// Verifies: ORCH-013, ORCH-002, ORCH-003, ORCH-004, ORCH-010, ORCH-249
#[test]
fn what_the_daemon_answers_is_what_the_document_says() {
    let (_engine, _home, daemon) = daemon();
    let document = checked_in();
    let done = daemon.submit(&scripted_task("[[tokens=2]]"));
    let last = daemon.wait_until(&done, "succeeded")["last_event_id"].as_u64().unwrap();
    let failed = daemon.submit(&scripted_task("[[error=400]]"));
    let check = |method: &str, path: &str, target: &str, expected: u16, request: Request| {
        let answer = request.send(daemon.addr);
        assert_eq!(answer.status, expected, "{method} {target}: {}", answer.text());
        assert_documented(&document, path, method, &answer);
    };
    let get = |path: &str, target: &str, expected: u16| {
        check("GET", path, target, expected, Request::get(target));
    };
    let post = |path: &str, target: &str, expected: u16, body: &str| {
        check("POST", path, target, expected, Request::post(target, body));
    };
    for path in ["/healthz", "/readyz", "/v2/status", "/v2/openapi.json", "/metrics", "/v1/models"]
    {
        get(path, path, 200);
    }
    get("/v2/meta/capabilities", "/v2/meta/capabilities", 200);
    get("/v2/meta/version", "/v2/meta/version", 200);
    get("/v1/models/{id}", "/v1/models/scripted", 200);
    get("/v1/models/{id}", "/v1/models/nobody", 404);
    get("/v1/models/{id}", "/v1/models/%ff", 400);
    get("/v2/tasks", "/v2/tasks?limit=1", 200);
    for wrong in ["limit=0", "limit=501", "cursor=x", "status=lost", "color=red", "limit=1&limit=1"]
    {
        get("/v2/tasks", &format!("/v2/tasks?{wrong}"), 422);
    }
    for list in ["/v2/catalog/models", "/v2/operations", "/v2/catalog/availability"] {
        get(list, list, 200);
        for wrong in ["limit=0", "limit=501", "cursor=x", "color=red"] {
            get(list, &format!("{list}?{wrong}"), 422);
        }
    }
    get("/v2/catalog/availability", "/v2/catalog/availability?limit=1", 200);
    get("/v2/catalog/models/{id}", "/v2/catalog/models/scripted", 200);
    get("/v2/catalog/models/{id}", "/v2/catalog/models/nobody", 404);
    get("/v2/operations/{id}", &format!("/v2/operations/{NOBODY}"), 404);
    let one = "/v2/tasks/{id}";
    get(one, &format!("/v2/tasks/{done}?include=prompt"), 200);
    get(one, &format!("/v2/tasks/{failed}"), 200);
    get(one, &format!("/v2/tasks/{done}?include=all"), 422);
    get(one, &format!("/v2/tasks/{NOBODY}"), 404);
    let events = "/v2/tasks/{id}/events";
    get(events, &format!("/v2/tasks/{done}/events"), 200);
    get(events, &format!("/v2/tasks/{failed}/events"), 200);
    get(events, &format!("/v2/tasks/{done}/events?after={last}"), 204);
    get(events, &format!("/v2/tasks/{done}/events?after=1000"), 409);
    get(events, &format!("/v2/tasks/{done}/events?after=x"), 422);
    get(events, &format!("/v2/tasks/{NOBODY}/events"), 404);
    post("/v2/tasks/{id}/cancel", &format!("/v2/tasks/{done}/cancel"), 200, "");
    post("/v2/tasks/{id}/cancel", &format!("/v2/tasks/{NOBODY}/cancel"), 404, "");

    let tasks = "/v2/tasks";
    let embedding = json!({"model_ref": "scripted", "workload": "embedding", "inputs": ["x"]});
    let request = &document["paths"][tasks]["post"]["requestBody"]["content"]["application/json"];
    assert_valid(&request["schema"], &document, &embedding, "a task of embeddings");
    post(tasks, tasks, 202, &scripted_task("x").to_string());
    post(tasks, tasks, 202, &embedding.to_string());
    post(tasks, tasks, 400, "{");
    post(tasks, tasks, 404, &json!({"model_ref": "nobody", "prompt": "x"}).to_string());
    post(tasks, tasks, 422, &json!({"model_ref": "scripted", "prompt": 1}).to_string());
    let chat = "/v1/chat/completions";
    let say = |model: &str, stream: bool| {
        let message = json!({"role": "user", "content": "[[tokens=2]]"});
        json!({"model": model, "messages": [message], "stream": stream}).to_string()
    };
    post(chat, chat, 200, &say("scripted", false));
    post(chat, chat, 200, &say("scripted", true));
    post(chat, chat, 404, &say("nobody", false));
    post(chat, chat, 400, "{");
    post(chat, chat, 400, "{}");
    for path in [tasks, chat] {
        check("POST", path, path, 415, Request::new("POST", path).body("x"));
        let long = Request::post(path, "").unmeasured().header("Content-Length", "99999999");
        check("POST", path, path, 413, long);
    }
    for (path, method, _) in operations(&document) {
        let request = || Request::new(&method, &concrete(&path, &done));
        let foreign = request().header("Host", "evil.example");
        check(&method, &path, &path, 403, foreign);
        check(&method, &path, &path, 431, request().header("X", &"x".repeat(20_000)));
    }
}

/// Verifies: ORCH-013
#[test]
fn every_operation_is_described_and_has_an_example_that_works() {
    let (_engine, _home, daemon) = daemon();
    let document = checked_in();
    let mut names = Vec::new();
    for (path, method, operation) in operations(&document) {
        let about = format!("{method} {path}");
        let text = |name: &str| operation[name].as_str().unwrap_or_default().to_owned();
        assert!(!text("summary").is_empty() && !text("description").is_empty(), "{about}");
        assert!(operation["security"].is_array() && operation["tags"][0].is_string(), "{about}");
        assert!(!names.contains(&text("operationId")), "{about}: its operationId is another's");
        names.push(text("operationId"));
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(response["description"].is_string(), "{about} {status}");
            for (media_type, content) in response["content"].as_object().unwrap_or(&Map::new()) {
                let examples = examples(content);
                assert!(!examples.is_empty(), "{about} {status} {media_type} has no example");
                for example in examples.iter().filter(|_| media_type == "application/json") {
                    assert_valid(&content["schema"], &document, example, &about);
                    read_back(&content["schema"], example);
                }
            }
        }
        for content in
            operation["requestBody"]["content"].as_object().unwrap_or(&Map::new()).values()
        {
            let examples = examples(content);
            assert!(!examples.is_empty(), "{about} has no example of a request");
            for mut example in examples {
                assert_valid(&content["schema"], &document, &example, &about);
                read_back(&content["schema"], &example);
                for name in ["model", "model_ref"] {
                    if example.get(name).is_some() {
                        example[name] = json!("scripted");
                    }
                }
                let thing = if path.contains("/aliases/") { "another" } else { NOBODY };
                let request = Request::new(&method, &concrete(&path, thing));
                let request = request.header("Content-Type", "application/json");
                let answer = request.body(example.to_string()).send(daemon.addr);
                assert_documented(&document, &path, &method, &answer);
                // Models of examples are elsewhere; what is asked of them is understood all the same.
                let is_taken = (200..300).contains(&answer.status);
                let is_missing =
                    path.contains("/catalog/") && [403, 404, 422].contains(&answer.status);
                assert!(is_taken || is_missing, "{about}: {}", answer.text());
            }
        }
    }
}

fn examples(content: &Value) -> Vec<Value> {
    let many = content["examples"].as_object().into_iter().flat_map(Map::values);
    let many = many.map(|example| example["value"].clone());
    content.get("example").cloned().into_iter().chain(many).collect()
}

/// Reads an example as the type that its schema is called after.
fn read_back(schema: &Value, example: &Value) {
    fn as_type<T: DeserializeOwned>(example: &Value) {
        serde_json::from_value::<T>(example.clone())
            .unwrap_or_else(|error| panic!("{error} in {example:#}"));
    }
    let name = schema["$ref"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    match name {
        "CatalogModelView" => as_type::<CatalogModelView>(example),
        "OperationView" => as_type::<OperationView>(example),
        "OperationAccepted" => as_type::<OperationAccepted>(example),
        "AliasView" => as_type::<AliasView>(example),
        "AliasRequest" => as_type::<AliasRequest>(example),
        "AddModelRequest" => as_type::<AddModelRequest>(example),
        "ModelStateRequest" => as_type::<ModelStateRequest>(example),
        "Page_AvailabilityView" => as_type::<Page<AvailabilityView>>(example),
        "Page_CatalogModelView" => as_type::<Page<CatalogModelView>>(example),
        "Page_OperationView" => as_type::<Page<OperationView>>(example),
        "CancelAnswer" => as_type::<CancelAnswer>(example),
        "CapabilitiesView" => as_type::<CapabilitiesView>(example),
        "ErrorBody" => as_type::<ErrorBody>(example),
        "Page_TaskView" => as_type::<Page<TaskView>>(example),
        "ReadyView" => as_type::<ReadyView>(example),
        "StatusView" => as_type::<StatusView>(example),
        "TaskAccepted" => as_type::<TaskAccepted>(example),
        "TaskRequest" => as_type::<TaskRequest>(example),
        "TaskView" => as_type::<TaskView>(example),
        "VersionView" => as_type::<VersionView>(example),
        // The facade's objects are written by hand; sending them is their test.
        _ => {}
    }
}

/// Verifies: ORCH-251, ORCH-252
#[test]
fn the_daemon_tells_what_it_is_and_what_its_engines_can() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(
        &engine,
        "slots = 3",
        "[limits]\nrequests_per_second = 7\n[queue]\nmodel_capacity = 9",
    );
    let daemon = home.start().ready();
    let version = daemon.get("/v2/meta/version").json();
    assert_eq!(version["api_version"], checked_in()["info"]["version"]);
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["build_time"].as_str().unwrap().ends_with('Z'), "{version}");
    let commit = version["build_commit"].as_str().unwrap();
    assert!(commit == "unknown" || commit.len() == 40, "{commit}");

    let able = daemon.get("/v2/meta/capabilities").json();
    assert_eq!(able["api_version"], version["api_version"]);
    assert_eq!(
        (&able["profile"], &able["limits"]["queue_model_capacity"]),
        (&json!("home"), &json!(9))
    );
    let model = &able["models"][0];
    assert_eq!(
        (&model["model_id"], &model["aliases"][0]),
        (&json!("remote:x/scripted"), &json!("scripted"))
    );
    let pool = &model["pools"][0];
    assert_eq!((&pool["pool_id"], &pool["engine"]), (&json!("x"), &json!("openai")));
    assert_eq!((&pool["slots_total"], &pool["batching"]), (&json!(3), &json!(true)));
    assert_eq!(pool["workloads"], json!(["completion"]));
    assert_eq!(pool["rate_limits"]["requests_per_second"], 7);
    let features: Vec<&str> =
        pool["features"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(features.contains(&"sampling.temperature"), "{features:?}");
    // What this engine's protocol has no word for is refused at admission, and not claimed here.
    assert!(!features.contains(&"sampling.top_k"), "{features:?}");
}
