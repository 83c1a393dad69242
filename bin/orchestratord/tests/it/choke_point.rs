use serde_json::Value;
use testkit::ScriptedEngine;

use crate::{
    http::Request,
    tokens::{by, with_tokens},
};

/// Every operation of the document: its method, its path with something for each parameter, and the scope
/// that it says it needs.
fn operations(document: &Value) -> Vec<(String, String, Option<String>)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let filled: Vec<&str> =
            path.split('/')
                .map(|part| {
                    if part.starts_with('{') {
                        "00000000-0000-7000-8000-000000000000"
                    } else {
                        part
                    }
                })
                .collect();
        for (method, operation) in item.as_object().unwrap() {
            let Some(security) = operation.get("security").and_then(Value::as_array) else {
                continue;
            };
            let scope = security.first().map(|one| one["bearer"][0].as_str().unwrap().to_owned());
            found.push((method.to_ascii_uppercase(), filled.join("/"), scope));
        }
    }
    found
}

/// Verifies: ORCH-232, ORCH-234, ORCH-005
#[test]
fn each_route_asks_for_its_token_and_no_narrower_one_opens_it() {
    let engine = ScriptedEngine::start(&[]);
    let home = with_tokens(&engine, &[("c", "client"), ("n", "node"), ("a", "admin")]);
    let daemon = home.start();
    let document = by("a", Request::get("/v2/openapi.json")).send(daemon.addr).json();
    let operations = operations(&document);
    assert!(operations.len() >= 12, "{operations:?}");
    for (method, path, scope) in &operations {
        let request = || Request::new(method, path);
        let Some(scope) = scope else {
            assert!(["/healthz", "/readyz"].contains(&path.as_str()), "{path} is open");
            assert_eq!(request().send(daemon.addr).status, 200);
            continue;
        };
        let code = |answer: &crate::http::Answer| {
            let body = answer.json();
            let code =
                if path.starts_with("/v1/") { &body["error"]["code"] } else { &body["code"] };
            (answer.status, code.as_str().unwrap_or_default().to_owned())
        };
        let missing = request().send(daemon.addr);
        assert_eq!(code(&missing), (401, "MISSING_TOKEN".to_owned()), "{method} {path}");
        let wrong = by("w", request()).send(daemon.addr);
        assert_eq!(code(&wrong), (401, "BAD_TOKEN".to_owned()), "{method} {path}");
        for (name, own) in [("c", "client"), ("n", "node"), ("a", "admin")] {
            let answer = by(name, request()).send(daemon.addr);
            if own == scope || own == "admin" {
                assert!(![401, 403].contains(&answer.status), "{method} {path} with {own}");
            } else {
                let expected = (403, "POLICY_DENIED".to_owned());
                assert_eq!(code(&answer), expected, "{method} {path} with {own}");
            }
        }
    }
    // Without a token nobody learns which paths there are.
    let there = Request::get("/v2/tasks").send(daemon.addr).json();
    let nowhere = Request::get("/v2/nowhere").send(daemon.addr).json();
    assert_eq!((&there["code"], &there["message"]), (&nowhere["code"], &nowhere["message"]));
}
