use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::ScriptedEngine;

use crate::{
    daemon::{Home, scripted_task},
    waiting::wait_for,
};

/// The log's lines; what is there for the person who starts the daemon stands beside them.
fn lines(home: &Home) -> Vec<Value> {
    let log = home.log();
    let lines = log.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn of_event(home: &Home, event: &str) -> Vec<Value> {
    lines(home).into_iter().filter(|line| line["event"] == event).collect()
}

/// Verifies: ORCH-266
#[test]
fn the_level_changes_at_a_hangup() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "[log]\nlevel = \"warn\"");
    let daemon = home.start().ready();
    assert!(of_event(&home, "pool_state").is_empty(), "{}", home.log());
    let text = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(home.config(), text.replace("\"warn\"", "\"debug\"")).unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_for("the configuration was read again", || of_event(&home, "reloaded").pop());
    let id = daemon.submit(&scripted_task("[[tokens=1]]"));
    daemon.wait_until(&id, "succeeded");
    let placed = of_event(&home, "task_placed").pop().unwrap();
    assert_eq!(placed["human"], "A task for scripted goes to pool x.");
}
