use std::fmt::Write as _;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use testkit::{Directives, Script, ScriptedEngine};

use crate::{
    daemon::{Daemon, Home, scripted_task},
    events::whole,
    http::Request,
    placing::most_at_once,
    starter::{self, starter_file},
    waiting::wait_for,
};

/// A pool in front of a scripted engine; its model is `remote:ID/scripted`.
fn pool(id: &str, engine: &ScriptedEngine, more: &str) -> String {
    format!("[pools.{id}]\nengine = \"openai\"\nurl = \"{}\"\n{more}\n", engine.url())
}

fn task_for(pool: &str, prompt: &str) -> Value {
    json!({"model_ref": format!("remote:{pool}/scripted"), "prompt": prompt})
}

/// Sends the signal, and waits until it was answered; the lines logged since, as JSON.
fn hang_up(home: &Home, daemon: &Daemon) -> Vec<Value> {
    let before = home.log().len();
    daemon.signal(Signal::SIGHUP);
    wait_for("the signal is answered", || {
        let log = home.log()[before..].to_owned();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines: Vec<Value> = lines.collect();
        let is_answer =
            |line: &Value| line["event"] == "reloaded" || line["event"] == "reload_refused";
        lines.iter().any(is_answer).then_some(lines)
    })
}

/// Lets a configuration hold.
fn reload(home: &Home, daemon: &Daemon, sections: &str) -> Vec<Value> {
    home.configure(sections);
    let lines = hang_up(home, daemon);
    assert!(lines.iter().any(|line| line["event"] == "reloaded"), "{lines:?}");
    lines
}

fn of_event<'l>(lines: &'l [Value], event: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// Pools that the daemon shows, with their states.
fn pools(daemon: &Daemon) -> Vec<(String, String)> {
    let status = daemon.get("/v2/status").json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let pools = status["pools"].as_array().unwrap().iter();
    pools.map(|pool| (text(&pool["pool_id"]), text(&pool["state"]))).collect()
}

fn text_of(prompt: &str, tokens: u32) -> String {
    Script::new(prompt, &Directives::read(prompt)).text(tokens)
}

/// Verifies: ORCH-285, ORCH-294
#[test]
fn pools_change_under_load_and_no_task_notices() {
    let engines: Vec<_> = (0..3).map(|_| ScriptedEngine::start(&["--rate", "40"])).collect();
    let [first, second, third] = &engines[..] else { unreachable!() };
    let home =
        Home::new(&format!("{}{}", pool("x", first, "slots = 8"), pool("y", second, "slots = 4")));
    let daemon = home.start();
    daemon.wait_for_pool("x", "ready");
    daemon.wait_for_pool("y", "ready");
    let prompt = |number: usize| format!("[[tokens=80]] number {number}");
    let submit = |pool: &str, number: usize| daemon.submit(&task_for(pool, &prompt(number)));
    let mut tasks: Vec<String> = (0..4).map(|number| submit("x", number)).collect();
    tasks.extend((4..8).map(|number| submit("y", number)));
    for task in &tasks {
        daemon.events(task).take(3);
    }
    // Of these none has begun.
    tasks.extend((8..12).map(|number| submit("y", number)));
    let wanted = format!(
        "{}{}{}",
        pool("x", first, "slots = 8"),
        pool("y", second, "slots = 6"),
        pool("z", third, ""),
    );
    let lines = reload(&home, &daemon, &wanted);
    let answer = of_event(&lines, "reloaded")[0].clone();
    assert_eq!(
        (&answer["pools_added"], &answer["pools_removed"], &answer["pools_replaced"]),
        (&json!("z"), &json!(""), &json!("y"))
    );
    assert_eq!((&answer["audit"], &answer["caller"]), (&json!(true), &json!("signal")));
    let changed = of_event(&lines, "config_changed");
    let slots = changed.iter().find(|line| line["key"] == "pools.y.slots").unwrap();
    assert_eq!((&slots["from"], &slots["to"]), (&json!("4"), &json!("6")));
    tasks.extend((12..14).map(|number| submit("y", number)));
    daemon.wait_for_pool("z", "ready");
    assert_eq!(daemon.wait_for_pool("y", "ready")["slots_total"], 6);
    let names: Vec<String> = pools(&daemon).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["x", "y", "z"]);
    let more = daemon.submit(&task_for("z", "[[tokens=2]]"));
    daemon.wait_until(&more, "succeeded");
    for (number, task) in tasks.iter().enumerate() {
        let (text, end) = whole(&daemon.events(task).rest());
        assert_eq!((text, &end.name[..]), (text_of(&prompt(number), 80), "end"));
        assert_eq!(end.json()["attempts"], 1, "task {number} was disturbed");
    }
    let replica = |task: &str| daemon.events(task).take(1)[0].json()["replica_id"].clone();
    assert_eq!((replica(&tasks[4]), replica(tasks.last().unwrap())), (json!("0"), json!("1")));
    // The former self of `y` goes when its streams are over; nothing ever happened to `x`.
    let after = wait_for("it is closed", || {
        let log = home.log();
        let (_, after) = log.split_once("\"event\":\"reloaded\"").unwrap();
        after.contains("\"stopped\"").then(|| after.to_owned())
    });
    let states = after.lines().filter(|line| line.contains("\"event\":\"pool_state\""));
    for line in states {
        assert!(!line.contains("\"pool_id\":\"x\""), "{line}");
    }
    assert_eq!(pools(&daemon).len(), 3);
    daemon.stop();
}

/// Verifies: ORCH-285, ORCH-026
#[test]
fn a_pool_that_is_removed_finishes_its_stream_and_its_queue_is_told() {
    let first = ScriptedEngine::start(&["--rate", "40"]);
    let second = ScriptedEngine::start(&[]);
    let kept = pool("y", &second, "");
    let home = Home::new(&format!("{}{kept}", pool("x", &first, "slots = 1")));
    let daemon = home.start();
    daemon.wait_for_pool("x", "ready");
    daemon.wait_for_pool("y", "ready");
    let prompt = "[[tokens=100]] goes on";
    let running = daemon.submit(&task_for("x", prompt));
    let mut stream = daemon.events(&running);
    let mut events = stream.take(3);
    let queued: Vec<String> =
        (0..3).map(|_| daemon.submit(&task_for("x", "[[tokens=1]]"))).collect();
    reload(&home, &daemon, &kept);
    assert!(
        pools(&daemon).contains(&("x".to_owned(), "draining".to_owned())),
        "{:?}",
        pools(&daemon)
    );
    daemon.post("/v2/tasks", &task_for("x", "late")).expect_error(503, "MODEL_NOT_AVAILABLE");
    for task in &queued {
        let failed = daemon.wait_until(task, "failed");
        assert_eq!(failed["error"]["code"], "MODEL_NOT_AVAILABLE", "{failed}");
    }
    events.extend(stream.rest());
    let (text, end) = whole(&events);
    assert_eq!((text, &end.name[..]), (text_of(prompt, 100), "end"));
    wait_for("the pool is gone", || {
        (pools(&daemon) == [("y".to_owned(), "ready".to_owned())]).then_some(())
    });
    let page = daemon.get("/metrics").text().to_owned();
    let gauges: Vec<&str> =
        page.lines().filter(|line| line.contains("slots") && line.contains("pool=\"x\"")).collect();
    assert!(gauges.is_empty(), "{gauges:?}");
    assert_eq!(first.log().iter().filter(|line| line["event"] == "started").count(), 1);
    daemon.stop();
}

/// Verifies: ORCH-285, ORCH-106, ORCH-102
#[test]
fn a_stream_moves_to_where_its_pool_went_and_nobody_is_to_blame() {
    let slow = ScriptedEngine::start(&["--rate", "10"]);
    let fast = ScriptedEngine::start(&[]);
    let rest = "[scheduling]\nmax_attempts = 1\npool_drain_ms = 0\n";
    let of = |engine: &ScriptedEngine| format!("{}{rest}", pool("x", engine, "strict = true"));
    let home = Home::new(&of(&slow));
    let daemon = home.start().ready();
    let prompt = "[[tokens=3000]] moves";
    let task = json!({"model_ref": "scripted", "prompt": prompt, "failover": "off"});
    let id = daemon.submit(&task);
    let mut stream = daemon.events(&id);
    let mut events = stream.take(4);
    reload(&home, &daemon, &of(&fast));
    events.extend(stream.rest());
    let (text, end) = whole(&events);
    let tokens = u32::try_from(end.json()["tokens_out"].as_u64().unwrap()).unwrap();
    assert_eq!((text, &end.name[..]), (text_of(prompt, tokens), "end"));
    let attempts = daemon.task(&id)["attempts"].clone();
    let outcomes: Vec<&Value> =
        attempts.as_array().unwrap().iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["interrupted", "completed"], "{attempts}");
    daemon.stop();
}

/// Verifies: ORCH-285, ORCH-026
#[test]
fn an_alias_moves_and_who_waits_stays_with_what_it_meant() {
    let first = ScriptedEngine::start(&[]);
    let second = ScriptedEngine::start(&[]);
    let both = format!("{}{}", pool("x", &first, "slots = 1"), pool("y", &second, ""));
    let of = |pool: &str| {
        format!(
            "{both}[aliases]\nchat = \"remote:{pool}/scripted\"\n[catalog]\ndefault_model = \"chat\"\n"
        )
    };
    let home = Home::new(&of("x"));
    let daemon = home.start();
    daemon.wait_for_pool("x", "ready");
    daemon.wait_for_pool("y", "ready");
    let held = daemon.submit(&json!({"prompt": "[[stall_after=1]]"}));
    daemon.wait_until(&held, "running");
    let queued = daemon.submit(&json!({"model_ref": "chat", "prompt": "[[tokens=1]] before"}));
    reload(&home, &daemon, &of("y"));
    let later = daemon.submit(&json!({"prompt": "[[tokens=1]] after"}));
    daemon.wait_until(&later, "succeeded");
    assert_eq!(daemon.task(&queued)["status"], "queued");
    daemon.cancel(&held);
    daemon.wait_until(&queued, "succeeded");
    let pool_of = |id: &str| daemon.events(id).take(1)[0].json()["pool_id"].clone();
    assert_eq!((pool_of(&queued), pool_of(&later)), (json!("x"), json!("y")));
    daemon.stop();
}

/// Verifies: ORCH-285
#[test]
fn limits_hold_from_the_next_request_on_and_nothing_that_waits_is_dropped() {
    let engine = ScriptedEngine::start(&[]);
    let base = pool("x", &engine, "slots = 1");
    let home = Home::new(&base);
    let daemon = home.start().ready();
    let held = daemon.submit(&scripted_task("[[stall_after=1]]"));
    daemon.wait_until(&held, "running");
    let queued: Vec<String> =
        (0..5).map(|_| daemon.submit(&scripted_task("[[tokens=1]]"))).collect();
    let page = "http://localhost:3000";
    let asks = || Request::get("/healthz").header("Origin", page).send(daemon.addr);
    assert_eq!(asks().status, 403);
    let lines = reload(
        &home,
        &daemon,
        &format!(
            "{base}[queue]\nmodel_capacity = 2\n[stream]\nsubscribers_max = 1\n\
             subscribers_per_task = 1\n[cors]\nallowed_origins = [\"{page}\"]\n\
             [server]\naddr = \"127.0.0.1:1\"\nbody_max_bytes = 2000\n[store]\nsegment_bytes = 2000000\n"
        ),
    );
    let restart = of_event(&lines, "restart_needed")[0].clone();
    assert_eq!(restart["need_restart"], "server.addr, store.segment_bytes");
    daemon.post("/v2/tasks", &scripted_task("late")).expect_error(429, "ADMISSION_REJECT");
    let large = scripted_task(&"x".repeat(3000));
    daemon.post("/v2/tasks", &large).expect_error(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(asks().header("access-control-allow-origin"), Some(page));
    let limits = daemon.get("/v2/meta/capabilities").json()["limits"].clone();
    assert_eq!(
        (&limits["queue_model_capacity"], &limits["body_max_bytes"]),
        (&json!(2), &json!(2000))
    );
    let subscriber = daemon.events(&held);
    let second = Request::get(&format!("/v2/tasks/{}/events", queued[0])).send(daemon.addr);
    second.expect_error(429, "TOO_MANY_STREAMS");
    drop(subscriber);
    reload(
        &home,
        &daemon,
        &format!("{base}[limits]\nrequests_per_second = 1\nrequests_burst = 1\n"),
    );
    let one_more = daemon.submit(&scripted_task("[[tokens=1]]"));
    daemon.post("/v2/tasks", &scripted_task("late")).expect_error(429, "RATE_LIMITED");
    daemon.cancel(&held);
    for task in queued.iter().chain([&one_more]) {
        daemon.wait_until(task, "succeeded");
    }
    daemon.stop();
}

/// Verifies: ORCH-285
#[test]
fn many_signals_in_a_row_end_with_the_last_configuration() {
    let engine = ScriptedEngine::start(&["--rate", "40"]);
    let other = ScriptedEngine::start(&[]);
    let base = pool("x", &engine, "");
    let home = Home::new(&base);
    let daemon = home.start().ready();
    let prompt = "[[tokens=120]] goes on";
    let id = daemon.submit(&scripted_task(prompt));
    let mut stream = daemon.events(&id);
    let mut events = stream.take(3);
    for round in 1..=20 {
        let mut sections = base.clone();
        if round % 2 == 0 {
            sections.push_str(&pool("y", &other, &format!("slots = {round}")));
        }
        writeln!(sections, "[queue]\nmodel_capacity = {round}").unwrap();
        home.configure(&sections);
        daemon.signal(Signal::SIGHUP);
        daemon.signal(Signal::SIGHUP);
    }
    let capacity =
        || daemon.get("/v2/meta/capabilities").json()["limits"]["queue_model_capacity"].clone();
    wait_for("the last one holds", || (capacity() == 20).then_some(()));
    assert_eq!(daemon.wait_for_pool("y", "ready")["slots_total"], 20);
    wait_for("no former self is left", || (pools(&daemon).len() == 2).then_some(()));
    events.extend(stream.rest());
    let (text, end) = whole(&events);
    assert_eq!((text, end.json()["attempts"].clone()), (text_of(prompt, 120), json!(1)));
    let lines = hang_up(&home, &daemon);
    assert!(of_event(&lines, "config_changed").is_empty(), "nothing changed: {lines:?}");
    daemon.stop();
}

/// Verifies: ORCH-285
#[test]
fn a_signal_during_the_start_or_the_end_does_no_harm() {
    let engine = ScriptedEngine::start(&["--rate", "40"]);
    let home = Home::scripted(&engine, "", "");
    let daemon = std::thread::scope(|scope| {
        scope.spawn(|| {
            // The lock is taken long before the daemon listens, and says who has it.
            let pid = wait_for("the process has begun", || {
                let holder = std::fs::read_to_string(home.data().join("lock")).ok()?;
                holder.trim().parse::<i32>().ok()
            });
            for _ in 0..5 {
                kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
            }
        });
        home.start()
    });
    let daemon = daemon.ready();
    let id = daemon.submit(&scripted_task("[[tokens=100]]"));
    daemon.events(&id).take(3);
    daemon.signal(Signal::SIGHUP);
    daemon.signal(Signal::SIGTERM);
    wait_for("it ends", || (daemon.get("/readyz").status == 503).then_some(()));
    for _ in 0..5 {
        daemon.signal(Signal::SIGHUP);
    }
    assert_eq!(daemon.ended().code(), Some(0));
    let daemon = home.start().ready();
    daemon.wait_until(&id, "succeeded");
    daemon.stop();
}

/// Verifies: ORCH-285
#[test]
fn pools_that_cannot_be_loaded_wait_between_their_tries() {
    let home = Home::new("");
    let starter = std::fs::read(starter_file()).unwrap();
    let mut sections = String::new();
    for name in ["one", "two"] {
        let path = home.path().join(format!("{name}.gguf"));
        // Whole enough to be registered, and too short to be loaded.
        std::fs::write(&path, &starter[..(3 << 20) + name.len()]).unwrap();
        write!(
            sections,
            "[models.{name}]\nsource = \"file:{path}\"\n\
             [pools.{name}]\nengine = \"candle\"\nmodels = [\"{name}\"]\n"
        )
        .unwrap();
    }
    home.configure(&sections);
    let daemon = home.start();
    daemon.wait_for_pool("one", "backoff");
    daemon.wait_for_pool("two", "backoff");
    // What one try of a pool tells the others must not make them try in turn.
    for _ in 0..300 {
        assert_eq!(daemon.get("/healthz").status, 200);
    }
    let tries = home.log().matches("\"event\":\"model_unavailable\"").count();
    assert!((2..20).contains(&tries), "{tries} tries: {}", home.log());
    daemon.stop();
}

/// Names of the daemon's threads that compute.
fn computing_threads(daemon: &Daemon) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let names = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with("candle"))).count()
}

/// Verifies: ORCH-285, ORCH-101, ORCH-106
#[test]
fn a_pool_in_the_daemon_comes_changes_under_its_stream_and_goes() {
    let (_home, _turn) = starter::home();
    let engine = ScriptedEngine::start(&[]);
    let base = pool("x", &engine, "");
    let file = starter_file();
    let embedded = |threads: u32| {
        format!(
            "{base}[models.starter]\nsource = \"file:{file}\"\n[pools.embedded]\nengine = \"candle\"\n\
             threads = {threads}\n[scheduling]\npool_drain_ms = 0\nmax_attempts = 1\n"
        )
    };
    let home = Home::new(&base);
    let daemon = home.start().ready();
    reload(&home, &daemon, &embedded(1));
    daemon.wait_for_pool("embedded", "ready");
    assert!(computing_threads(&daemon) > 0);
    let task = json!({"model_ref": "starter", "prompt": "The rain in Spain", "max_tokens": 24,
        "sampling": {"temperature": 0.0, "seed": 7}});
    let undisturbed = daemon.submit(&task);
    daemon.wait_until(&undisturbed, "succeeded");
    let (expected, _) = whole(&daemon.events(&undisturbed).rest());
    let moved = daemon.submit(&task);
    let mut stream = daemon.events(&moved);
    let mut events = stream.take(4);
    reload(&home, &daemon, &embedded(2));
    events.extend(stream.rest());
    let (text, end) = whole(&events);
    assert_eq!((text, &end.name[..]), (expected, "end"));
    assert_eq!(end.json()["attempts"], 2);
    daemon.wait_for_pool("embedded", "ready");
    reload(&home, &daemon, &base);
    wait_for("the pool is gone", || (pools(&daemon).len() == 1).then_some(()));
    wait_for("its threads are gone", || (computing_threads(&daemon) == 0).then_some(()));
    daemon.post("/v2/tasks", &task).expect_error(503, "MODEL_NOT_AVAILABLE");
    daemon.stop();
}

/// Verifies: ORCH-125, ORCH-285
#[test]
fn a_changed_pool_before_the_same_server_uses_no_slots_that_its_former_self_still_has() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::new(&pool("x", &engine, "slots = 2"));
    let daemon = home.start();
    daemon.wait_for_pool("x", "ready");
    let holds = || daemon.submit(&task_for("x", "[[stall_after=1]] [[tokens=5]]"));
    let held = [holds(), holds()];
    for id in &held {
        daemon.events(id).take(2);
    }
    reload(&home, &daemon, &pool("x", &engine, "slots = 3"));
    // Three slots, of which two are taken.
    let ids: Vec<String> = (0..6).map(|_| daemon.submit(&task_for("x", "[[tokens=3]]"))).collect();
    for id in &ids {
        let done = daemon.wait_until(id, "succeeded");
        assert_eq!(done["attempts"][0]["replica_id"], "1", "by the pool as it is now");
    }
    assert_eq!(most_at_once(&engine), 3);
    for id in &held {
        assert_eq!(daemon.task(id)["attempts"][0]["replica_id"], "0");
        daemon.cancel(id);
    }
    let more: Vec<String> = (0..9).map(|_| daemon.submit(&task_for("x", "[[tokens=3]]"))).collect();
    for id in &more {
        daemon.wait_until(id, "succeeded");
    }
    assert_eq!(most_at_once(&engine), 3);
}
