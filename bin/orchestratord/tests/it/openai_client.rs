use std::process::Command;

use testkit::ScriptedEngine;

use crate::{daemon::Home, http::Request, starter::python, waiting::wait_for};

const TOKEN: &str = "a-token-for-the-official-client-0123456789";

/// Verifies: ORCH-241, ORCH-242, ORCH-243, ORCH-244, ORCH-245, ORCH-246, ORCH-295
#[test]
fn the_official_client_is_served_unmodified() {
    let engine = ScriptedEngine::start(&[]);
    let pool = "slots = 1\nworkloads = [\"completion\", \"embedding\"]\nchunk_is_token = true\n\
        features = [\"tools\", \"json_schema\", \"logprobs\", \"n\"]";
    let home = Home::scripted(&engine, pool, "[queue]\nmodel_capacity = 1");
    let token_file = home.path().join("token");
    std::fs::write(&token_file, TOKEN).unwrap();
    let mut command = home.command();
    command.env("ORCHD_TOKEN_FILE", &token_file);
    let daemon = home.start_with(command);
    wait_for("the engine is attached", || {
        let status = Request::get("/v2/status").header("Authorization", &format!("Bearer {TOKEN}"));
        (status.send(daemon.addr).json()["pools"][0]["state"] == "ready").then_some(())
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/openai_client.py");
    let output = Command::new(python())
        .args([script, &format!("http://{}", daemon.addr), TOKEN])
        .output()
        .unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && said.contains("all said"),
        "{said}\n{complained}\n{}",
        home.log()
    );
}
