use std::net::TcpStream;

use serde_json::json;
use testkit::{Directives, Script, ScriptedEngine};

use crate::{
    daemon::{Daemon, Home, scripted_task},
    events::whole,
    waiting::wait_for,
};

/// Somebody who starts the engine again at its address whenever it died, until a task has ended.
pub(crate) fn tend(mut engine: ScriptedEngine, daemon: &Daemon, id: &str) -> (ScriptedEngine, u32) {
    let address = engine.address().to_owned();
    let mut deaths = 0;
    wait_for("the task ends", || {
        if TcpStream::connect(&address).is_err() {
            engine.exit_code();
            deaths += 1;
            engine = ScriptedEngine::start(&["--listen", &address]);
        }
        (!daemon.task(id)["ended_at"].is_null()).then_some(())
    });
    (engine, deaths)
}

/// Verifies: ORCH-106, ORCH-103, ORCH-163
#[test]
fn a_prompt_that_kills_engines_is_given_up_and_the_others_go_on() {
    let engine = ScriptedEngine::start(&[]);
    let home =
        Home::scripted(&engine, "slots = 2\nstrict = true", "[scheduling]\nmax_attempts = 2");
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[die_after=5]] [[tokens=10]]"));
    let (engine, deaths) = tend(engine, &daemon, &id);
    assert_eq!(deaths, 2);
    let failed = daemon.task(&id);
    assert_eq!(
        (&failed["status"], &failed["error"]["code"]),
        (&json!("failed"), &json!("REPLICA_EXHAUSTED"))
    );
    let (text, error) = whole(&daemon.events(&id).rest());
    let prompt = "[[die_after=5]] [[tokens=10]]";
    let full = Script::new(prompt, &Directives::read(prompt)).text(10);
    assert!(full.starts_with(&text) && error.name == "error", "{text:?} {error:?}");

    let others: Vec<String> = (0..3)
        .map(|number| daemon.submit(&scripted_task(&format!("[[tokens=4]] number {number}"))))
        .collect();
    for other in &others {
        daemon.wait_until(other, "succeeded");
    }
    assert_eq!(daemon.get("/readyz").status, 200);
    drop(engine);
}

/// Verifies: ORCH-106
#[test]
fn without_failover_the_first_death_ends_the_task() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "strict = true", "");
    let daemon = home.start().ready();
    let mut task = scripted_task("[[die_after=2]]");
    task["failover"] = json!("off");
    let id = daemon.submit(&task);
    let failed = daemon.wait_until(&id, "failed");
    assert_eq!(failed["error"]["code"], "WORKER_RESET");
    assert_eq!(failed["error"]["retriable"], true);
    assert_eq!(failed["attempts"].as_array().unwrap().len(), 1);
}

/// Verifies: ORCH-102, ORCH-104, ORCH-163
#[test]
fn a_connection_that_breaks_is_made_good_where_the_pool_repeats_itself() {
    let engine = ScriptedEngine::start(&["--fail-after-tokens", "12"]);
    let home = Home::scripted(&engine, "strict = true", "");
    let daemon = home.start().ready();
    let prompt = "[[tokens=30]] [[cjk]] once more";
    let id = daemon.submit(&scripted_task(prompt));
    let (_engine, deaths) = tend(engine, &daemon, &id);
    assert_eq!(deaths, 1);
    let events = daemon.events(&id).rest();
    let (text, end) = whole(&events);
    assert_eq!(end.name, "end", "{end:?}");
    assert_eq!(text, Script::new(prompt, &Directives::read(prompt)).text(30));
    assert_eq!(end.json()["attempts"], 2);
}

/// Verifies: ORCH-054
#[test]
fn an_engine_that_falls_silent_counts_as_failed() {
    let engine = ScriptedEngine::start(&[]);
    let home =
        Home::scripted(&engine, "strict = true", "[scheduling]\nidle_ms = 300\nmax_attempts = 1");
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[tokens=5]] [[stall_after=2]]"));
    let failed = daemon.wait_until(&id, "failed");
    assert_eq!(failed["attempts"][0]["outcome"], "lost");
    let aborted = wait_for("the engine is told", || {
        engine.log().into_iter().find(|entry| entry["event"] == "aborted")
    });
    assert_eq!(aborted["tokens"], 2);
}
