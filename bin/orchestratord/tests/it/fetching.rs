use serde_json::{Value, json};

use crate::{
    catalog::model_bytes,
    daemon::{Daemon, Home},
    events::EventReader,
    http::Request,
    package_index::{PackageIndex, REFERENCE},
    waiting::wait_for,
};

/// A pool that lists a pinned model which it cannot get by itself.
fn waiting_pool(home: &Home, digest: &str) -> String {
    format!(
        "[egress]\nenabled = true\n[models.tiny]\nsource = \"file:{}/gone.gguf\"\nsha256 = \"{digest}\"\n\
         [pools.embedded]\nengine = \"candle\"\n",
        home.path()
    )
}

fn start(home: &Home, index: &PackageIndex) -> Daemon {
    let mut command = home.command();
    command.env("PIP_INDEX_URL", index.url());
    home.start_with(command)
}

fn big_model() -> Vec<u8> {
    let mut bytes = model_bytes("big");
    bytes.resize(bytes.len() + (1 << 20), 7);
    bytes
}

fn add(daemon: &Daemon, more: &Value) -> Value {
    let mut request = json!({"source_ref": REFERENCE});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let begun = daemon.add(&request);
    assert_eq!(begun.status, 202, "{}", begun.text());
    let view = begun.json();
    assert_eq!(begun.header("location"), view["status_url"].as_str());
    view
}

fn wait_for_bytes(daemon: &Daemon, id: &Value) -> Value {
    let path = format!("/v2/operations/{}", id.as_str().unwrap());
    wait_for("bytes have come", || {
        let operation = daemon.get(&path).json();
        let bytes = operation["progress"]["bytes_done"].as_u64().unwrap_or_default();
        (bytes > 0 && operation["progress"]["step"] == "fetching").then_some(operation)
    })
}

/// Verifies: ORCH-012, ORCH-184, ORCH-185
#[test]
fn a_fetch_is_an_operation_with_progress_and_survives_a_kill() {
    let index = PackageIndex::start(&big_model());
    let home = Home::with_models("[egress]\nenabled = true\n");
    let daemon = start(&home, &index);
    let begun = add(&daemon, &json!({"aliases": ["tiny"]}));
    let id = begun["operation_id"].clone();
    assert_eq!((&begun["kind"], &begun["target"]), (&json!("model_fetch"), &json!(REFERENCE)));
    let again = add(&daemon, &json!({"aliases": ["tiny"]}));
    assert_eq!(again["operation_id"], id, "one flight for one wish");
    let other = daemon.add(&json!({"source_ref": REFERENCE, "aliases": ["other"]}));
    let error = other.expect_error(409, "CONFLICT");
    assert_eq!(error["details"]["operation_id"], id);
    let shown = wait_for_bytes(&daemon, &id);
    assert!(shown["progress"]["bytes_total"].as_u64().unwrap() > 1 << 20, "{shown}");
    assert_eq!(index.downloads(), 1);
    let listed = daemon.get("/v2/operations").json();
    assert_eq!(listed["items"][0]["operation_id"], id);
    daemon.kill();

    index.open();
    let daemon = start(&home, &index);
    let done = daemon.wait_for_operation(&id, "succeeded");
    let model = daemon.model("tiny").json();
    assert_eq!(done["result"]["model_id"], model["id"]);
    assert_eq!(model["source_ref"], REFERENCE);
    daemon.stop();
    let daemon = start(&home, &index);
    let kept = daemon.get(&format!("/v2/operations/{}", id.as_str().unwrap())).json();
    assert_eq!(kept, done, "kept across a restart");
    let known = daemon.add(&json!({"source_ref": REFERENCE}));
    assert_eq!((known.status, index.downloads()), (200, 2), "nothing is fetched twice");
    let digest = model["id"].as_str().unwrap().replace(':', "-");
    let folder = home.data().join("models").join(digest);
    assert!(folder.exists());
    assert_eq!(Request::delete("/v2/catalog/models/tiny").send(daemon.addr).status, 204);
    assert!(!folder.exists(), "bytes in the cache go with their entry");
}

/// Verifies: ORCH-012
#[test]
fn a_canceled_fetch_registers_nothing_and_can_be_asked_for_again() {
    let index = PackageIndex::start(&big_model());
    let home = Home::with_models("[egress]\nenabled = true\n");
    let daemon = start(&home, &index);
    let id = add(&daemon, &json!({}))["operation_id"].clone();
    wait_for_bytes(&daemon, &id);
    let path = format!("/v2/operations/{}", id.as_str().unwrap());
    for _ in 0..2 {
        let canceled = Request::delete(&path).send(daemon.addr);
        assert_eq!((canceled.status, &canceled.json()["state"]), (200, &json!("canceled")));
    }
    assert_eq!(daemon.get("/v2/catalog/models").json()["items"], json!([]));
    index.open();
    let again = add(&daemon, &json!({}))["operation_id"].clone();
    assert_ne!(again, id);
    daemon.wait_for_operation(&again, "succeeded");
}

/// Verifies: ORCH-012, ORCH-193
#[test]
fn a_fetch_that_may_not_be_fails_with_what_is_missing() {
    let index = PackageIndex::start(&big_model());
    let home = Home::with_models("");
    let daemon = start(&home, &index);
    let digest = format!("sha256:{}", "1".repeat(64));
    let id = add(&daemon, &json!({"expected_digest": digest}))["operation_id"].clone();
    let failed = daemon.wait_for_operation(&id, "failed");
    assert_eq!(failed["error"]["code"], "MODEL_NOT_AVAILABLE");
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.contains(REFERENCE) && message.contains(&digest), "{message}");
    assert_eq!(index.downloads(), 0);
}

/// The first `metrics` event that satisfies a condition.
fn metrics(events: &mut EventReader, is_it: impl Fn(&Value) -> bool) -> Value {
    loop {
        let event = events.block().expect("the stream goes on");
        if event.name == "metrics" {
            let data: Value = serde_json::from_str(&event.data).unwrap();
            if is_it(&data) {
                return data;
            }
        }
    }
}

/// Verifies: ORCH-026, ORCH-036, ORCH-061
#[test]
fn a_task_for_a_model_that_an_operation_fetches_waits_and_shows_how_far_it_is() {
    use sha2::{Digest as _, Sha256};
    let model = big_model();
    let digest: String = Sha256::digest(&model).iter().map(|byte| format!("{byte:02x}")).collect();
    let index = PackageIndex::start(&model);
    let home = Home::new("");
    home.configure(&waiting_pool(&home, &digest));
    let daemon = start(&home, &index);
    daemon.wait_for_pool("embedded", "backoff");
    let task = json!({"model_ref": "tiny", "prompt": "a"});
    daemon.post("/v2/tasks", &task).expect_error(503, "MODEL_NOT_AVAILABLE");
    let wish = json!({"expected_digest": format!("sha256:{digest}"), "aliases": ["fetched"]});
    let operation = add(&daemon, &wish)["operation_id"].clone();
    wait_for_bytes(&daemon, &operation);
    for name in ["tiny", "fetched"] {
        let task = json!({"model_ref": name, "prompt": "a"});
        let accepted = daemon.post("/v2/tasks", &task);
        assert_eq!(accepted.status, 202, "{}", accepted.text());
        let accepted = accepted.json();
        assert_eq!(accepted["status"], "preparing");
        let step = &accepted["preparation"]["steps"][0];
        assert_eq!((&step["kind"], &step["status"]), (&json!("model_fetch"), &json!("running")));
        let total = step["bytes_total"].as_u64().unwrap();
        assert!(step["bytes_done"].as_u64().is_some_and(|done| done > 0 && done < total), "{step}");
        assert_eq!(accepted["preparation"]["steps"][1]["kind"], "pool_warmup");
        let id = accepted["task_id"].as_str().unwrap();
        let shown = daemon.task(id);
        assert_eq!(shown["status"], "preparing");
        assert_eq!(shown["preparation"]["steps"][0]["kind"], "model_fetch");
        let told = metrics(&mut daemon.events(id), |data| !data["preparation"].is_null());
        assert_eq!(told["preparation"]["steps"][0]["bytes_total"], total);
    }
    index.open();
    daemon.wait_for_operation(&operation, "succeeded");
    // This file is no model that could be loaded, but the pool looked for it as soon as it was there.
    wait_for("the pool looks again", || {
        let pool = daemon.wait_for_pool("embedded", "backoff");
        let error = pool["last_error"].as_str().unwrap().to_owned();
        (!error.contains("gone.gguf")).then_some(())
    });
}
