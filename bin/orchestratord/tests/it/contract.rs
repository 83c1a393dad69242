use std::process::Command;

use serde_json::Value;
use testkit::ScriptedEngine;

use crate::{daemon::Home, starter::workspace};

/// The checked-in document.
fn checked_in() -> Value {
    let path = workspace().join("contracts/generated/openapi-orchestratord.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Verifies: ORCH-013
#[test]
fn the_checked_in_document_is_what_the_daemon_serves_and_prints() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start();
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
