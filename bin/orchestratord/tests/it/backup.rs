use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
};

use camino::Utf8Path;
use serde_json::{Value, json};
use testkit::ScriptedEngine;

use crate::{
    daemon::{Home, pool_of, scripted_task},
    events::{Event, whole},
};

fn run(home: &Home, command: &str, dir: &Utf8Path) -> Output {
    let mut daemon: Command = home.command();
    daemon.args([command, dir.as_str()]).output().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
fn fails_with(output: &Output, text: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains(text), "{told}");
}

/// Modes of everything in a folder.
fn check_private(dir: &Utf8Path) {
    assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700, "{dir}");
    for entry in dir.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if path.is_dir() {
            check_private(&path);
        } else {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{path}");
        }
    }
}

/// Verifies: ORCH-286
#[test]
fn a_backup_under_load_brings_every_acknowledged_task_back_once() {
    let engine = ScriptedEngine::start(&["--rate", "200"]);
    let home = Home::scripted(&engine, "strict = true\nslots = 8", "");
    let daemon = home.start().ready();
    let prompt = |index: usize| format!("[[tokens={}]] [[emoji]] number {index}", 20 + 20 * index);
    let submit = |index: usize| {
        let mut task = scripted_task(&prompt(index));
        task["max_tokens"] = json!(1000);
        daemon.submit(&task)
    };
    let ended: Vec<String> = (0..4).map(submit).collect();
    for id in &ended {
        daemon.wait_until(id, "succeeded");
    }
    let running: Vec<String> = (8..20).map(submit).collect();
    let mut streams: Vec<_> = running.iter().map(|id| daemon.events(id)).collect();
    streams[0].take(5);
    let erased = submit(1);
    daemon.wait_until(&erased, "succeeded");
    let backup = home.path().join("backup");
    let answer = run(&home, "backup", &backup);
    succeeds(&answer);
    check_private(&backup);

    let mut whole_before: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for id in ended.iter().chain(&running).chain([&erased]) {
        whole_before.insert(id.clone(), daemon.events(id).rest());
    }
    daemon.kill();

    let other = Home::new("");
    other.configure(&format!("{}\nstrict = true\nslots = 8", pool_of(&engine)));
    succeeds(&run(&other, "restore", &backup));
    check_private(&other.data());
    let daemon = other.start();
    let items = daemon.get("/v2/tasks?limit=500").json()["items"].as_array().unwrap().clone();
    let mut found: Vec<&str> = items.iter().map(|it| it["task_id"].as_str().unwrap()).collect();
    found.sort_unstable();
    let expected: Vec<&str> = whole_before.keys().map(String::as_str).collect();
    assert_eq!(found, expected);
    let text_of = |events: &[Event]| whole(events).0;
    for (id, before) in &whole_before {
        let after = daemon.events(id).rest();
        if ended.contains(id) {
            assert_eq!(after, *before);
        }
        assert_eq!(text_of(&after), text_of(before), "{id}");
    }
    daemon.stop();

    fails_with(&run(&other, "restore", &backup), "is not empty");
    fails_with(&run(&other, "backup", &backup), "is not empty");
}

/// Verifies: ORCH-286
#[test]
fn a_damaged_unfinished_or_newer_backup_is_refused_and_leaves_nothing() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let nothing = run(&home, "backup", &home.path().join("nothing"));
    fails_with(&nothing, "there is nothing to back up");
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[tokens=5]]"));
    daemon.wait_until(&id, "succeeded");
    daemon.stop();
    let backup = home.path().join("backup");
    succeeds(&run(&home, "backup", &backup));

    let target = Home::scripted(&engine, "", "");
    let refused = |text: &str| {
        fails_with(&run(&target, "restore", &backup), text);
        assert!(!target.data().join("store.sqlite").exists());
    };
    let segment = backup.join("events/00000000000000000001.seg");
    let bytes = fs::read(&segment).unwrap();
    let mut damaged = bytes.clone();
    damaged[100] ^= 1;
    fs::write(&segment, &damaged).unwrap();
    refused("00000000000000000001.seg is not what was written");
    fs::remove_file(&segment).unwrap();
    refused("damaged");
    fs::write(&segment, &bytes).unwrap();

    let manifest_path = backup.join("manifest.json");
    let text = fs::read_to_string(&manifest_path).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut manifest: Value = serde_json::from_str(&text).unwrap();
        change(&mut manifest);
        fs::write(&manifest_path, manifest.to_string()).unwrap();
    };
    changed(&|manifest| manifest["format"] = json!(2));
    refused("in a form that this version does not know");
    changed(&|manifest| manifest["files"][0]["path"] = json!("../outside"));
    refused("it lists");
    fs::remove_file(&manifest_path).unwrap();
    refused("no finished backup");
    fs::write(&manifest_path, &text).unwrap();
    succeeds(&run(&target, "restore", &backup));
    let daemon = target.start();
    assert_eq!(daemon.task(&id)["status"], "succeeded");
    assert_eq!(daemon.events(&id).rest().len(), 7);
}
