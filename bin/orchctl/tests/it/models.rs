use camino_tempfile::Utf8TempDir;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    canned_daemon::{CannedDaemon, Reply, Step, json as reply},
    program::{orchctl, start, wait},
    wire::{error, model, operation},
};

const ID: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn availability() -> Value {
    json!({"items": [{
        "model_id": ID, "aliases": ["mine"], "ready_replicas": 1, "slots_total": 4,
        "replicated": false, "single_node": true,
        "nodes": [{"node_id": "local", "pools": [
            {"pool_id": "embedded", "state": "ready", "ready_replicas": 1, "slots_total": 4},
        ]}],
    }]})
}

fn begun() -> Reply {
    let view = json!({
        "operation_id": "op-1", "kind": "model_fetch", "target": "https://x/m.gguf",
        "state": "running", "status_url": "/v2/operations/op-1",
    });
    reply("202 Accepted", &[], &view)
}

fn succeeded(result: Value) -> Value {
    let mut ended = operation("succeeded", 10);
    ended["result"] = result;
    ended
}

/// A daemon that begins an operation for each POST, shows it as these documents in turn, and has one model.
async fn daemon_at_work(looks: Vec<Value>) -> CannedDaemon {
    let mut looks = looks.into_iter();
    CannedDaemon::start(move |asked| match asked.line.as_str() {
        "POST /v2/catalog/models" | "POST /v2/catalog/models/mine/verify" => begun(),
        "GET /v2/operations/op-1" => reply("200 OK", &[], &looks.next().unwrap()),
        "DELETE /v2/operations/op-1" => reply("200 OK", &[], &operation("canceled", 5)),
        line if line.starts_with("GET /v2/catalog/models/") => reply("200 OK", &[], &model(ID)),
        other => panic!("{other}"),
    })
    .await
}

#[tokio::test]
async fn models_are_listed_over_all_pages_with_their_pools() {
    let daemon = CannedDaemon::start(|asked| {
        let mut remote = model("remote:gpu/big");
        (remote["aliases"], remote["files"]) = (json!([]), json!([]));
        remote["source_ref"] = json!("remote:gpu/big");
        let mut broken = model("sha256:ffffffffffffffff");
        broken["out_of_service"] = json!("its bytes have changed");
        let mut retired = model("sha256:eeeeeeeeeeeeeeee");
        retired["state"] = json!("Retired");
        let page = match asked.line.as_str() {
            "GET /v2/catalog/models" => {
                json!({"items": [model(ID), remote], "next_cursor": "2"})
            }
            "GET /v2/catalog/models?cursor=2" => {
                json!({"items": [broken, retired], "next_cursor": null})
            }
            "GET /v2/catalog/availability" => availability(),
            other => panic!("{other}"),
        };
        reply("200 OK", &[], &page)
    })
    .await;
    let wanted = "\
MODEL  STATE           SIZE   POOLS     SOURCE          ID
mine   active          98 MB  embedded  file:/m.gguf    sha256:0123456789ab
-      active          -      -         remote:gpu/big  remote:gpu/big
mine   out of service  98 MB  -         file:/m.gguf    sha256:ffffffffffff
mine   retired         98 MB  -         file:/m.gguf    sha256:eeeeeeeeeeee
";
    assert_eq!(orchctl(&daemon, &["models", "ls"]).await.well(), wanted);
    let out = orchctl(&daemon, &["models", "ls", "--json"]).await.well();
    let models: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!((models.len(), models[0]["id"].as_str()), (4, Some(ID)));
    assert_eq!(models[0]["availability"]["nodes"][0]["pools"][0]["pool_id"], "embedded");
}

#[tokio::test]
async fn a_model_is_shown_with_all_that_is_known() {
    let daemon = CannedDaemon::start(|asked| match asked.line.as_str() {
        "GET /v2/catalog/models/mine" => {
            let mut model = model(ID);
            model["tags"] = json!(["evil\u{1b}[2J"]);
            model["distrust"] = json!("no signature");
            reply("200 OK", &[], &model)
        }
        "GET /v2/catalog/availability" => reply("200 OK", &[], &availability()),
        other => panic!("{other}"),
    })
    .await;
    let wanted = format!(
        "\
model          {ID}
names          mine
state          active
not trusted    no signature
source         file:/m.gguf
file           m.gguf (98 MB, {ID})
size           98 MB
format         gguf
architecture   llama
quantization   Q4_1
context        8192 tokens
memory         46 kB a token of context
tags           evil\u{fffd}[2J
verified       pass at 2026-01-01T00:00:00Z
registered     2026-01-01T00:00:00Z
pool           embedded on local: ready, 1 ready, 4 slots
"
    );
    assert_eq!(orchctl(&daemon, &["models", "show", "mine"]).await.well(), wanted);
}

#[tokio::test]
async fn a_fetched_model_is_waited_for_with_a_line_a_step_and_tenth() {
    let mut looking_up = operation("running", 0);
    looking_up["progress"] = json!({
        "step": "looking_up", "bytes_done": null, "bytes_total": null, "estimated_ms": null,
    });
    let mut half = operation("running", 5);
    half["progress"]["estimated_ms"] = json!(61_001);
    let ended = succeeded(json!({"model_id": ID, "is_new": true}));
    let looks = vec![looking_up, half.clone(), half, ended];
    let args = ["models", "add", "https://x/m.gguf", "--alias", "mine", "--tag", "small"];
    let daemon = daemon_at_work(looks).await;
    let done = orchctl(&daemon, &args).await;
    let wanted = "\
adding https://x/m.gguf: looking it up
adding https://x/m.gguf: fetching, 5 B of 10 B, 62 s left
";
    assert_eq!((done.code, done.err.as_str()), (Some(0), wanted));
    assert_eq!(done.out, "sha256:0123456789ab is registered (98 MB) and answers to mine\n");
    let body: Value = serde_json::from_str(&daemon.asked()[0].body).unwrap();
    let wanted = json!({"source_ref": "https://x/m.gguf", "aliases": ["mine"], "tags": ["small"]});
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn programs_get_a_document_and_lines_of_json_beside_it() {
    let looks = vec![operation("running", 5), succeeded(json!({"model_id": ID}))];
    let daemon = daemon_at_work(looks).await;
    let done = orchctl(&daemon, &["models", "add", "https://x/m.gguf", "--json"]).await;
    let progress: Value = serde_json::from_str(&done.err).unwrap();
    assert_eq!(progress["operation"]["progress"]["bytes_done"], 5);
    let document: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((done.code, document["id"].as_str()), (Some(0), Some(ID)));
}

#[tokio::test]
async fn a_path_of_this_machine_becomes_a_reference_and_one_that_leads_nowhere_is_not_sent() {
    let daemon = CannedDaemon::start(|_| reply("200 OK", &[], &model(ID))).await;
    let folder = Utf8TempDir::new().unwrap();
    let file = folder.path().canonicalize_utf8().unwrap().join("a:b.gguf");
    std::fs::write(&file, "").unwrap();
    let done = orchctl(&daemon, &["models", "add", file.as_str()]).await;
    assert_eq!(done.well(), "sha256:0123456789ab was known (98 MB) and answers to mine\n");
    let body: Value = serde_json::from_str(&daemon.asked()[0].body).unwrap();
    assert_eq!(body["source_ref"], format!("file:{file}"));

    let missing = orchctl(&daemon, &["models", "add", "/nowhere/m.gguf"]).await;
    assert_eq!((missing.code, missing.out.as_str()), (Some(2), ""));
    assert!(
        missing.err.contains("cannot find the model file `/nowhere/m.gguf`"),
        "{}",
        missing.err
    );
    assert_eq!(daemon.asked().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_fetched_gives_1_and_the_daemons_words() {
    let mut failed = operation("failed", 5);
    failed["error"] = error("MODEL_NOT_AVAILABLE", true);
    let daemon = daemon_at_work(vec![failed]).await;
    let done = orchctl(&daemon, &["models", "add", "https://x/m.gguf"]).await;
    let wanted = "\
orchctl: adding https://x/m.gguf failed: said MODEL_NOT_AVAILABLE
  code MODEL_NOT_AVAILABLE, correlation c-1
";
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(1), "", wanted));
    let daemon = daemon_at_work(vec![operation("canceled", 5)]).await;
    let done = orchctl(&daemon, &["models", "add", "https://x/m.gguf"]).await;
    assert_eq!(done.code, Some(1));
    assert!(done.err.contains("was canceled by somebody else"), "{}", done.err);
}

#[tokio::test]
async fn ctrl_c_cancels_what_is_fetched() {
    let daemon = daemon_at_work(vec![operation("running", 5); 1000]).await;
    let mut child = start(&daemon.url(), &["models", "add", "https://x/m.gguf"]);
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = errors.next_line().await.unwrap().unwrap();
    assert_eq!(first, "adding https://x/m.gguf: fetching, 5 B of 10 B");
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let last = errors.next_line().await.unwrap().unwrap();
    assert_eq!(last, "orchctl: canceled");
    assert_eq!(wait(child).await.code, Some(130));
    assert_eq!(daemon.asked().last().unwrap().line, "DELETE /v2/operations/op-1");
}

#[tokio::test]
async fn a_second_ctrl_c_leaves_the_daemon_to_it() {
    let daemon = CannedDaemon::start(|asked| match asked.line.as_str() {
        "POST /v2/catalog/models" => begun(),
        "GET /v2/operations/op-1" => reply("200 OK", &[], &operation("running", 5)),
        "DELETE /v2/operations/op-1" => vec![Step::Hold],
        other => panic!("{other}"),
    })
    .await;
    let mut child = start(&daemon.url(), &["models", "add", "https://x/m.gguf"]);
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    errors.next_line().await.unwrap().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    while daemon.asked().last().unwrap().line != "DELETE /v2/operations/op-1" {
        tokio::task::yield_now().await;
    }
    kill(pid, Signal::SIGINT).unwrap();
    let last = errors.next_line().await.unwrap().unwrap();
    assert_eq!(last, "orchctl: left; the daemon may go on with operation op-1");
    assert_eq!(wait(child).await.code, Some(130));
}

#[tokio::test]
async fn a_model_is_removed_and_one_in_use_says_who_uses_it() {
    let gone =
        || vec![Step::Write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_vec())];
    let daemon = CannedDaemon::start(move |asked| match asked.line.as_str() {
        "DELETE /v2/catalog/models/free" => gone(),
        "DELETE /v2/catalog/models/mine" => {
            let mut body = error("CONFLICT", false);
            body["details"] =
                json!({"pools": ["embedded"], "live_tasks": 3, "configured_as": "mine"});
            reply("409 Conflict", &[], &body)
        }
        "DELETE /v2/catalog/models/mine?force=true" => begun(),
        other => panic!("{other}"),
    })
    .await;
    assert_eq!(orchctl(&daemon, &["models", "rm", "free"]).await.well(), "free is deleted\n");
    let used = orchctl(&daemon, &["models", "rm", "mine"]).await;
    let wanted = "\
orchctl: mine is in use by pool embedded, 3 tasks, [models.mine] of the configuration; wait for its users, or retire it with --force
  code CONFLICT, correlation c-1
";
    assert_eq!((used.code, used.err.as_str()), (Some(4), wanted));
    let forced = orchctl(&daemon, &["models", "rm", "mine", "--force"]).await.well();
    assert!(forced.starts_with("mine is retired: no new task may use it"), "{forced}");
}

#[tokio::test]
async fn a_model_that_passes_gives_0_and_one_that_has_changed_gives_1() {
    let passed = succeeded(json!({"model_id": ID, "verify_result": "pass", "reason": null}));
    let daemon = daemon_at_work(vec![passed]).await;
    assert_eq!(orchctl(&daemon, &["models", "verify", "mine"]).await.well(), "mine: pass\n");

    let reason = "m.gguf has other bytes";
    let changed = succeeded(json!({"model_id": ID, "verify_result": "fail", "reason": reason}));
    let daemon = daemon_at_work(vec![changed]).await;
    let done = orchctl(&daemon, &["models", "verify", "mine"]).await;
    assert_eq!((done.code, done.out.as_str()), (Some(1), "mine: fail\n"));
    assert!(done.err.contains("mine is out of service: m.gguf has other bytes"), "{}", done.err);
}
