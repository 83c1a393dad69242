use serde_json::{Value, json};
use testkit::ScriptedEngine;

use crate::{
    catalog::model_bytes,
    daemon::{Daemon, Home, scripted_task},
    http::Request,
    openmetrics::Page,
    waiting::wait_for,
};

impl Daemon {
    #[track_caller]
    pub(crate) fn wait_for_operation(&self, id: &Value, state: &str) -> Value {
        let path = format!("/v2/operations/{}", id.as_str().unwrap());
        wait_for(&format!("operation {id} is {state}"), || {
            let operation = self.get(&path).json();
            let is_over = !operation["ended_at"].is_null();
            assert!(operation["state"] == state || !is_over, "it ended otherwise: {operation}");
            (operation["state"] == state).then_some(operation)
        })
    }

    /// Has a model verified; what came of it.
    #[track_caller]
    fn verify(&self, model_ref: &str) -> Value {
        let begun = self.post(&format!("/v2/catalog/models/{model_ref}/verify"), &json!({}));
        assert_eq!(begun.status, 202, "{}", begun.text());
        let begun = begun.json();
        assert_eq!(begun["kind"], "model_verify");
        self.wait_for_operation(&begun["operation_id"], "succeeded")["result"].clone()
    }

    fn set_state(&self, model_ref: &str, body: &Value) -> crate::http::Answer {
        self.post(&format!("/v2/catalog/models/{model_ref}/state"), body)
    }
}

/// Verifies: ORCH-187, ORCH-026
#[test]
fn a_retired_model_takes_no_new_tasks_and_its_live_ones_end_at_the_deadline() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "slots = 1", "");
    let daemon = home.start().ready();
    let running = daemon.submit(&scripted_task("[[stall_after=1]]"));
    daemon.wait_until(&running, "running");
    let waiting = daemon.submit(&scripted_task("[[tokens=2]]"));
    for body in [json!({"state": "Deleted"}), json!({"state": "active"}), json!({})] {
        let error = daemon.set_state("scripted", &body).expect_error(422, "INVALID_PARAMS");
        assert_eq!(error["field"], "state", "{error}");
    }
    let odd = daemon.set_state("scripted", &json!({"state": "Active", "deadline_ms": 5}));
    assert_eq!(odd.expect_error(422, "INVALID_PARAMS")["field"], "deadline_ms");

    let retired = daemon.set_state("scripted", &json!({"state": "Retired"})).json();
    assert_eq!((&retired["state"], &retired["retire_at"]), (&json!("Retired"), &Value::Null));
    let refused = daemon.post("/v2/tasks", &scripted_task("x"));
    assert_eq!(refused.expect_error(410, "MODEL_DEPRECATED")["retriable"], false);
    assert_eq!(daemon.task(&running)["status"], "running", "live ones go on");
    assert_eq!(daemon.task(&waiting)["ended_at"], Value::Null);

    let deadline = daemon.set_state("scripted", &json!({"state": "Retired", "deadline_ms": 0}));
    assert_eq!(deadline.status, 200);
    for id in [&running, &waiting] {
        let task = daemon.wait_until(id, "expired");
        assert_eq!(task["error"]["code"], "MODEL_DEPRECATED", "{task}");
    }
    assert_eq!(daemon.set_state("scripted", &json!({"state": "Active"})).status, 200);
    let again = daemon.submit(&scripted_task("[[tokens=2]]"));
    daemon.wait_until(&again, "succeeded");
}

/// Verifies: ORCH-187
#[test]
fn a_deadline_of_a_retired_model_holds_across_a_restart() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "slots = 1", "");
    let daemon = home.start().ready();
    let blocking = daemon.submit(&scripted_task("[[stall_after=1]]"));
    daemon.wait_until(&blocking, "running");
    let task = daemon.submit(&scripted_task("[[stall_after=1]]"));
    let soon = daemon.set_state("scripted", &json!({"state": "Retired", "deadline_ms": 1500}));
    assert_ne!(soon.json()["retire_at"], Value::Null);
    daemon.kill();
    let daemon = home.start();
    let ended = daemon.wait_until(&task, "expired");
    assert_eq!(ended["error"]["code"], "MODEL_DEPRECATED");
    wait_for("the deadline is done with", || {
        daemon.model("scripted").json()["retire_at"].is_null().then_some(())
    });
}

/// Verifies: ORCH-188, ORCH-012
#[test]
fn a_model_in_use_is_deleted_by_force_only_and_only_after_its_last_user() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let task = daemon.submit(&scripted_task("[[stall_after=1]]"));
    daemon.wait_until(&task, "running");
    let path = "/v2/catalog/models/scripted";
    let refused = Request::delete(path).send(daemon.addr).expect_error(409, "CONFLICT");
    assert_eq!(refused["details"]["pools"], json!(["x"]));
    assert_eq!(refused["details"]["live_tasks"], 1);
    assert_eq!(daemon.model("scripted").json()["state"], "Active", "nothing changed");
    let force = || Request::delete(&format!("{path}?force=true")).send(daemon.addr);
    let begun = force();
    assert_eq!(begun.status, 202, "{}", begun.text());
    let operation = begun.json()["operation_id"].clone();
    assert_eq!(force().json()["operation_id"], operation, "one at a time");
    daemon.post("/v2/tasks", &scripted_task("x")).expect_error(410, "MODEL_DEPRECATED");
    assert_eq!(daemon.task(&task)["status"], "running", "its users go on");
    let shown = daemon.wait_for_operation(&operation, "running");
    assert_eq!((&shown["kind"], &shown["result"]), (&json!("model_delete"), &Value::Null));
    daemon.cancel(&task);
    daemon.kill();
    // The pool that uses it is gone with the next start, and the operation goes on.
    home.configure("[pools.y]\nengine = \"openai\"\nurl = \"http://127.0.0.1:9\"\n");
    let daemon = home.start();
    daemon.wait_for_operation(&operation, "succeeded");
    daemon.model("scripted").expect_error(404, "MODEL_NOT_FOUND");
    daemon.model("remote:x%2Fscripted").expect_error(404, "MODEL_NOT_FOUND");
}

/// Verifies: ORCH-188, ORCH-189
#[test]
fn a_deleted_entry_leaves_a_file_that_is_not_the_daemons_own() {
    let home = Home::with_models("");
    let file = home.model_file("tiny");
    let daemon = home.start();
    daemon.register(&file, &["tiny"]);
    assert_eq!(Request::delete("/v2/catalog/models/tiny").send(daemon.addr).status, 204);
    daemon.model("tiny").expect_error(404, "MODEL_NOT_FOUND");
    assert_eq!(std::fs::read(&file).unwrap(), model_bytes("tiny"));
    let bad = Request::delete("/v2/catalog/models/tiny?force=maybe").send(daemon.addr);
    bad.expect_error(422, "INVALID_PARAMS");
}

/// Verifies: ORCH-186, ORCH-187, ORCH-262
#[test]
fn a_changed_file_takes_its_model_out_of_service_until_it_is_verified() {
    let home = Home::with_models("");
    home.configure_with_models("recheck_ms = 100", "");
    let file = home.model_file("tiny");
    let daemon = home.start();
    daemon.register(&file, &["tiny"]);
    assert_eq!(daemon.verify("tiny")["verify_result"], "warn", "nobody said what to expect");
    let mut other = model_bytes("tiny");
    let last = other.len() - 1;
    other[last] ^= 1;
    std::fs::write(&file, &other).unwrap();
    let entry = wait_for("the change is noticed", || {
        let entry = daemon.model("tiny").json();
        (!entry["out_of_service"].is_null()).then_some(entry)
    });
    let reason = entry["out_of_service"].as_str().unwrap();
    assert!(reason.contains("tiny.gguf changed"), "{reason}");
    let task = json!({"model_ref": "tiny", "prompt": "x"});
    let error = daemon.post("/v2/tasks", &task).expect_error(503, "MODEL_NOT_AVAILABLE");
    assert!(error["message"].as_str().unwrap().contains(reason), "the task says so: {error}");

    let failed = daemon.verify("tiny");
    assert_eq!(failed["verify_result"], "fail");
    assert!(failed["reason"].as_str().unwrap().contains("digest"), "{failed}");
    assert_eq!(daemon.model("tiny").json()["verify_result"], "fail");
    daemon.stop();
    let daemon = home.start();
    daemon.post("/v2/tasks", &task).expect_error(503, "MODEL_NOT_AVAILABLE");

    std::fs::write(&file, model_bytes("tiny")).unwrap();
    let healed = daemon.verify("tiny");
    assert_eq!((&healed["verify_result"], &healed["reason"]), (&json!("warn"), &Value::Null));
    assert_eq!(daemon.model("tiny").json()["out_of_service"], Value::Null);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(daemon.verify("tiny")["verify_result"], "fail", "a missing file is no good one");
    let page = Page::of(&daemon);
    let verified = |result| page.sum("orchd_catalog_verifications_total", &[("result", result)]);
    assert_eq!((verified("ok"), verified("failed")), (1.0, 1.0), "since the start");
}

/// Verifies: ORCH-192
#[test]
fn a_strict_policy_refuses_at_registration_and_at_use() {
    let engine = ScriptedEngine::start(&[]);
    let pool = format!("[pools.x]\nengine = \"openai\"\nurl = \"{}\"\n", engine.url());
    let home = Home::with_models("");
    let file = home.model_file("tiny");
    home.configure_with_models("", &pool);
    let daemon = home.start().ready();
    let entry = daemon.register(&file, &["tiny"]);
    daemon.stop();
    home.configure_with_models("trust = \"strict\"", &pool);
    let daemon = home.start().ready();
    let source = format!("file:{file}");
    let refused = daemon.add(&json!({"source_ref": source}));
    assert_eq!(refused.expect_error(422, "UNTRUSTED_ARTIFACT")["field"], "expected_digest");
    for model in ["tiny", "scripted"] {
        let task = json!({"model_ref": model, "prompt": "x"});
        daemon.post("/v2/tasks", &task).expect_error(422, "UNTRUSTED_ARTIFACT");
        assert!(daemon.model(model).json()["distrust"].as_str().unwrap().contains("digest"));
    }
    let pinned = daemon.add(&json!({"source_ref": source, "expected_digest": entry["id"]}));
    assert_eq!((pinned.status, &pinned.json()["distrust"]), (200, &Value::Null));
    daemon.stop();

    home.configure_with_models("trust = \"strict\"\nrequire_signature = true", &pool);
    let daemon = home.start();
    let mut request = json!({"source_ref": source, "expected_digest": entry["id"]});
    let unsigned = daemon.add(&request).expect_error(422, "UNTRUSTED_ARTIFACT");
    assert_eq!(unsigned["field"], "signatures");
    request["signatures"] = json!([{"scheme": "minisign", "value": "RW"}]);
    let unchecked = daemon.add(&request).expect_error(422, "UNTRUSTED_ARTIFACT");
    assert!(unchecked["message"].as_str().unwrap().contains("can check none"), "{unchecked}");
    daemon.stop();

    home.configure_with_models("allowed_sources = [\"hf:owner\", \"remote:x\"]", &pool);
    let daemon = home.start().ready();
    let refused = daemon.add(&json!({"source_ref": source, "expected_digest": entry["id"]}));
    assert_eq!(refused.expect_error(422, "UNTRUSTED_ARTIFACT")["field"], "source_ref");
    let task = daemon.submit(&scripted_task("[[tokens=2]]"));
    daemon.wait_until(&task, "succeeded");
}
