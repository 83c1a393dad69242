use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testkit::ScriptedEngine;

use crate::{
    daemon::{Daemon, Home, scripted_task},
    engine_loss::tend,
    http::Request,
    waiting::wait_for,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The log's lines; what is there for the person who starts the daemon stands beside them.
fn lines(home: &Home) -> Vec<Value> {
    let log = home.log();
    let lines = log.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn of_event(home: &Home, event: &str) -> Vec<Value> {
    lines(home).into_iter().filter(|line| line["event"] == event).collect()
}

fn submit_traced(daemon: &Daemon, prompt: &str) -> String {
    let answer = Request::post("/v2/tasks", scripted_task(prompt).to_string())
        .header("X-Correlation-Id", "order-66")
        .header("traceparent", &format!("00-{TRACE}-b7ad6b7169203331-01"))
        .send(daemon.addr);
    answer.json()["task_id"].as_str().unwrap().to_owned()
}

/// Verifies: ORCH-266, ORCH-267, ORCH-105
#[test]
fn every_line_has_its_fields_and_what_matters_has_a_sentence() {
    let engine = ScriptedEngine::start(&["--fail-after-tokens", "12"]);
    let home = Home::scripted(&engine, "strict = true", "");
    let daemon = home.start().ready();
    let lost = daemon.submit(&scripted_task("[[tokens=30]]"));
    let (_engine, deaths) = tend(engine, &daemon, &lost);
    assert_eq!(deaths, 1);
    let daemon = daemon.ready();
    let slow = daemon.submit(&scripted_task("[[tokens=9]] [[stall_after=3]]"));
    daemon.wait_until(&slow, "running");
    daemon.cancel(&slow);
    daemon.wait_until(&slow, "canceled");
    daemon.signal(Signal::SIGHUP);
    wait_for("the configuration was read again", || of_event(&home, "reloaded").pop());
    let before = lines(&home).len();
    let long = daemon.submit(&scripted_task("[[tokens=500]]"));
    daemon.wait_until(&long, "succeeded");
    wait_for("the end is told", || {
        of_event(&home, "task_ended").iter().any(|line| line["task_id"] == *long).then_some(())
    });
    assert!(lines(&home).len() - before < 20, "a line per token: {}", home.log());
    daemon.stop();

    let lines = lines(&home);
    for line in &lines {
        for name in ["ts", "level", "event", "correlation_id", "trace_id"] {
            assert!(line.get(name).is_some(), "{name}: {line}");
        }
        assert!(
            line["ts"].as_str().is_some_and(|ts| ts.len() == 24 && ts.ends_with('Z')),
            "{line}"
        );
        if let Some(human) = line.get("human") {
            assert!(human.as_str().unwrap().chars().count() <= 160, "{line}");
        }
    }
    let told = [
        "listening",
        "pool_state",
        "task_admitted",
        "task_started",
        "attempt_failed",
        "failover",
        "cancel_asked",
        "task_ended",
        "reloaded",
        "stopping",
    ];
    for event in told {
        let mut of_this = lines.iter().filter(|line| line["event"] == event).peekable();
        assert!(of_this.peek().is_some(), "no {event}: {}", home.log());
        assert!(of_this.all(|line| line["human"].is_string()), "{event}: {}", home.log());
    }
    for line in lines.iter().filter(|line| line["event"] == "failover") {
        assert_eq!((&line["task_id"], &line["pool_id"]), (&json!(lost), &json!("x")));
        assert!(line["attempt"].is_u64() && line["method"].is_string(), "{line}");
    }
}

/// Verifies: ORCH-006
#[test]
fn a_trace_goes_through_lines_engine_and_restart() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "slots = 2\nstrict = true", "");
    let daemon = home.start().ready();
    let id = submit_traced(&daemon, "[[tokens=9]] [[stall_after=3]]");
    daemon.wait_until(&id, "running");
    let refused = submit_traced(&daemon, "[[error=400]]");
    daemon.wait_until(&refused, "failed");
    daemon.kill();
    let before = lines(&home).len();
    let daemon = home.start().ready();
    daemon.wait_until(&id, "running");
    daemon.cancel(&id);
    daemon.wait_until(&id, "canceled");
    let ended = wait_for("the end is told", || {
        lines(&home)[before..].iter().find(|line| line["event"] == "task_ended").cloned()
    });
    assert_eq!((&ended["trace_id"], &ended["correlation_id"]), (&json!(TRACE), &json!("order-66")));
    // The adapter knows of no task; the span around it does.
    let refusal = of_event(&home, "engine_refused").pop().unwrap();
    assert_eq!((&refusal["task_id"], &refusal["trace_id"]), (&json!(refused), &json!(TRACE)));
    for line in lines(&home).iter().filter(|line| line["task_id"] == *id) {
        assert_eq!(line["trace_id"], TRACE, "{line}");
    }

    let untraced = daemon.submit(&scripted_task("[[tokens=1]]"));
    daemon.wait_until(&untraced, "succeeded");
    let parents: Vec<String> = engine
        .log()
        .iter()
        .filter(|entry| entry["event"] == "started")
        .map(|entry| entry["headers"]["traceparent"].as_str().unwrap().to_owned())
        .collect();
    let (own, of_trace): (Vec<_>, Vec<_>) =
        parents.iter().partition(|parent| !parent.contains(TRACE));
    assert!(of_trace.len() >= 2, "{parents:?}");
    let is_child =
        |parent: &&String| !parent.contains("b7ad6b7169203331") && parent.ends_with("-01");
    assert!(of_trace.iter().all(is_child), "{parents:?}");
    assert_ne!(of_trace[0], of_trace[1], "each attempt has a place of its own");
    assert!(own.len() == 1 && own[0].starts_with("00-") && own[0].len() == 55, "{parents:?}");
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

/// Verifies: ORCH-235
#[test]
fn audit_events_are_told_at_every_level_unless_they_are_switched_off() {
    for (log, is_told) in [("level = \"error\"", true), ("level = \"debug\"\naudit = false", false)]
    {
        let engine = ScriptedEngine::start(&[]);
        let home = Home::scripted(&engine, "", &format!("[log]\n{log}"));
        let daemon = home.start().ready();
        let foreign = Request::get("/v2/status").header("Host", "attacker.example");
        foreign.send(daemon.addr).expect_error(403, "HOST_NOT_ALLOWED");
        daemon.stop();
        let told = of_event(&home, "auth_failed");
        assert_eq!(told.len(), usize::from(is_told), "{log}: {}", home.log());
        if let Some(line) = told.first() {
            assert_eq!((&line["audit"], &line["code"]), (&json!(true), &json!("HOST_NOT_ALLOWED")));
            assert!(of_event(&home, "listening").is_empty(), "{}", home.log());
        }
    }
}
