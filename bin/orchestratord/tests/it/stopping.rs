use nix::sys::signal::Signal;
use serde_json::json;
use testkit::{Directives, Script, ScriptedEngine};

use crate::{
    daemon::{Home, scripted_task},
    events::whole,
    http::Request,
    waiting::wait_for,
};

/// Verifies: ORCH-272, ORCH-271
#[test]
fn told_to_end_it_refuses_work_and_lets_what_runs_finish() {
    let engine = ScriptedEngine::start(&["--rate", "30"]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let prompt = "[[tokens=40]] to the end";
    let id = daemon.submit(&scripted_task(prompt));
    let queued = daemon.submit(&scripted_task("[[tokens=2]] later"));
    let mut stream = daemon.events(&id);
    let mut events = stream.take(5);
    daemon.signal(Signal::SIGTERM);
    wait_for("it is not ready", || (daemon.get("/readyz").status == 503).then_some(()));
    assert_eq!(daemon.get("/readyz").json()["failing"], json!(["shutdown"]));
    let refused = daemon.post("/v2/tasks", &scripted_task("more"));
    assert_eq!(refused.expect_error(503, "SHUTTING_DOWN")["retriable"], true);
    assert!(refused.header("retry-after").is_some() && refused.header("x-backoff-ms").is_some());
    let facade = json!({"model": "scripted", "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(daemon.post("/v1/chat/completions", &facade).status, 503);
    events.extend(stream.rest());
    let (text, end) = whole(&events);
    assert_eq!(
        (end.name.as_str(), text),
        ("end", Script::new(prompt, &Directives::read(prompt)).text(40))
    );
    assert_eq!(daemon.ended().code(), Some(0));

    let daemon = home.start();
    assert_eq!(daemon.events(&id).rest(), events);
    daemon.wait_until(&queued, "succeeded");
}

/// Verifies: ORCH-272, ORCH-078, ORCH-092, ORCH-094
#[test]
fn what_does_not_finish_in_time_goes_on_at_the_next_start() {
    let engine = ScriptedEngine::start(&["--rate", "40"]);
    let home = Home::scripted(
        &engine,
        "strict = true",
        "[server]\naddr = \"127.0.0.1:0\"\ndrain_deadline_ms = 300",
    );
    let daemon = home.start().ready();
    let prompt = "[[tokens=50]] over two lives";
    let id = daemon.submit(&scripted_task(prompt));
    let mut stream = daemon.events(&id);
    let mut events = stream.take(5);
    daemon.signal(Signal::SIGTERM);
    // While it ends, whoever comes back is told to come back later.
    let resuming = Request::get(&format!("/v2/tasks/{id}/events?after=5"));
    let resuming = resuming.open(daemon.addr);
    assert_eq!(resuming.status, 200);
    events.extend(stream.rest());
    assert!(events.iter().all(|event| !event.is_terminal()), "no terminal event: {events:?}");
    drop(resuming);
    assert_eq!(daemon.ended().code(), Some(0));

    let daemon = home.start().ready();
    events.extend(daemon.events_after(&id, events.len() as u64).rest());
    let (text, end) = whole(&events);
    assert_eq!(text, Script::new(prompt, &Directives::read(prompt)).text(50));
    assert_eq!(end.json()["attempts"], 2);
    assert_eq!(daemon.events(&id).rest(), events);
}

/// Verifies: ORCH-272
#[test]
fn a_second_signal_ends_it_at_once() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(
        &engine,
        "strict = true",
        "[server]\naddr = \"127.0.0.1:0\"\ndrain_deadline_ms = 3600000",
    );
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[stall_after=2]]"));
    daemon.events(&id).take(3);
    daemon.signal(Signal::SIGINT);
    wait_for("it is not ready", || (daemon.get("/readyz").status == 503).then_some(()));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().code(), Some(1));
    let daemon = home.start().ready();
    assert_eq!(daemon.cancel(&id)["status"], "canceled");
}
