use testkit::ScriptedEngine;

use crate::{daemon::Home, starter::python};

/// Left out is that whatever fits the document must be taken, as a cursor, a workload or a key can fit and be
/// refused for what it means; and that what was deleted is gone, as `DELETE` cancels an operation, whose record
/// stays, and erases a task, whose counters stay.
///
/// Verifies: ORCH-013
#[test]
fn schemathesis_finds_nothing() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let document = format!("http://{}/v2/openapi.json", daemon.addr);
    let output = home
        .bare_command(python().as_str())
        .current_dir(home.path())
        .args(["-m", "schemathesis.cli", "run", &document])
        .args(["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "20"])
        .args(["--seed", "1", "--workers", "1", "--request-timeout", "30", "--no-color"])
        .args(["--exclude-checks", "positive_data_acceptance,use_after_free", "--warnings", "off"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}\n{}", home.log());
}
