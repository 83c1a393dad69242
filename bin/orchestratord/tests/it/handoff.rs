//! Engines that are handed over by files.

use std::{
    fs::Permissions,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use camino::Utf8PathBuf;
use handoff::{Outcome, ProcessId};
use serde_json::{Value, json};
use testkit::{Directives, Script, ScriptedEngine};

use crate::{
    daemon::{Daemon, Home},
    events::whole,
    openmetrics::Page,
    waiting::wait_for,
};

/// A configuration whose own pool answers to nobody.
const OTHER: &str = "[pools.other]\nengine = \"openai\"\nurl = \"http://127.0.0.1:9\"\n";

/// The file of an engine that runs.
fn file_of(engine: &ScriptedEngine, replica: &str) -> Value {
    json!({
        "schema": 1, "pool_id": "gpu", "replica_id": replica, "engine": "llamacpp",
        "url": engine.url(), "model_ref": "scripted", "engine_version": "b1", "slots_total": 2,
        "pid": engine.pid(), "pid_start_time": ProcessId::of(engine.pid()).unwrap().start_time,
    })
}

fn with(file: &Value, more: &Value) -> Value {
    let mut file = file.clone();
    file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    file
}

/// The same without what it says of a process.
fn external(engine: &ScriptedEngine) -> Value {
    let mut file = file_of(engine, "0");
    file.as_object_mut().unwrap().retain(|key, _| !key.starts_with("pid"));
    file
}

fn path(home: &Home, name: &str) -> Utf8PathBuf {
    home.data().join("engines").join(name)
}

/// Writes a file as the format's writers do; where it is then.
fn hand_over(home: &Home, file: &Value) -> Utf8PathBuf {
    let text = |key: &str| file[key].as_str().unwrap();
    let path = path(home, &format!("{}.{}.json", text("pool_id"), text("replica_id")));
    let written = path.with_extension("tmp");
    std::fs::write(&written, file.to_string()).unwrap();
    std::fs::rename(&written, &path).unwrap();
    path
}

fn task(prompt: &str) -> Value {
    json!({"model_ref": "remote:gpu/scripted", "prompt": prompt})
}

/// How often something became of a file.
fn count(daemon: &Daemon, outcome: Outcome) -> f64 {
    Page::of(daemon).sum("orchd_handoff_files_total", &[("outcome", outcome.name())])
}

#[track_caller]
fn wait_for_count(daemon: &Daemon, outcome: Outcome, wanted: f64) {
    wait_for(&format!("{wanted} files are {}", outcome.name()), || {
        (count(daemon, outcome) >= wanted).then_some(())
    });
}

/// The daemon's view of pool `gpu`, replica by replica.
fn replicas(daemon: &Daemon) -> Vec<Value> {
    let status = daemon.get("/v2/status").json();
    let pools = status["pools"].as_array().unwrap().iter();
    pools.filter(|pool| pool["pool_id"] == "gpu").cloned().collect()
}

#[track_caller]
fn wait_until_gone(daemon: &Daemon) {
    wait_for("the pool is gone", || replicas(daemon).is_empty().then_some(()));
}

fn text_of(prompt: &str) -> String {
    Script::new(prompt, &Directives::read(prompt)).text(u32::MAX)
}

/// Verifies: ORCH-151, ORCH-153, ORCH-262
#[test]
fn a_file_hands_an_engine_over_and_takes_it_back() {
    let engine = ScriptedEngine::start(&["--rate", "40"]);
    let home = Home::new(OTHER);
    let daemon = home.start();
    let made = path(&home, "");
    let mode = std::fs::metadata(&made).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "nobody else may write there");
    let file = hand_over(&home, &with(&file_of(&engine, "a"), &json!({"ctx_max": 4096})));
    let pool = daemon.wait_for_pool("gpu", "ready");
    assert_eq!((&pool["engine"], &pool["slots_total"]), (&json!("llamacpp"), &json!(2)));
    assert_eq!(pool["unverified"], Value::Null);
    let done = daemon.submit(&json!({"model_ref": "scripted", "prompt": "[[tokens=3]] first"}));
    let attempt = daemon.wait_until(&done, "succeeded")["attempts"][0].clone();
    assert_eq!(
        (
            &attempt["pool_id"],
            &attempt["replica_id"],
            &attempt["engine"],
            &attempt["engine_version"]
        ),
        (&json!("gpu"), &json!("a"), &json!("llamacpp"), &json!("b1"))
    );
    let mut long = task("too long");
    long["max_tokens"] = json!(5000);
    daemon.post("/v2/tasks", &long).expect_error(422, "CONTEXT_EXCEEDED");
    // What runs when the file goes goes on to its end, and nothing new is begun.
    let prompt = "[[tokens=80]] goes on";
    let running = daemon.submit(&task(prompt));
    daemon.events(&running).take(3);
    std::fs::remove_file(file).unwrap();
    wait_for_count(&daemon, Outcome::Unbound, 1.0);
    daemon.post("/v2/tasks", &task("late")).expect_error(503, "MODEL_NOT_AVAILABLE");
    let (text, end) = whole(&daemon.events(&running).rest());
    assert_eq!((text, &end.name[..]), (text_of(prompt), "end"));
    assert_eq!(end.json()["attempts"], 1);
    wait_until_gone(&daemon);
    let page = Page::of(&daemon);
    for outcome in Outcome::ALL {
        let expected = match outcome {
            Outcome::Bound | Outcome::Unbound => 1.0,
            _ => 0.0,
        };
        let found: Vec<f64> = page
            .samples
            .iter()
            .filter(|(name, labels, _)| {
                name == "orchd_handoff_files_total"
                    && labels.get("outcome").map(String::as_str) == Some(outcome.name())
            })
            .map(|(_, _, value)| *value)
            .collect();
        assert_eq!(found, [expected], "{}", outcome.name());
    }
    daemon.stop();
}

/// Verifies: ORCH-155
#[test]
fn an_engine_that_dies_is_let_go_though_its_file_stays() {
    let mut engine = ScriptedEngine::start(&[]);
    let home = Home::new(OTHER);
    let daemon = home.start();
    let file = hand_over(&home, &file_of(&engine, "0"));
    daemon.wait_for_pool("gpu", "ready");
    engine.kill();
    wait_until_gone(&daemon);
    assert!(file.exists());
    assert_eq!(
        (count(&daemon, Outcome::ProcessGone), count(&daemon, Outcome::Unbound)),
        (1.0, 1.0)
    );
    assert!(home.log().contains("is gone"), "{}", home.log());
    daemon.stop();
}

/// Verifies: ORCH-155
#[test]
fn a_process_that_took_the_port_of_the_named_one_is_never_used() {
    let (named, other) = (ScriptedEngine::start(&[]), ScriptedEngine::start(&[]));
    let home = Home::new(OTHER);
    let daemon = home.start();
    hand_over(&home, &with(&file_of(&named, "0"), &json!({"url": other.url()})));
    wait_for_count(&daemon, Outcome::Unproven, 1.0);
    assert_eq!(replicas(&daemon), Vec::<Value>::new());
    hand_over(&home, &file_of(&named, "1"));
    daemon.wait_for_pool("gpu", "ready");
    assert_eq!((replicas(&daemon).len(), count(&daemon, Outcome::Bound)), (1, 1.0));
    let done = daemon.submit(&task("[[tokens=2]]"));
    daemon.wait_until(&done, "succeeded");
    assert_eq!(other.log(), Vec::<Value>::new(), "it was asked nothing that counts");
    daemon.stop();
}

/// Verifies: ORCH-155
#[test]
fn a_file_without_a_process_is_bound_unverified_and_strict_trust_passes_it_over() {
    let engine = ScriptedEngine::start(&[]);
    let strict = "[catalog]\ntrust = \"strict\"\nrequire_digest = false\n";
    let home = Home::new(&format!("{strict}{OTHER}"));
    let daemon = home.start();
    hand_over(&home, &external(&engine));
    let pool = daemon.wait_for_pool("gpu", "ready");
    assert_eq!(pool["unverified"], true);
    let id = daemon.submit(&task("[[tokens=2]]"));
    let reasons = wait_for("it is told why the task waits", || {
        let candidates = daemon.task(&id)["decision"]["candidates"].as_array()?.clone();
        let gpu = candidates.into_iter().find(|one| one["pool_id"] == "gpu")?;
        Some(gpu["reasons"].clone())
    });
    assert_eq!(reasons, json!(["UNVERIFIED"]));
    // The same engine, shown to be the one that is meant.
    hand_over(&home, &file_of(&engine, "0"));
    daemon.wait_until(&id, "succeeded");
    assert_eq!(replicas(&daemon)[0]["unverified"], Value::Null);
    daemon.stop();
    // Where trust is permissive, it is used as it is.
    let home = Home::new(OTHER);
    let daemon = home.start();
    hand_over(&home, &external(&engine));
    assert_eq!(daemon.wait_for_pool("gpu", "ready")["unverified"], true);
    let id = daemon.submit(&task("[[tokens=2]]"));
    daemon.wait_until(&id, "succeeded");
    daemon.stop();
}

/// Verifies: ORCH-154, ORCH-262
#[test]
fn a_torn_file_beside_a_good_one_touches_nothing_and_is_used_once_it_is_whole() {
    let (good, torn) = (ScriptedEngine::start(&["--rate", "40"]), ScriptedEngine::start(&[]));
    let home = Home::new(OTHER);
    let daemon = home.start();
    hand_over(&home, &file_of(&good, "good"));
    daemon.wait_for_pool("gpu", "ready");
    let prompt = "[[tokens=60]] undisturbed";
    let running = daemon.submit(&task(prompt));
    daemon.events(&running).take(3);
    let whole_text = with(&file_of(&torn, "0"), &json!({"pool_id": "torn"})).to_string();
    std::fs::write(path(&home, "torn.0.json"), &whole_text[..40]).unwrap();
    wait_for_count(&daemon, Outcome::HalfWritten, 1.0);
    let lines = home.log().lines().filter(|line| line.contains("handoff_skipped")).count();
    assert!(lines > 0);
    std::fs::write(path(&home, "torn.0.json"), &whole_text).unwrap();
    daemon.wait_for_pool("torn", "ready");
    let (text, end) = whole(&daemon.events(&running).rest());
    assert_eq!((text, &end.json()["attempts"]), (text_of(prompt), &json!(1)));
    assert_eq!((count(&daemon, Outcome::Bound), count(&daemon, Outcome::Unbound)), (2.0, 0.0));
    daemon.stop();
}

/// Verifies: ORCH-240
#[test]
fn a_file_that_others_could_have_written_is_not_used() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::new(OTHER);
    let daemon = home.start();
    let file = hand_over(&home, &file_of(&engine, "0"));
    daemon.wait_for_pool("gpu", "ready");
    let set = |mode| {
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    };
    set(0o666);
    wait_until_gone(&daemon);
    assert_eq!(count(&daemon, Outcome::Unsafe), 1.0);
    assert!(home.log().contains("can be written by others"), "{}", home.log());
    set(0o600);
    daemon.wait_for_pool("gpu", "ready");
    daemon.stop();
}

/// Verifies: ORCH-153
#[test]
fn a_start_uses_the_files_that_are_there_and_goes_on_with_their_tasks() {
    let engine = ScriptedEngine::start(&["--rate", "40"]);
    let home = Home::new(OTHER);
    let daemon = home.start();
    hand_over(&home, &with(&file_of(&engine, "0"), &json!({"slots_total": 1})));
    daemon.wait_for_pool("gpu", "ready");
    let running = daemon.submit(&task("[[tokens=400]] runs"));
    daemon.events(&running).take(3);
    let queued = daemon.submit(&task("[[tokens=2]] waits"));
    daemon.kill();
    let daemon = home.start();
    daemon.cancel(&running);
    daemon.wait_until(&queued, "succeeded");
    daemon.stop();
}

/// Verifies: ORCH-153
#[test]
fn replicas_of_one_pool_serve_the_same_model() {
    let engines =
        [ScriptedEngine::start(&["--rate", "20"]), ScriptedEngine::start(&["--rate", "20"])];
    let home = Home::new(OTHER);
    let daemon = home.start();
    for (engine, replica) in engines.iter().zip(["a", "b"]) {
        hand_over(&home, &with(&file_of(engine, replica), &json!({"slots_total": 1})));
    }
    wait_for("both are ready", || {
        let all = replicas(&daemon);
        (all.len() == 2 && all.iter().all(|one| one["state"] == "ready")).then_some(())
    });
    let tasks: Vec<String> =
        (0..2).map(|number| daemon.submit(&task(&format!("[[tokens=100]] {number}")))).collect();
    let mut used: Vec<Value> =
        tasks.iter().map(|id| daemon.events(id).take(1)[0].json()["replica_id"].clone()).collect();
    used.sort_by_key(Value::to_string);
    assert_eq!(used, ["a", "b"]);
    let models = daemon.get("/v2/status").json()["models"].as_array().unwrap().clone();
    let model = models.iter().find(|model| model["id"] == "remote:gpu/scripted").unwrap();
    assert_eq!((&model["pools"], &model["ready_replicas"]), (&json!(["gpu"]), &json!(2)));
    daemon.stop();
}

/// Verifies: ORCH-153
#[test]
fn a_changed_file_brings_the_next_engine_up_before_the_former_one_drains() {
    let (former, next) = (ScriptedEngine::start(&["--rate", "40"]), ScriptedEngine::start(&[]));
    let home = Home::new(OTHER);
    let daemon = home.start();
    hand_over(&home, &file_of(&former, "0"));
    daemon.wait_for_pool("gpu", "ready");
    let prompt = "[[tokens=100]] stays where it is";
    let running = daemon.submit(&task(prompt));
    daemon.events(&running).take(3);
    hand_over(&home, &file_of(&next, "0"));
    wait_for_count(&daemon, Outcome::Replaced, 1.0);
    let later = daemon.submit(&task("[[tokens=2]] goes to the next one"));
    let attempt = daemon.wait_until(&later, "succeeded")["attempts"][0].clone();
    assert_eq!(attempt["replica_id"], "0~2");
    let (text, end) = whole(&daemon.events(&running).rest());
    assert_eq!((text, &end.json()["attempts"]), (text_of(prompt), &json!(1)));
    // The former one is closed, and an unchanged file changes nothing.
    wait_for("one is left", || (replicas(&daemon).len() == 1).then_some(()));
    hand_over(&home, &with(&file_of(&next, "0"), &json!({"written_at": "2026-11-21T00:00:00Z"})));
    hand_over(&home, &with(&file_of(&former, "1"), &json!({"pool_id": "more"})));
    daemon.wait_for_pool("more", "ready");
    assert_eq!((count(&daemon, Outcome::Replaced), count(&daemon, Outcome::Unbound)), (1.0, 0.0));
    daemon.stop();
}

#[test]
fn a_pool_of_the_configuration_comes_before_one_of_a_file() {
    let (configured, handed) = (ScriptedEngine::start(&[]), ScriptedEngine::start(&[]));
    let home = Home::new(OTHER);
    let daemon = home.start();
    hand_over(&home, &file_of(&handed, "a"));
    daemon.wait_for_pool("gpu", "ready");
    let pool = format!("{OTHER}[pools.gpu]\nengine = \"openai\"\nurl = \"{}\"\n", configured.url());
    home.configure(&pool);
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    wait_for_count(&daemon, Outcome::PoolTaken, 1.0);
    wait_for("the configuration's pool is left", || {
        let all = replicas(&daemon);
        (all.len() == 1 && all[0]["engine"] == "openai" && all[0]["state"] == "ready").then_some(())
    });
    home.configure(OTHER);
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    wait_for_count(&daemon, Outcome::Bound, 2.0);
    daemon.stop();
}

/// A process that listens nowhere; ends with the value.
struct Idle(Child);

impl Drop for Idle {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Verifies: ORCH-155
#[test]
fn an_engine_that_does_not_listen_yet_is_shown_and_its_tasks_wait() {
    let idle = Idle(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap());
    let unused = TcpListener::bind("127.77.2.1:0").unwrap().local_addr().unwrap();
    let home = Home::new(OTHER);
    let daemon = home.start();
    let file = hand_over(
        &home,
        &json!({
            "schema": 1, "pool_id": "gpu", "replica_id": "0", "engine": "vllm",
            "url": format!("http://{unused}"), "model_ref": "scripted", "pid": idle.0.id(),
        }),
    );
    let pool = daemon.wait_for_pool("gpu", "backoff");
    assert_eq!(pool["last_error"], format!("nobody listens on {unused} yet"));
    let answer = daemon.post("/v2/tasks", &task("early"));
    assert_eq!(answer.expect_error(503, "MODEL_NOT_AVAILABLE")["retriable"], true);
    assert_eq!(count(&daemon, Outcome::Bound), 0.0);
    std::fs::remove_file(file).unwrap();
    wait_until_gone(&daemon);
    assert_eq!(count(&daemon, Outcome::Unbound), 0.0);
    daemon.stop();
}

/// Verifies: ORCH-155, ORCH-268
#[test]
fn an_engines_own_key_is_asked_for_and_told_to_nobody() {
    const KEY: &str = "a-key-that-this-worker-alone-has";
    let engine = ScriptedEngine::start(&["--key", KEY]);
    let home = Home::new(OTHER);
    let key_file = home.path().join("key");
    std::fs::write(&key_file, KEY).unwrap();
    std::fs::set_permissions(&key_file, Permissions::from_mode(0o600)).unwrap();
    let daemon = home.start();
    let more = json!({"key_file": key_file, "flags": ["--api-key", KEY, "--token=other-secret"]});
    hand_over(&home, &with(&file_of(&engine, "0"), &more));
    daemon.wait_for_pool("gpu", "ready");
    let done = daemon.submit(&task("[[tokens=2]]"));
    daemon.wait_until(&done, "succeeded");
    let log = home.log();
    assert!(log.contains("--api-key ***") && log.contains("--token=***"), "{log}");
    assert!(!log.contains(KEY) && !log.contains("other-secret"), "{log}");
    daemon.stop();
}
