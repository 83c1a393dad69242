use serde_json::json;
use testkit::ScriptedEngine;

use crate::{
    daemon::{Home, scripted_task},
    events::whole,
    http::Request,
    waiting::wait_for,
};

/// Verifies: ORCH-061, ORCH-064, ORCH-065, ORCH-066, ORCH-067, ORCH-163
#[test]
fn cancelling_ends_queued_and_running_tasks_and_changes_no_ended_one() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "slots = 1", "");
    let daemon = home.start().ready();
    let running = daemon.submit(&scripted_task("[[tokens=9]] [[stall_after=3]]"));
    let mut stream = daemon.events(&running);
    let mut seen = stream.take(4);
    let queued = daemon.submit(&scripted_task("later"));
    let mut waiting = daemon.events(&queued);

    assert_eq!(daemon.cancel(&queued), json!({"task_id": queued, "status": "canceled"}));
    let events = waiting.rest();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((events[0].id, &*events[0].name), (Some(1), "end"));
    assert_eq!(events[0].json()["finish_reason"], "canceled");

    assert_eq!(daemon.cancel(&running)["status"], "canceled");
    // Durable before the reply: the resource says so at once, and no token comes after it.
    assert_eq!(daemon.task(&running)["status"], "canceled");
    seen.extend(stream.rest());
    let (_, end) = whole(&seen);
    assert_eq!(end.json()["finish_reason"], "canceled");
    assert_eq!(seen.len(), 5);
    let aborted = wait_for("the engine notices", || {
        engine.log().into_iter().find(|entry| entry["event"] == "aborted")
    });
    assert_eq!(aborted["tokens"], 3);

    // The slot is free again, and cancelling once more changes nothing.
    let ended = daemon.submit(&scripted_task("[[tokens=2]]"));
    let before = daemon.wait_until(&ended, "succeeded");
    assert_eq!(daemon.cancel(&ended)["status"], "succeeded");
    assert_eq!(daemon.cancel(&running)["status"], "canceled");
    assert_eq!(daemon.task(&ended), before);

    for unknown in ["00000000-0000-7000-8000-000000000000", "nonsense"] {
        let request = Request::post(&format!("/v2/tasks/{unknown}/cancel"), "");
        request.send(daemon.addr).expect_error(404, "NOT_FOUND");
    }
}

/// Verifies: ORCH-068
#[test]
fn a_lost_subscriber_cancels_only_where_that_was_asked_for() {
    let engine = ScriptedEngine::start(&["--rate", "200"]);
    let home = Home::scripted(&engine, "slots = 2", "[stream]\nreattach_ms = 100");
    let daemon = home.start().ready();
    let plain = daemon.submit(&scripted_task("[[tokens=60]] plain"));
    let mut watched = scripted_task("[[tokens=60]] [[stall_after=10]] watched");
    watched["cancel_on_disconnect"] = json!(true);
    let watched = daemon.submit(&watched);
    for id in [&plain, &watched] {
        daemon.events(id).take(3);
    }
    daemon.wait_until(&watched, "canceled");
    daemon.wait_until(&plain, "succeeded");
    let (_, end) = whole(&daemon.events(&plain).rest());
    assert_eq!(end.json()["tokens_out"], 60);
}
