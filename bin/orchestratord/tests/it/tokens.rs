use serde_json::json;
use testkit::ScriptedEngine;

use crate::{
    daemon::{Home, scripted_task},
    http::Request,
};

const TOKEN: &str = "correct-horse-battery-staple-0123456789";

/// Verifies: ORCH-232, ORCH-005, ORCH-004
#[test]
fn with_a_token_all_but_health_asks_for_it() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "[auth]\ntoken_file = \"TOKEN\"");
    let file = home.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let text = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(home.config(), text.replace("TOKEN", file.as_str())).unwrap();
    let daemon = home.start();

    for path in ["/healthz", "/readyz"] {
        assert_eq!(daemon.get(path).status, 200);
    }
    for path in ["/v2/status", "/v2/tasks", "/nowhere", "/v2/tasks/x/events", "/metrics"] {
        let missing = daemon.get(path);
        missing.expect_error(401, "MISSING_TOKEN");
        assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
        let wrong = Request::get(path).header("Authorization", "Bearer wrong").send(daemon.addr);
        wrong.expect_error(401, "BAD_TOKEN");
        assert_eq!(wrong.header("www-authenticate"), Some("Bearer"));
    }
    let facade = daemon.get("/v1/models");
    assert_eq!(
        (facade.status, &facade.json()["error"]["type"]),
        (401, &json!("authentication_error"))
    );
    let basic = Request::get("/v2/status").header("Authorization", &format!("Basic {TOKEN}"));
    basic.send(daemon.addr).expect_error(401, "MISSING_TOKEN");

    let with_token = |request: Request| {
        request.header("Authorization", &format!("Bearer {TOKEN}")).send(daemon.addr)
    };
    // The Host rule is for binds without a token.
    let status = with_token(Request::get("/v2/status").header("Host", "llm.example"));
    assert_eq!(status.status, 200);
    with_token(Request::get("/nowhere")).expect_error(404, "NOT_FOUND");
    crate::waiting::wait_for("the engine is attached", || {
        let status = with_token(Request::get("/v2/status")).json();
        (status["pools"][0]["state"] == "ready").then_some(())
    });
    let task = Request::post("/v2/tasks", scripted_task("x").to_string());
    assert_eq!(with_token(task).status, 202);
    assert!(!home.log().contains(TOKEN));
}

/// Verifies: ORCH-231, ORCH-233
#[test]
fn a_token_opens_other_addresses_and_a_weak_one_stops_the_start() {
    let home = Home::new("[pools.x]\nengine = \"openai\"\nurl = \"http://127.0.0.1:9\"");
    let file = home.path().join("token");
    let command = || {
        let mut command = home.command();
        command.args(["--addr", "0.0.0.0:0"]).env("ORCHD_TOKEN_FILE", &file);
        command
    };
    for weak in ["short", "", "with space with space with space with space"] {
        std::fs::write(&file, weak).unwrap();
        let (code, printed) = home.refused_start(command());
        assert_eq!(code, Some(1));
        assert!(printed.contains("auth.token_file"), "{printed}");
        assert!(weak.is_empty() || !printed.contains(weak), "{printed}");
    }
    std::fs::write(&file, TOKEN).unwrap();
    let daemon = home.start_with(command());
    let local = std::net::SocketAddr::from(([127, 0, 0, 1], daemon.addr.port()));
    Request::get("/v2/status").send(local).expect_error(401, "MISSING_TOKEN");
}
