use camino::Utf8PathBuf;
use gguf::testing::Builder;
use serde_json::{Value, json};
use testkit::ScriptedEngine;

use crate::{
    daemon::{Daemon, Home, scripted_task},
    http::{Answer, Request},
};

/// The bytes of a model file; others for each name.
pub(crate) fn model_bytes(name: &str) -> Vec<u8> {
    Builder::tiny_llama().text("general.name", name).build()
}

impl Home {
    /// A daemon without pools of its own that may read models below `models`.
    pub(crate) fn with_models(sections: &str) -> Self {
        let home = Self::new("");
        std::fs::create_dir(home.path().join("models")).unwrap();
        home.configure_with_models("", sections);
        home
    }

    /// Writes the configuration of [`Self::with_models`] anew, with more keys of `[catalog]`.
    pub(crate) fn configure_with_models(&self, catalog: &str, sections: &str) {
        let models = self.path().join("models");
        let pool = if sections.contains("[pools.") {
            ""
        } else {
            "[pools.x]\nengine = \"openai\"\nurl = \"http://127.0.0.1:9\"\n"
        };
        self.configure(&format!(
            "[catalog]\nmodel_roots = [\"{models}\"]\n{catalog}\n{pool}{sections}"
        ));
    }

    /// A model file below `models`.
    pub(crate) fn model_file(&self, name: &str) -> Utf8PathBuf {
        let path = self.path().join("models").join(format!("{name}.gguf"));
        std::fs::write(&path, model_bytes(name)).unwrap();
        path
    }
}

impl Daemon {
    pub(crate) fn add(&self, request: &Value) -> Answer {
        self.post("/v2/catalog/models", request)
    }

    /// Registers a file; the entry.
    #[track_caller]
    pub(crate) fn register(&self, path: &Utf8PathBuf, aliases: &[&str]) -> Value {
        let added = self.add(&json!({"source_ref": format!("file:{path}"), "aliases": aliases}));
        assert_eq!(added.status, 201, "{}", added.text());
        added.json()
    }

    pub(crate) fn model(&self, model_ref: &str) -> Answer {
        self.get(&format!("/v2/catalog/models/{model_ref}"))
    }
}

/// Verifies: ORCH-182, ORCH-184
#[test]
fn a_file_is_registered_once_and_shown_with_what_its_header_says() {
    let home = Home::with_models("");
    let path = home.model_file("tiny");
    let daemon = home.start();
    let request = json!({
        "source_ref": format!("file:{path}"),
        "aliases": ["tiny", "chat:latest"],
        "tags": ["test"],
        "signatures": [{"scheme": "minisign", "value": "RW"}],
        "sbom": {"format": "cyclonedx", "value": "{}"},
    });
    let added = daemon.add(&request);
    assert_eq!(added.status, 201, "{}", added.text());
    let entry = added.json();
    let id = entry["id"].as_str().unwrap();
    let location = format!("/v2/catalog/models/{id}");
    assert_eq!(added.header("location"), Some(location.as_str()));
    let expected = json!({
        "aliases": ["chat:latest", "tiny"], "tags": ["test"], "architecture": "llama",
        "format": "gguf", "ctx_max": 64, "kv_bytes_per_token": 128, "quant": "Q4_1",
        "state": "Active", "verify_result": "warn", "resolved_ref": null, "distrust": null,
        "out_of_service": null, "retire_at": null, "size_bytes": model_bytes("tiny").len(),
        "signatures": request["signatures"], "sbom": request["sbom"],
        "source_ref": request["source_ref"],
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&entry[field], value, "{field} of {entry}");
    }
    assert_eq!(entry["files"][0]["name"], "tiny.gguf");
    assert_eq!(format!("{}", entry["files"][0]["sha256"]), format!("\"{id}\""));
    assert!(!added.text().contains(&format!("\"{}\"", path)), "no folders but the source's own");

    let again = daemon.add(&json!({"source_ref": format!("file:{path}"), "expected_digest": id}));
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!(again.json()["verify_result"], "pass", "somebody said which digest to expect");
    let copy = home.path().join("models/copy.gguf");
    std::fs::copy(&path, &copy).unwrap();
    let copied = daemon.add(&json!({"source_ref": format!("file:{copy}")}));
    assert_eq!((copied.status, &copied.json()["id"]), (200, &json!(id)), "the content is known");

    let other = daemon.register(&home.model_file("other"), &[]);
    let list = daemon.get("/v2/catalog/models").json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert_eq!(
        daemon.get("/v2/catalog/models?tag=test").json()["items"].as_array().unwrap().len(),
        1
    );
    let first = daemon.get("/v2/catalog/models?limit=1").json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = daemon.get(&format!("/v2/catalog/models?limit=1&cursor={cursor}")).json();
    assert_ne!(first["items"][0]["id"], second["items"][0]["id"]);
    assert_eq!(second["next_cursor"], Value::Null);
    daemon.stop();
    let daemon = home.start();
    assert_eq!(daemon.model("tiny").json()["id"], id, "across restarts");
    assert_eq!(daemon.model(other["id"].as_str().unwrap()).json(), other);
}

/// Verifies: ORCH-184, ORCH-166, ORCH-189
#[test]
fn what_is_wrong_with_a_model_is_said_by_field_and_nothing_is_registered() {
    let home = Home::with_models("");
    let path = home.model_file("tiny");
    std::fs::write(home.path().join("models/bad.gguf"), "no model").unwrap();
    std::fs::write(home.path().join("outside.gguf"), model_bytes("x")).unwrap();
    let daemon = home.start();
    let source = |name: &str| format!("file:{}", home.path().join(name));
    let zeros = format!("sha256:{}", "0".repeat(64));
    let cases = [
        (json!({}), 422, "INVALID_PARAMS", "source_ref"),
        (json!({"source_ref": "models/x"}), 422, "INVALID_PARAMS", "source_ref"),
        (json!({"source_ref": "http://h/x"}), 422, "INVALID_PARAMS", "source_ref"),
        (json!({"source_ref": "s3:x"}), 422, "INVALID_PARAMS", "source_ref"),
        (json!({"source_ref": source("models/gone.gguf")}), 422, "INVALID_PARAMS", "source_ref"),
        (json!({"source_ref": source("outside.gguf")}), 403, "POLICY_DENIED", "source_ref"),
        (json!({"source_ref": "file:/etc/passwd"}), 403, "POLICY_DENIED", "source_ref"),
        (json!({"source_ref": source("models/bad.gguf")}), 422, "UNTRUSTED_ARTIFACT", "source_ref"),
        (
            json!({"source_ref": format!("file:{path}"), "expected_digest": zeros}),
            422,
            "UNTRUSTED_ARTIFACT",
            "source_ref",
        ),
        (
            json!({"source_ref": format!("file:{path}"), "expected_digest": "abc"}),
            422,
            "INVALID_PARAMS",
            "expected_digest",
        ),
        (
            json!({"source_ref": format!("file:{path}"), "aliases": ["ok", "sha256:x"]}),
            422,
            "INVALID_PARAMS",
            "aliases[1]",
        ),
        (
            json!({"source_ref": format!("file:{path}"), "tags": [""]}),
            422,
            "INVALID_PARAMS",
            "tags[0]",
        ),
        (json!({"source_ref": "x", "more": 1}), 422, "INVALID_PARAMS", "more"),
    ];
    for (request, status, code, field) in cases {
        let error = daemon.add(&request).expect_error(status, code);
        assert_eq!(error["field"], field, "{request}: {error}");
    }
    assert_eq!(daemon.get("/v2/catalog/models").json()["items"], json!([]));
    daemon.model("nobody").expect_error(404, "MODEL_NOT_FOUND");
    daemon.get("/v2/catalog/models?limit=0").expect_error(422, "INVALID_PARAMS");
    daemon.get("/v2/operations/x").expect_error(404, "NOT_FOUND");
}

/// Verifies: ORCH-184
#[test]
fn versions_guard_reads_and_changes() {
    let home = Home::with_models("");
    let daemon = home.start();
    let entry = daemon.register(&home.model_file("tiny"), &["tiny"]);
    let path = format!("/v2/catalog/models/{}", entry["id"].as_str().unwrap());
    let etag = || daemon.get(&path).header("etag").unwrap().to_owned();
    let first = etag();
    assert!(first.starts_with('"') && first.ends_with('"'), "strong: {first}");
    let unchanged = Request::get(&path).header("If-None-Match", &first).send(daemon.addr);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let list = daemon.get("/v2/catalog/models").header("etag").unwrap().to_owned();
    let unchanged = Request::get("/v2/catalog/models").header("If-None-Match", &list);
    assert_eq!(unchanged.send(daemon.addr).status, 304);

    let alias = |name: &str, header: (&str, &str)| {
        let body = json!({"model_ref": entry["id"]}).to_string();
        let path = format!("/v2/catalog/aliases/{name}");
        Request::put(&path, body).header(header.0, header.1).send(daemon.addr)
    };
    assert_eq!(alias("more", ("If-None-Match", "*")).status, 201);
    alias("more", ("If-None-Match", "*")).expect_error(412, "PRECONDITION_FAILED");
    let second = etag();
    assert_ne!(first, second, "a name changes it");
    let changed = Request::get(&path).header("If-None-Match", &first).send(daemon.addr);
    assert_eq!(changed.status, 200);
    let state = |state: &str, tag: &str| {
        let body = json!({"state": state}).to_string();
        Request::post(&format!("{path}/state"), body).header("If-Match", tag).send(daemon.addr)
    };
    state("Retired", &first).expect_error(412, "PRECONDITION_FAILED");
    state("Retired", &format!("W/{second}")).expect_error(412, "PRECONDITION_FAILED");
    let retired = state("Retired", &format!("\"x\", {second}"));
    assert_eq!(retired.status, 200);
    assert_eq!(retired.header("etag"), Some(etag().as_str()));
    assert_ne!(etag(), second, "so does its state");
    let delete = |tag: &str| Request::delete(&path).header("If-Match", tag).send(daemon.addr);
    delete(&second).expect_error(412, "PRECONDITION_FAILED");
    assert_eq!(delete(&etag()).status, 204);
    daemon.get(&path).expect_error(404, "MODEL_NOT_FOUND");
    for name in ["tiny", "more"] {
        daemon.model(name).expect_error(404, "MODEL_NOT_FOUND");
    }
}

/// Verifies: ORCH-026, ORCH-184
#[test]
fn a_moved_name_moves_no_task_that_waits() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::with_models("");
    let pool = format!("[pools.x]\nengine = \"openai\"\nurl = \"{}\"\nslots = 1\n", engine.url());
    home.configure_with_models("", &pool);
    let file = home.model_file("tiny");
    let daemon = home.start().ready();
    let remote = daemon.model("scripted").json()["id"].as_str().unwrap().to_owned();
    let put = |target: &str| {
        let body = json!({"model_ref": target}).to_string();
        Request::put("/v2/catalog/aliases/chat", body).send(daemon.addr)
    };
    assert_eq!(put("scripted").status, 201);
    let blocking = daemon.submit(&scripted_task("[[stall_after=1]]"));
    daemon.wait_until(&blocking, "running");
    let waiting = daemon.submit(&json!({"model_ref": "chat", "prompt": "[[tokens=2]]"}));
    let local = daemon.register(&file, &[]);
    let moved = put(local["id"].as_str().unwrap());
    assert_eq!((moved.status, &moved.json()["model_id"]), (200, &local["id"]));
    let refused = daemon.post("/v2/tasks", &json!({"model_ref": "chat", "prompt": "x"}));
    let error = refused.expect_error(503, "MODEL_NOT_AVAILABLE");
    assert!(
        error["message"].as_str().unwrap().contains("no pool"),
        "it says what is missing: {error}"
    );
    assert_eq!(error["retriable"], false);
    daemon.cancel(&blocking);
    let done = daemon.wait_until(&waiting, "succeeded");
    assert_eq!(
        (done["model_ref"].as_str(), done["model_id"].as_str()),
        (Some("chat"), Some(&*remote))
    );
    assert_eq!(Request::delete("/v2/catalog/aliases/chat").send(daemon.addr).status, 204);
    let gone = Request::delete("/v2/catalog/aliases/chat").send(daemon.addr);
    gone.expect_error(404, "NOT_FOUND");
    let unknown = daemon.post("/v2/tasks", &json!({"model_ref": "chat", "prompt": "x"}));
    unknown.expect_error(404, "MODEL_NOT_FOUND");
    let absent = Request::put("/v2/catalog/aliases/chat", r#"{"model_ref": "nobody"}"#);
    absent.send(daemon.addr).expect_error(404, "MODEL_NOT_FOUND");
}

/// Verifies: ORCH-191
#[test]
fn availability_names_nodes_pools_and_replicas_of_each_model() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::with_models("");
    let pool = format!("[pools.x]\nengine = \"openai\"\nurl = \"{}\"\nslots = 3\n", engine.url());
    home.configure_with_models("", &pool);
    let daemon = home.start().ready();
    let local = daemon.register(&home.model_file("tiny"), &["tiny"]);
    let items = daemon.get("/v2/catalog/availability").json()["items"].clone();
    let of = |id: &str| {
        items.as_array().unwrap().iter().find(|item| item["model_id"] == id).unwrap().clone()
    };
    let pools = json!([{"pool_id": "x", "state": "ready", "ready_replicas": 1, "slots_total": 3}]);
    assert_eq!(
        of("remote:x/scripted"),
        json!({
            "model_id": "remote:x/scripted", "aliases": ["scripted"],
            "nodes": [{"node_id": "local", "pools": pools}], "ready_replicas": 1,
            "slots_total": 3, "replicated": false, "single_node": true,
        })
    );
    let tiny = of(local["id"].as_str().unwrap());
    assert_eq!(tiny["nodes"], json!([{"node_id": "local", "pools": []}]), "it holds the file");
    assert_eq!((&tiny["ready_replicas"], &tiny["single_node"]), (&json!(0), &json!(true)));
}

/// Verifies: ORCH-184
#[test]
fn names_of_the_configuration_are_given_anew_at_each_start() {
    let home = Home::with_models("");
    let (one, two) = (home.model_file("one"), home.model_file("two"));
    let daemon = home.start();
    let first = daemon.register(&one, &["first"]);
    let second = daemon.register(&two, &["second"]);
    daemon.stop();
    home.configure_with_models("", "[aliases]\nchat = \"first\"\nnone = \"nobody\"\n");
    let daemon = home.start();
    assert_eq!(daemon.model("chat").json()["id"], first["id"]);
    daemon.model("none").expect_error(404, "MODEL_NOT_FOUND");
    let body = json!({"model_ref": "second"}).to_string();
    assert_eq!(Request::put("/v2/catalog/aliases/chat", body).send(daemon.addr).status, 200);
    assert_eq!(daemon.model("chat").json()["id"], second["id"], "until the next start");
    daemon.stop();
    let daemon = home.start();
    assert_eq!(daemon.model("chat").json()["id"], first["id"]);
}
