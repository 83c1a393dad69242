use camino::Utf8Path;
use serde_json::json;
use testkit::ScriptedEngine;

use crate::{
    daemon::{Daemon, Home, scripted_task},
    http::{Answer, Request},
};

fn delete(daemon: &Daemon, id: &str) -> Answer {
    Request::new("DELETE", &format!("/v2/tasks/{id}")).send(daemon.addr)
}

/// Files below a folder in which some bytes stand.
fn holding(dir: &Utf8Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in dir.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(holding(entry.path(), bytes));
        } else if std::fs::read(entry.path()).unwrap().windows(bytes.len()).any(|it| it == bytes) {
            found.push(entry.path().to_string());
        }
    }
    found
}

/// Verifies: ORCH-069, ORCH-079
#[test]
fn nothing_of_a_deleted_task_is_left_in_the_data_directory() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let prompt = "[[tokens=30]] The crab's \u{201c}secret\u{201d} is gr\u{fc}n, said \"Bob\".";
    let mut needles: Vec<Vec<u8>> = ["secret", "gr\u{fc}n", "gr\\u00fcn", "said \\\"Bob", "crab"]
        .map(|needle| needle.as_bytes().to_vec())
        .to_vec();
    let task = json!({
        "model_ref": "scripted",
        "prompt": prompt,
        "client_ref": "crab",
        "metadata": {"secret": "crab"},
        "output_mode": "crab",
    });
    let id = daemon.submit(&task);
    let kept = daemon.submit(&scripted_task("[[tokens=5]] kept"));
    daemon.wait_until(&id, "succeeded");
    daemon.wait_until(&kept, "succeeded");
    // The answer's tokens, but for those that the other answer has too.
    let texts = |id: &str| -> Vec<String> {
        let events = daemon.events(id).rest();
        let tokens = events.iter().filter(|event| event.name == "token");
        tokens.map(|event| event.json()["t"].as_str().unwrap().trim().to_owned()).collect()
    };
    let others = texts(&kept).join(" ");
    let told = texts(&id).into_iter().filter(|it| it.len() > 4 && !others.contains(it.as_str()));
    needles.extend(told.map(String::into_bytes));
    assert!(needles.len() > 10, "{needles:?}");
    for needle in &needles {
        let is_escape = needle.contains(&b'\\');
        let found = holding(&home.data(), needle);
        assert!(is_escape || !found.is_empty(), "the search finds nothing");
    }
    assert_eq!(daemon.task(&id)["parameters"]["output_mode"], "crab");
    let before = daemon.task(&id);
    let mut listener = daemon.events(&id);
    listener.take(3);

    let answer = delete(&daemon, &id);
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{}", answer.text());
    let check = |daemon: &Daemon| {
        for needle in &needles {
            let found = holding(&home.data(), needle);
            assert!(found.is_empty(), "{} is in {found:?}", String::from_utf8_lossy(needle));
        }
        daemon.get(&format!("/v2/tasks/{id}/events")).expect_error(410, "EVENTS_GONE");
        let task = daemon.task(&id);
        for field in ["task_id", "status", "usage", "attempts", "last_event_id", "ended_at"] {
            assert_eq!(task[field], before[field], "{field}");
        }
        assert_eq!(
            daemon.get(&format!("/v2/tasks/{id}?include=prompt")).json()["prompt"],
            json!(null)
        );
    };
    check(&daemon);
    daemon.kill();
    let daemon = home.start();
    check(&daemon);
    assert_eq!(delete(&daemon, &id).status, 204);
    assert_eq!(daemon.events(&kept).rest().len(), 7);
}

/// Verifies: ORCH-069
#[test]
fn only_ended_tasks_can_be_deleted() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[tokens=5]] [[stall_after=1]]"));
    daemon.events(&id).take(2);
    delete(&daemon, &id).expect_error(409, "CONFLICT");
    delete(&daemon, "01900000-0000-7000-8000-000000000000").expect_error(404, "NOT_FOUND");
    delete(&daemon, "nonsense").expect_error(404, "NOT_FOUND");
    daemon.cancel(&id);
    assert_eq!(delete(&daemon, &id).status, 204);
    assert_eq!(daemon.task(&id)["status"], "canceled");
}

/// Verifies: ORCH-033
#[test]
fn a_label_for_the_output_changes_nothing_of_it() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let mut texts = Vec::new();
    for mode in [None, Some("text"), Some("json"), Some("edits"), Some("not known: \u{1f980}")] {
        let mut task = scripted_task("[[tokens=9]] labelled");
        task["sampling"] = json!({"seed": 7});
        if let Some(mode) = mode {
            task["output_mode"] = json!(mode);
        }
        let id = daemon.submit(&task);
        let events = daemon.events(&id).rest();
        texts.push(crate::events::whole(&events).0);
        assert_eq!(daemon.task(&id)["parameters"]["output_mode"], json!(mode));
    }
    assert!(texts.iter().all(|text| *text == texts[0]));
    let fields: Vec<_> = engine
        .log()
        .into_iter()
        .filter(|entry| entry["event"] == "started")
        .map(|entry| entry["fields"].clone())
        .collect();
    assert!(fields.len() == 5 && fields.iter().all(|it| *it == fields[0]), "{fields:?}");
}
