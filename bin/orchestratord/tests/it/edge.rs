use serde_json::json;
use testkit::ScriptedEngine;

use crate::{
    daemon::{Daemon, Home, scripted_task},
    http::{Answer, Request},
};

fn daemon() -> (ScriptedEngine, Home, Daemon) {
    let engine = ScriptedEngine::start(&[]);
    let home =
        Home::scripted(&engine, "", "[cors]\nallowed_origins = [\"http://pages.example:3000\"]");
    let daemon = home.start().ready();
    (engine, home, daemon)
}

/// Verifies: ORCH-008, ORCH-002
#[test]
fn a_known_path_with_another_method_names_what_it_allows() {
    let (_engine, _home, daemon) = daemon();
    let id = daemon.submit(&scripted_task("x"));
    let check = |method: &str, path: &str, allowed: &[&str]| {
        let answer = Request::new(method, path).send(daemon.addr);
        assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text());
        let allow = answer.header("allow").expect("Allow").to_owned();
        let mut allow: Vec<&str> = allow.split(',').map(str::trim).collect();
        allow.sort_unstable();
        assert_eq!(allow, allowed, "{method} {path}");
        answer
    };
    let task = format!("/v2/tasks/{id}");
    check("DELETE", "/v2/tasks", &["GET", "HEAD", "POST"]).expect_error(405, "METHOD_NOT_ALLOWED");
    check("PUT", &task, &["DELETE", "GET", "HEAD"]).expect_error(405, "METHOD_NOT_ALLOWED");
    check("GET", &format!("{task}/cancel"), &["POST"]);
    check("POST", &format!("{task}/events"), &["GET", "HEAD"]);
    check("POST", "/healthz", &["GET", "HEAD"]);
    check("POST", "/v2/status", &["GET", "HEAD"]);
    let facade = check("GET", "/v1/chat/completions", &["POST"]);
    assert_eq!(facade.json()["error"]["code"], "METHOD_NOT_ALLOWED");
}

/// Verifies: ORCH-001, ORCH-008
#[test]
fn an_unknown_path_is_not_found_in_the_shape_of_its_api() {
    let (_engine, _home, daemon) = daemon();
    for path in [
        "/",
        "/v2",
        "/v2/",
        "/v2/nothing",
        "/v3/tasks",
        "/tasks",
        "/v2/tasks/",
        "/v2/tasks/not-an-id",
        "/v2/tasks/00000000-0000-7000-8000-000000000000",
        "/v2/tasks/00000000-0000-7000-8000-000000000000/events",
    ] {
        daemon.get(path).expect_error(404, "NOT_FOUND");
    }
    let facade = daemon.get("/v1/nothing");
    assert_eq!((facade.status, &facade.json()["error"]["type"]), (404, &json!("not_found_error")));
}

/// Verifies: ORCH-236
#[test]
fn a_foreign_host_or_origin_is_turned_away() {
    let (_engine, _home, daemon) = daemon();
    let port = daemon.addr.port();
    let refused = |request: Request| {
        request.send(daemon.addr).expect_error(403, "HOST_NOT_ALLOWED");
    };
    let taken = |request: Request| assert_eq!(request.send(daemon.addr).status, 200);
    let get = || Request::get("/v2/status");
    for host in [
        "rebound.example",
        "127.0.0.1.rebound.example",
        "192.168.0.7",
        "0.0.0.0",
        "localhost@evil",
        "",
    ] {
        refused(get().header("Host", host));
    }
    refused(get().header("Host", "localhost").header("Host", "evil.example"));
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]:80"] {
        taken(get().header("Host", host));
    }
    for origin in ["http://evil.example", "null", "https://localhost", "http://127.0.0.1:1"] {
        refused(get().header("Origin", origin));
    }
    taken(get().header("Origin", &format!("http://127.0.0.1:{port}")));
    taken(get().header("Origin", "http://pages.example:3000"));
    // The rule comes before everything else, the path and the body included.
    refused(Request::post("/nowhere", "{").header("Host", "evil.example"));
    let facade = Request::get("/v1/models").header("Host", "evil.example").send(daemon.addr);
    assert_eq!((facade.status, &facade.json()["error"]["type"]), (403, &json!("permission_error")));
}

/// Verifies: ORCH-274
#[test]
fn headers_beyond_the_limits_are_refused() {
    let (_engine, _home, daemon) = daemon();
    let large = Request::get("/healthz").header("X-Large", &"x".repeat(17 * 1024));
    large.send(daemon.addr).expect_error(431, "HEADERS_TOO_LARGE");
    let many = (0..65).fold(Request::get("/healthz"), |request, number| {
        request.header(&format!("X-{number}"), "x")
    });
    many.send(daemon.addr).expect_error(431, "HEADERS_TOO_LARGE");
    let enough = (0..60).fold(Request::get("/healthz"), |request, number| {
        request.header(&format!("X-{number}"), "x")
    });
    assert_eq!(enough.send(daemon.addr).status, 200);
}

/// Verifies: ORCH-005
#[test]
fn every_answer_carries_the_correlation_id_or_a_fresh_one() {
    let (_engine, _home, daemon) = daemon();
    let id = daemon.submit(&scripted_task("[[tokens=2]]"));
    let last = daemon.wait_until(&id, "succeeded")["last_event_id"].as_u64().unwrap();
    let tasks = |body: &str| Request::post("/v2/tasks", body);
    let of_page = |method: &str| {
        let request =
            Request::new(method, "/v2/tasks").header("Origin", "http://pages.example:3000");
        request.header("Access-Control-Request-Method", "POST")
    };
    let requests: Vec<(u16, Box<dyn Fn() -> Request>)> = vec![
        (200, Box::new(|| Request::get("/healthz"))),
        (200, Box::new(|| Request::get("/metrics"))),
        (200, Box::new(|| Request::get("/v1/models"))),
        (404, Box::new(|| Request::get("/v1/nothing"))),
        (400, Box::new(|| Request::post("/v1/chat/completions", "{"))),
        (204, Box::new(|| of_page("OPTIONS"))),
        (405, Box::new(|| Request::new("OPTIONS", "/v2/tasks"))),
        (200, Box::new(|| Request::get(&format!("/v2/tasks/{id}/events")))),
        (202, Box::new(|| tasks(&scripted_task("x").to_string()))),
        (204, Box::new(|| Request::get(&format!("/v2/tasks/{id}/events?after={last}")))),
        (400, Box::new(|| tasks("{"))),
        (403, Box::new(|| Request::get("/healthz").header("Host", "evil.example"))),
        (404, Box::new(|| Request::get("/nowhere"))),
        (405, Box::new(|| Request::new("DELETE", "/healthz"))),
        (409, Box::new(|| Request::get(&format!("/v2/tasks/{id}/events?after=1000")))),
        (413, Box::new(|| tasks("").unmeasured().header("Content-Length", "99999999"))),
        (415, Box::new(|| Request::new("POST", "/v2/tasks").body("x"))),
        (422, Box::new(|| tasks("{}"))),
        (431, Box::new(|| Request::get("/healthz").header("X", &"x".repeat(20_000)))),
    ];
    for (status, request) in &requests {
        let with = |value: &str| -> Answer {
            let answer = request().header("X-Correlation-Id", value).send(daemon.addr);
            assert_eq!(answer.status, *status, "{}", answer.text());
            answer
        };
        let fresh = |answer: &Answer| {
            let id = answer.header("x-correlation-id").expect("an id").to_owned();
            let is_uuid_v7 = id.len() == 36 && id.as_bytes()[14] == b'7';
            assert!(is_uuid_v7, "{status}: {id}");
            id
        };
        assert_eq!(with("my.id:7-A_").header("x-correlation-id"), Some("my.id:7-A_"), "{status}");
        let one = fresh(&with("not allowed"));
        let other = fresh(&with(&"x".repeat(129)));
        assert_ne!(one, other);
        fresh(&request().send(daemon.addr));
    }
}

/// Verifies: ORCH-006
#[test]
fn the_correlation_id_stays_with_the_task_and_reaches_the_engine() {
    let (engine, _home, daemon) = daemon();
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = Request::post("/v2/tasks", scripted_task("[[tokens=1]]").to_string())
        .header("X-Correlation-Id", "order-66")
        .header("traceparent", traceparent);
    let id = request.send(daemon.addr).json()["task_id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.wait_until(&id, "succeeded")["correlation_id"], "order-66");
    let started = daemon.events(&id).next_stored().unwrap().json();
    assert_eq!(started["correlation_id"], "order-66");
    let log = engine.log();
    let headers = &log.iter().find(|entry| entry["event"] == "started").unwrap()["headers"];
    assert_eq!(headers["x-correlation-id"], "order-66");
    assert_eq!(headers["traceparent"].as_str().unwrap()[..35], traceparent[..35]);
}

/// Verifies: ORCH-271
#[test]
fn health_and_readiness_are_told() {
    let (_engine, _home, daemon) = daemon();
    assert_eq!(daemon.get("/healthz").status, 200);
    let ready = daemon.get("/readyz");
    assert_eq!((ready.status, ready.json()), (200, json!({"ready": true, "failing": []})));
}
