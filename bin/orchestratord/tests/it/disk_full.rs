use std::process::Command;

use serde_json::json;
use testkit::{Directives, Script, ScriptedEngine};

use crate::{
    daemon::{Daemon, Home, scripted_task},
    events::whole,
    waiting::wait_for,
};

/// The daemon with a data directory on a device of its own, of 16 MiB. The device is a file system in memory
/// that only this process sees, and that goes with it.
fn on_a_small_device(home: &Home) -> Command {
    let data = home.data();
    let binary = env!("CARGO_BIN_EXE_orchestratord");
    let script = format!(
        "mkdir -p '{data}' && mount -t tmpfs -o size=16m,mode=0700 device '{data}' && exec '{binary}' --config '{}'",
        home.config()
    );
    let mut command = home.bare_command("unshare");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
    command
}

/// Takes all room on the device that is left, down to the last page; the file that holds it.
fn fill(home: &Home, daemon: &Daemon) -> String {
    // The process's own view of the file system.
    let filler = format!("/proc/{}/root{}/filler", daemon.pid(), home.data());
    let status = Command::new("dd")
        .args(["if=/dev/zero", &format!("of={filler}"), "bs=4096", "status=none"])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "dd goes on until there is no room");
    filler
}

/// Verifies: ORCH-286
#[test]
fn a_backup_onto_a_full_device_fails_aloud_and_is_none() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "slots = 4", "");
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[tokens=3]]"));
    daemon.wait_until(&id, "succeeded");
    // The backup gets a device of 64 KiB, which is less than the store alone.
    let backup = home.path().join("backup");
    let kept = home.path().join("kept");
    let binary = env!("CARGO_BIN_EXE_orchestratord");
    let config = home.config();
    let script = format!(
        "mkdir -p '{backup}' && mount -t tmpfs -o size=64k,mode=0700 device '{backup}' && \
         if '{binary}' --config '{config}' backup '{backup}'; then exit 9; fi; cp -r '{backup}' '{kept}'"
    );
    let mut command = home.bare_command("unshare");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output =
        command.args(["--map-root-user", "--mount", "sh", "-c", &script]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("store.sqlite; check permissions and free space"), "{told}");
    assert!(!kept.join("manifest.json").exists());

    let restore = |from: &camino::Utf8Path| {
        let other = Home::new("");
        let mut command = other.command();
        let output = command.args(["restore", from.as_str()]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (is_restored, told) = restore(&kept);
    assert!(!is_restored && told.contains("no finished backup"), "{told}");

    // The daemon did not notice, and where there is room the same works.
    let next = daemon.submit(&scripted_task("[[tokens=3]]"));
    daemon.wait_until(&next, "succeeded");
    let mut command = home.command();
    let output = command.args(["backup", home.path().join("second").as_str()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (is_restored, told) = restore(&home.path().join("second"));
    assert!(is_restored, "{told}");
}

/// Verifies: ORCH-098, ORCH-271
#[test]
fn on_a_full_device_nothing_is_admitted_or_shown_until_there_is_room() {
    let engine = ScriptedEngine::start(&["--rate", "100"]);
    let home = Home::scripted(&engine, "slots = 4", "");
    let daemon = home.start_with(on_a_small_device(&home)).ready();
    let prompt = "[[tokens=400]] [[cjk]] through a full device";
    let mut task = scripted_task(prompt);
    task["max_tokens"] = json!(400);
    let id = daemon.submit(&task);
    let mut stream = daemon.events(&id);
    let mut events = stream.take(5);

    let filler = fill(&home, &daemon);
    let refused = wait_for("admissions are refused", || {
        let answer = daemon.post("/v2/tasks", &scripted_task("[[tokens=1]]"));
        (answer.status != 202).then_some(answer)
    });
    assert_eq!(refused.expect_error(507, "STORAGE_FULL")["retriable"], true);
    let facade = json!({"model": "scripted", "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(daemon.post("/v1/chat/completions", &facade).status, 507);
    let not_ready = wait_for("it is not ready", || {
        let answer = daemon.get("/readyz");
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(not_ready.json()["failing"], json!(["store"]));
    // Reads go on, and so does the process.
    assert_eq!(daemon.get("/healthz").status, 200);
    assert_eq!(daemon.task(&id)["status"], "running");
    // The engine has said it all long since, but what is not kept is not shown.
    let shown = daemon.task(&id)["last_event_id"].as_u64().unwrap();
    assert!(shown < 400, "{shown}");

    std::fs::remove_file(filler).unwrap();
    events.extend(stream.rest());
    let (text, end) = whole(&events);
    assert_eq!(end.json()["finish_reason"], "stop");
    assert_eq!(end.json()["attempts"], 1);
    assert_eq!(text, Script::new(prompt, &Directives::read(prompt)).text(400));
    wait_for("it is ready again", || (daemon.get("/readyz").status == 200).then_some(()));
    let next = daemon.submit(&scripted_task("[[tokens=3]]"));
    daemon.wait_until(&next, "succeeded");
}
