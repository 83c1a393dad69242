//! Where tasks go among several pools of one model.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::ScriptedEngine;

use crate::{
    daemon::{Daemon, Home, scripted_task},
    http::Request,
};

/// Holds a slot until it is cancelled.
const HOLDS: &str = "[[stall_after=1]] [[tokens=5]]";

/// A daemon with these pools, the first of which tells the others' models; each with so many slots.
fn start(engines: &[(&str, &ScriptedEngine)], slots: u32, sections: &str) -> (Home, Daemon) {
    let pool = |(at, (id, engine)): (usize, &(&str, &ScriptedEngine))| {
        let shares = match at {
            0 => String::new(),
            _ => format!("same_models_as = \"{}\"\n", engines[0].0),
        };
        format!(
            "[pools.{id}]\nengine = \"openai\"\nurl = \"{}\"\nslots = {slots}\nstrict = true\n{shares}",
            engine.url()
        )
    };
    let pools: Vec<String> = engines.iter().enumerate().map(pool).collect();
    let home = Home::new(&format!("{}\n{sections}", pools.join("\n")));
    let daemon = home.start();
    for (id, _) in engines {
        daemon.wait_for_pool(id, "ready");
    }
    (home, daemon)
}

fn task(prompt: &str, placement: Value) -> Value {
    let mut task = scripted_task(prompt);
    task["placement"] = placement;
    task
}

/// The pool of a task's last attempt, once it runs.
fn pool_of(daemon: &Daemon, id: &str) -> String {
    let task = daemon.wait_until(id, "running");
    let attempt = task["attempts"].as_array().unwrap().last().unwrap().clone();
    attempt["pool_id"].as_str().unwrap().to_owned()
}

/// The reasons of each candidate of a decision, by pool.
fn reasons(decision: &Value) -> BTreeMap<String, Vec<String>> {
    let candidates = decision["candidates"].as_array().unwrap().iter();
    let name = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |one: &Value| {
        let reasons = one["reasons"].as_array().unwrap().iter().map(name).collect();
        (name(&one["pool_id"]), reasons)
    };
    candidates.map(of).collect()
}

fn expected(reasons: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    let owned = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect();
    reasons.iter().map(|(pool, codes)| ((*pool).to_owned(), owned(codes))).collect()
}

/// Verifies: ORCH-116, ORCH-117, ORCH-123, ORCH-262, ORCH-264
#[test]
fn tasks_spread_over_the_pools_of_a_model_and_one_that_waits_says_why() {
    let engines = [(); 3].map(|()| ScriptedEngine::start(&[]));
    let [x, y, z] = &engines;
    let (_home, daemon) = start(&[("x", x), ("y", y), ("z", z)], 2, "");
    let mut given: BTreeMap<String, u32> = BTreeMap::new();
    let mut ids = Vec::new();
    for _ in 0..6 {
        let id = daemon.submit(&scripted_task(HOLDS));
        *given.entry(pool_of(&daemon, &id)).or_default() += 1;
        ids.push(id);
    }
    assert_eq!(given, BTreeMap::from(["x", "y", "z"].map(|pool| (pool.to_owned(), 2))));
    let first = daemon.task(&ids[0]);
    let decision = &first["decision"];
    assert_eq!(decision, &first["attempts"][0]["decision"]);
    assert_eq!(decision["outcome"], "assign");
    assert_eq!(decision["strategy"], "session-sticky");
    assert_eq!([&decision["node_id"], &decision["pool_id"]], ["local", "x"]);
    assert_eq!([&decision["pinned"], &decision["fallback"]], [false, false]);
    assert_eq!(reasons(decision), expected(&[("x", &[]), ("y", &[]), ("z", &[])]));

    let waiting = daemon.submit(&scripted_task(HOLDS));
    let why = daemon.task(&waiting)["decision"].clone();
    assert_eq!([&why["outcome"], &why["reason"]], ["no_capacity", "BUSY"]);
    let full: &[&str] = &["NO_FREE_SLOT"];
    assert_eq!(reasons(&why), expected(&[("x", full), ("y", full), ("z", full)]));

    let answer = daemon.get("/metrics");
    let page = answer.text();
    let has = |line: &str| assert!(page.contains(line), "{line} is not in {page}");
    let decided = |outcome| {
        let labels = "strategy=\"session-sticky\",pinned=\"false\",fallback=\"false\"";
        format!("orchd_placement_decisions_total{{outcome=\"{outcome}\",{labels}}}")
    };
    has(&format!("{} 6", decided("assign")));
    has(&format!("{} 1", decided("no_capacity")));
    // The fifth task met one full pool, the sixth two, the seventh three.
    has("orchd_placement_rejections_total{reason=\"NO_FREE_SLOT\"} 6");
    has("orchd_placement_seconds_count 7");
    has("orchd_placement_rejections_total{reason=\"AVOIDED\"} 0");

    daemon.cancel(&ids[4]);
    assert_eq!(pool_of(&daemon, &waiting), "y", "it got the slot that was freed");
}

/// Verifies: ORCH-119, ORCH-120, ORCH-121
#[test]
fn pins_preferences_and_avoided_pools_are_kept_to() {
    let engines = [(); 2].map(|()| ScriptedEngine::start(&[]));
    let (_home, daemon) = start(&[("x", &engines[0]), ("y", &engines[1])], 2, "");
    let pinned = json!({"mode": "pin", "pin_pool_id": "y"});
    let first = daemon.submit(&task(HOLDS, pinned.clone()));
    let second = daemon.submit(&task(HOLDS, pinned.clone()));
    assert_eq!([pool_of(&daemon, &first), pool_of(&daemon, &second)], ["y", "y"]);
    assert_eq!(daemon.task(&first)["decision"]["pinned"], true);
    // The pin holds although there is room elsewhere.
    let third = daemon.submit(&task(HOLDS, pinned));
    let why = daemon.task(&third)["decision"].clone();
    assert_eq!(reasons(&why), expected(&[("x", &["PIN_MISMATCH"]), ("y", &["NO_FREE_SLOT"])]));

    // A task that prefers the full pool goes to the other one, unless it may not.
    let prefers = json!({"mode": "prefer", "prefer_pools": ["y"]});
    let fallen_back = daemon.submit(&task(HOLDS, prefers));
    assert_eq!(pool_of(&daemon, &fallen_back), "x");
    assert_eq!(daemon.task(&fallen_back)["decision"]["fallback"], true);
    let only = json!({"mode": "prefer", "prefer_pools": ["y"], "allow_fallback": false});
    let stays = daemon.submit(&task(HOLDS, only));
    let why = daemon.task(&stays)["decision"].clone();
    assert_eq!(reasons(&why), expected(&[("x", &["NOT_PREFERRED"]), ("y", &["NO_FREE_SLOT"])]));

    // What was pinned first gets the slot first; a task that avoids the pool gets none of it.
    let avoids = daemon.submit(&task(HOLDS, json!({"avoid_pools": ["x"]})));
    daemon.cancel(&first);
    assert_eq!(pool_of(&daemon, &third), "y");
    let why = daemon.task(&avoids)["decision"].clone();
    assert_eq!(reasons(&why), expected(&[("x", &["AVOIDED"]), ("y", &["NO_FREE_SLOT"])]));
    daemon.cancel(&stays);
    daemon.cancel(&second);
    assert_eq!(pool_of(&daemon, &avoids), "y");
}

/// Verifies: ORCH-120
#[test]
fn a_pool_that_is_not_ready_cannot_be_pinned_and_a_pinned_task_waits_for_its_own() {
    let mut engines = [(); 2].map(|()| ScriptedEngine::start(&[]));
    let (_home, daemon) = start(&[("x", &engines[0]), ("y", &engines[1])], 2, "");
    let pinned = json!({"mode": "pin", "pin_pool_id": "y"});
    let begun = daemon.submit(&task(HOLDS, pinned.clone()));
    assert_eq!(pool_of(&daemon, &begun), "y");
    engines[1].kill();
    daemon.wait_for_pool("y", "backoff");
    let refused = daemon.post("/v2/tasks", &task(HOLDS, pinned));
    let error = refused.expect_error(503, "POOL_UNREADY");
    assert_eq!(error["retriable"], true);
    // What was pinned before waits for its pool, beside one that is free.
    let waits = daemon.wait_until(&begun, "queued");
    let why = reasons(&waits["decision"]);
    assert_eq!(why["x"], ["PIN_MISMATCH"]);
    assert!(why["y"].contains(&"POOL_NOT_READY".to_owned()), "{why:?}");
    let free = daemon.submit(&scripted_task(HOLDS));
    assert_eq!(pool_of(&daemon, &free), "x");
    assert_eq!(daemon.task(&begun)["status"], "queued");
}

/// Most requests that the engine worked on at once.
pub(crate) fn most_at_once(engine: &ScriptedEngine) -> usize {
    let (mut at_work, mut most) = (0, 0);
    for entry in engine.log() {
        match entry["event"].as_str().unwrap() {
            "started" => at_work += 1,
            "ended" | "aborted" | "failed" => at_work -= 1,
            _ => {}
        }
        most = most.max(at_work);
    }
    most
}

/// Verifies: ORCH-125
#[test]
fn however_many_tasks_race_for_them_no_slot_is_given_twice() {
    const SLOTS: usize = 3;
    let engines = [(); 2].map(|()| ScriptedEngine::start(&[]));
    let (_home, daemon) = start(&[("x", &engines[0]), ("y", &engines[1])], 3, "");
    let ids: Vec<String> = std::thread::scope(|scope| {
        let client = |client: usize| {
            let daemon = &daemon;
            scope.spawn(move || {
                let submit = |round: usize| {
                    let id =
                        daemon.submit(&scripted_task(&format!("[[tokens=4]] {client} {round}")));
                    // Some slots come back while their engine still works for them.
                    if round % 5 == 4 {
                        daemon.cancel(&id);
                    }
                    id
                };
                (0..15).map(submit).collect::<Vec<_>>()
            })
        };
        let clients: Vec<_> = (0..6).map(client).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    for id in &ids {
        let ended = daemon.task(id)["status"] == "canceled";
        if !ended {
            daemon.wait_until(id, "succeeded");
        }
    }
    for engine in &engines {
        let most = most_at_once(engine);
        assert!((1..=SLOTS).contains(&most), "{most} at once");
    }
    let status = daemon.get("/v2/status").json();
    for pool in status["pools"].as_array().unwrap() {
        assert_eq!(pool["slots_free"], SLOTS, "{pool}");
    }
}

/// Verifies: ORCH-119, ORCH-120
#[test]
fn what_cannot_be_asked_of_placement_is_refused_by_name() {
    let engine = ScriptedEngine::start(&[]);
    let (_home, daemon) = start(&[("x", &engine)], 1, "");
    let check = |placement: Value, field: &str| {
        let answer = daemon.post("/v2/tasks", &task("hello", placement.clone()));
        assert_eq!(answer.status, 422, "{placement}: {}", answer.text());
        assert_eq!(answer.json()["field"], field, "{placement}");
    };
    check(json!({"mode": "pin"}), "placement.pin_pool_id");
    check(json!({"pin_pool_id": "x"}), "placement.pin_pool_id");
    check(json!({"mode": "prefer", "pin_node_id": "local"}), "placement.pin_node_id");
    check(json!({"mode": "prefer"}), "placement.prefer_pools");
    check(json!({"prefer_pools": ["x"]}), "placement.prefer_pools");
    check(json!({"allow_fallback": false}), "placement.allow_fallback");
    check(json!({"avoid_pools": ["x", "x"]}), "placement.avoid_pools[1]");
    check(json!({"avoid_pools": ["a b"]}), "placement.avoid_pools[0]");
    let both = json!({"mode": "prefer", "prefer_pools": ["x", "y"], "avoid_pools": ["y"]});
    check(both, "placement.avoid_pools[0]");
    let pinned = json!({"mode": "pin", "pin_pool_id": "x", "avoid_pools": ["x"]});
    check(pinned, "placement.avoid_pools[0]");
    check(json!({"mode": "pin", "pin_pool_id": "nobody"}), "placement.pin_pool_id");
    check(json!({"mode": "pin", "pin_node_id": "elsewhere"}), "placement.pin_node_id");
    check(json!({"avoid_pools": ["x"]}), "placement");
    check(json!({"require_device_mask": ["GPU-0"]}), "placement");
    check(json!({"mode": "sometimes"}), "placement.mode");
    let on_the_processor =
        json!({"mode": "pin", "pin_node_id": "local", "require_device_mask": []});
    let id = daemon.submit(&task("[[tokens=2]]", on_the_processor));
    daemon.wait_until(&id, "succeeded");
}

/// Verifies: ORCH-120
#[test]
fn pins_can_be_switched_off() {
    let engine = ScriptedEngine::start(&[]);
    let (_home, daemon) = start(&[("x", &engine)], 1, "[placement]\nallow_pins = false");
    let pinned = task("hello", json!({"mode": "pin", "pin_pool_id": "x"}));
    let answer = Request::post("/v2/tasks", pinned.to_string()).send(daemon.addr);
    assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("POLICY_DENIED")));
}

/// Verifies: ORCH-100, ORCH-112, ORCH-123
#[test]
fn a_task_goes_on_elsewhere_and_says_that_the_failed_pool_is_excluded() {
    let breaks = ScriptedEngine::start(&["--fail-after-tokens", "5"]);
    let holds = ScriptedEngine::start(&[]);
    let (home, daemon) = start(&[("x", &breaks), ("y", &holds)], 2, "");
    let id = daemon.submit(&scripted_task("[[tokens=12]] once more"));
    let done = daemon.wait_until(&id, "succeeded");
    let attempts = done["attempts"].as_array().unwrap();
    let told = |at: usize| [attempts[at]["pool_id"].as_str(), attempts[at]["outcome"].as_str()];
    assert_eq!(told(0), [Some("x"), Some("lost")]);
    assert_eq!(told(1), [Some("y"), Some("completed")]);
    let after = reasons(&attempts[1]["decision"]);
    assert!(after["x"].contains(&"EXCLUDED_AFTER_FAILURE".to_owned()), "{after:?}");
    assert_eq!(done["decision"], attempts[1]["decision"]);
    // The decisions are kept with the task.
    daemon.kill();
    let restarted = home.start();
    assert_eq!(restarted.task(&id)["attempts"], done["attempts"]);
}

/// Verifies: ORCH-116, ORCH-117
#[test]
fn the_strategy_can_be_configured() {
    let engines = [(); 2].map(|()| ScriptedEngine::start(&[]));
    let sections = "[placement]\nstrategy = \"round-robin\"";
    let (_home, daemon) = start(&[("x", &engines[0]), ("y", &engines[1])], 4, sections);
    let pools: Vec<String> = (0..4)
        .map(|_| {
            let id = daemon.submit(&scripted_task("[[tokens=2]]"));
            let done = daemon.wait_until(&id, "succeeded");
            assert_eq!(done["decision"]["strategy"], "round-robin");
            done["attempts"][0]["pool_id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(pools, ["x", "y", "x", "y"]);
}
