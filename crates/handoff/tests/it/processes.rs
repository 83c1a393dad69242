use std::{
    net::{SocketAddr, TcpListener},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use handoff::{Notification, ProcessId};
use serde_json::{Value, json};
use testkit::ScriptedEngine;

use crate::house::{House, Told, external, set_mode, with};

/// The file of an engine that runs.
fn file_of(engine: &ScriptedEngine, replica: &str) -> Value {
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    with(
        &external("p", replica),
        &json!({
            "url": engine.url(), "pid": engine.pid(), "boot_id": boot_id.trim(),
            "pid_start_time": ProcessId::of(engine.pid()).unwrap().start_time,
        }),
    )
}

/// Where nobody listens, and nobody is given a port by chance.
fn unused() -> SocketAddr {
    TcpListener::bind("127.77.1.1:0").unwrap().local_addr().unwrap()
}

/// Verifies: ORCH-155
#[tokio::test]
async fn an_engine_whose_process_listens_is_bound_until_that_process_is_gone() {
    let mut house = House::new(Notification::Wanted);
    let mut engine = ScriptedEngine::start(&[]);
    let mut other = ScriptedEngine::start(&[]);
    house.put(&file_of(&engine, "0"));
    house.until("bound p.0.json").await;
    // The number of a process alone is enough to know it by from then on.
    let pid_only = json!({"url": other.url(), "pid": other.pid()});
    house.put(&with(&external("p", "1"), &pid_only));
    house.until("bound p.1.json").await;
    let stale = file_of(&engine, "2");
    engine.kill();
    let told = house.until("gone p.0.json").await;
    assert_eq!(told, ["process_gone p.0.json", "gone p.0.json"]);
    house.put(&stale);
    assert_eq!(house.until("process_gone p.2.json").await, ["process_gone p.2.json"]);
    assert_eq!(house.up, ["p.1.json"]);
    other.kill();
    house.until("gone p.1.json").await;
}

/// Verifies: ORCH-155
#[tokio::test]
async fn a_process_of_another_time_or_boot_is_gone_though_its_number_is_in_use() {
    let mut house = House::new(Notification::Wanted);
    let engine = ScriptedEngine::start(&[]);
    let file = file_of(&engine, "0");
    let earlier = file["pid_start_time"].as_u64().unwrap() - 1;
    house.put(&with(&file, &json!({"replica_id": "1", "pid_start_time": earlier})));
    house.until("process_gone p.1.json").await;
    let boot_id = "4f6f1f4e-9d3f-4a3c-8f58-0d7d3f7a1b2c";
    house.put(&with(&file, &json!({"replica_id": "2", "boot_id": boot_id})));
    house.until("process_gone p.2.json").await;
    house.put(&file);
    assert_eq!(house.until("bound p.0.json").await, ["bound p.0.json"]);
}

/// Verifies: ORCH-155
#[tokio::test]
async fn another_process_at_the_address_is_never_taken_for_the_one_that_is_named() {
    let mut house = House::new(Notification::Wanted);
    let (named, other) = (ScriptedEngine::start(&[]), ScriptedEngine::start(&[]));
    house.put(&with(&file_of(&named, "0"), &json!({"url": other.url()})));
    house.until("unproven p.0.json").await;
    // The same for a process that listens nowhere.
    let own = json!({"url": other.url(), "pid": std::process::id()});
    house.put(&with(&external("p", "1"), &own));
    house.until("unproven p.1.json").await;
    house.put(&file_of(&named, "2"));
    house.until("bound p.2.json").await;
    assert_eq!(house.up, ["p.2.json"]);
}

/// Verifies: ORCH-155
#[tokio::test]
async fn an_engine_that_does_not_offer_what_the_file_says_is_not_bound() {
    let mut house = House::new(Notification::Wanted);
    let engine = ScriptedEngine::start(&["--ctx", "4096"]);
    let file = file_of(&engine, "0");
    house.put(&with(&file, &json!({"replica_id": "1", "model_ref": "another"})));
    house.until("unproven p.1.json").await;
    house.put(&with(&file, &json!({"replica_id": "2", "ctx_max": 4097})));
    house.until("unproven p.2.json").await;
    house.put(&with(&file, &json!({"ctx_max": 4096})));
    assert_eq!(house.until("bound p.0.json").await, ["bound p.0.json"]);
}

/// Verifies: ORCH-155, ORCH-240
#[tokio::test]
async fn an_engine_with_a_key_of_its_own_has_to_take_that_key_and_no_other() {
    let mut house = House::new(Notification::Wanted);
    let key_file = house.beside().join("key");
    std::fs::write(&key_file, "a key of this worker\n").unwrap();
    set_mode(&key_file, 0o600);
    let locked = ScriptedEngine::start(&["--key", "a key of this worker"]);
    let foreign = ScriptedEngine::start(&["--key", "a key of another one"]);
    let open = ScriptedEngine::start(&[]);
    let with_key = |engine: &ScriptedEngine, replica: &str| {
        with(&file_of(engine, replica), &json!({"key_file": key_file}))
    };
    house.put(&file_of(&locked, "without"));
    house.until("unproven p.without.json").await;
    house.put(&with_key(&foreign, "foreign"));
    house.until("unproven p.foreign.json").await;
    house.put(&with_key(&open, "open"));
    house.until("unproven p.open.json").await;
    house.put(&with_key(&locked, "right"));
    house.until("bound p.right.json").await;
    set_mode(&key_file, 0o640);
    house.put(&with_key(&locked, "readable"));
    house.until("unsafe p.readable.json").await;
    assert_eq!(house.up, ["p.right.json"]);
}

/// Verifies: ORCH-155
#[tokio::test]
async fn an_engine_that_does_not_answer_yet_is_awaited_and_then_bound() {
    let probe = Arc::new(Told::default());
    let mut house = House::with(Notification::Wanted, Arc::clone(&probe) as _);
    let address = unused();
    let url = format!("http://{address}");
    house.put(&with(&external("p", "0"), &json!({"url": url, "pid": std::process::id()})));
    assert_eq!(house.until("awaited p.0.json").await, ["awaited p.0.json"]);
    let _listener = TcpListener::bind(address).unwrap();
    // For another reason by now.
    assert_eq!(house.until("awaited p.0.json").await, ["awaited p.0.json"]);
    *probe.answers.lock().unwrap() = true;
    assert_eq!(house.until("bound p.0.json").await, ["bound p.0.json"]);
}

/// Verifies: ORCH-153, ORCH-155
#[tokio::test]
async fn the_former_engine_of_a_file_goes_on_until_the_next_one_answers() {
    let mut house = House::new(Notification::Wanted);
    let (former, next) = (ScriptedEngine::start(&[]), ScriptedEngine::start(&[]));
    house.put(&file_of(&former, "0"));
    house.until("bound p.0.json").await;
    // Its process is there and listens elsewhere.
    let coming = json!({"url": format!("http://{}", unused())});
    house.put(&with(&file_of(&next, "0"), &coming));
    assert_eq!(house.until("awaited p.0.json").await, ["awaited p.0.json"]);
    assert_eq!(house.up, ["p.0.json"]);
    house.put(&file_of(&next, "0"));
    assert_eq!(house.until("replaced p.0.json").await, ["replaced p.0.json"]);
}

/// Verifies: ORCH-155
#[test]
fn a_process_that_ended_and_was_not_waited_for_does_not_live() {
    let mut child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    let process = ProcessId::of(child.id()).unwrap();
    assert!(process.lives());
    child.kill().unwrap();
    let has_ended = (0..6_000).any(|_| {
        #[expect(clippy::disallowed_methods, reason = "polls for the end of another process")]
        std::thread::sleep(Duration::from_millis(10));
        !process.lives()
    });
    child.wait().unwrap();
    assert!(has_ended);
    assert_eq!(ProcessId::of(process.pid), None);
}
