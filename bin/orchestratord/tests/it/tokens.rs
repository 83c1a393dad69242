use std::net::SocketAddr;

use nix::sys::signal::Signal;
use serde_json::json;
use testkit::ScriptedEngine;

use crate::{
    daemon::{Daemon, Home, pool_of, scripted_task},
    events::EventReader,
    http::Request,
};

const TOKEN: &str = "correct-horse-battery-staple-0123456789";

/// Verifies: ORCH-232, ORCH-005, ORCH-004
#[test]
fn with_a_token_all_but_health_asks_for_it() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "[auth]\ntoken_file = \"TOKEN\"");
    let file = home.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let text = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(home.config(), text.replace("TOKEN", file.as_str())).unwrap();
    let daemon = home.start();

    for path in ["/healthz", "/readyz"] {
        assert_eq!(daemon.get(path).status, 200);
    }
    for path in ["/v2/status", "/v2/tasks", "/nowhere", "/v2/tasks/x/events", "/metrics"] {
        let missing = daemon.get(path);
        missing.expect_error(401, "MISSING_TOKEN");
        assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
        let wrong = Request::get(path).header("Authorization", "Bearer wrong").send(daemon.addr);
        wrong.expect_error(401, "BAD_TOKEN");
        assert_eq!(wrong.header("www-authenticate"), Some("Bearer"));
    }
    let facade = daemon.get("/v1/models");
    assert_eq!(
        (facade.status, &facade.json()["error"]["type"]),
        (401, &json!("authentication_error"))
    );
    let basic = Request::get("/v2/status").header("Authorization", &format!("Basic {TOKEN}"));
    basic.send(daemon.addr).expect_error(401, "MISSING_TOKEN");

    let with_token = |request: Request| {
        request.header("Authorization", &format!("Bearer {TOKEN}")).send(daemon.addr)
    };
    // The Host rule is for binds without a token.
    let status = with_token(Request::get("/v2/status").header("Host", "llm.example"));
    assert_eq!(status.status, 200);
    with_token(Request::get("/nowhere")).expect_error(404, "NOT_FOUND");
    crate::waiting::wait_for("the engine is attached", || {
        let status = with_token(Request::get("/v2/status")).json();
        (status["pools"][0]["state"] == "ready").then_some(())
    });
    let task = Request::post("/v2/tasks", scripted_task("x").to_string());
    assert_eq!(with_token(task).status, 202);
    assert!(!home.log().contains(TOKEN));
}

/// Verifies: ORCH-231, ORCH-233
#[test]
fn a_token_opens_other_addresses_and_a_weak_one_stops_the_start() {
    let home = Home::new("[pools.x]\nengine = \"openai\"\nurl = \"http://127.0.0.1:9\"");
    let file = home.path().join("token");
    let command = || {
        let mut command = home.command();
        command.args(["--addr", "0.0.0.0:0"]).env("ORCHD_TOKEN_FILE", &file);
        command
    };
    for weak in ["short", "", "with space with space with space with space"] {
        std::fs::write(&file, weak).unwrap();
        let (code, printed) = home.refused_start(command());
        assert_eq!(code, Some(1));
        assert!(printed.contains("auth.token_file"), "{printed}");
        assert!(weak.is_empty() || !printed.contains(weak), "{printed}");
    }
    std::fs::write(&file, TOKEN).unwrap();
    let daemon = home.start_with(command());
    let local = std::net::SocketAddr::from(([127, 0, 0, 1], daemon.addr.port()));
    Request::get("/v2/status").send(local).expect_error(401, "MISSING_TOKEN");
}

/// A daemon with tokens of these names and scopes; the token of `x` is `x` 32 times.
pub(crate) fn with_tokens(engine: &ScriptedEngine, tokens: &[(&str, &str)]) -> Home {
    let home = Home::scripted(engine, "", "");
    let sections = tokens.iter().map(|(name, scope)| {
        let file = home.path().join(name);
        std::fs::write(&file, name.repeat(32)).unwrap();
        format!("[auth.tokens.{name}]\nscope = \"{scope}\"\nfile = \"{file}\"\n")
    });
    let sections: String = sections.collect();
    home.configure(&format!("{}\n{sections}", pool_of(engine)));
    home
}

pub(crate) fn by(name: &str, request: Request) -> Request {
    request.header("Authorization", &format!("Bearer {}", name.repeat(32)))
}

fn wait_ready(daemon: &Daemon, admin: &str) {
    crate::waiting::wait_for("the engine is attached", || {
        let status = by(admin, Request::get("/v2/status")).send(daemon.addr).json();
        (status["pools"][0]["state"] == "ready").then_some(())
    });
}

/// Verifies: ORCH-234
#[test]
fn a_client_sees_its_own_tasks_and_an_admin_all() {
    let engine = ScriptedEngine::start(&[]);
    let home = with_tokens(&engine, &[("ann", "client"), ("bob", "client"), ("root", "admin")]);
    let daemon = home.start();
    wait_ready(&daemon, "root");
    let submit = |name: &str| {
        let request = Request::post("/v2/tasks", scripted_task("[[stall_after=1]]").to_string());
        let request = request.header("Idempotency-Key", "one");
        let answer = by(name, request).send(daemon.addr);
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["task_id"].as_str().unwrap().to_owned()
    };
    // The same key of another client is another key.
    let (anns, bobs) = (submit("ann"), submit("bob"));
    assert_ne!(anns, bobs);
    assert_eq!(submit("ann"), anns);
    let listed = |name: &str| {
        let list = by(name, Request::get("/v2/tasks")).send(daemon.addr).json();
        let ids = list["items"].as_array().unwrap().iter();
        ids.map(|task| task["task_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("ann"), [&*anns]);
    assert_eq!(listed("bob"), [&*bobs]);
    assert_eq!(listed("root"), [&*bobs, &*anns]);
    let requests = |id: &str| {
        [
            Request::get(&format!("/v2/tasks/{id}")),
            Request::get(&format!("/v2/tasks/{id}/events")),
            Request::post(&format!("/v2/tasks/{id}/cancel"), ""),
        ]
    };
    for request in requests(&bobs) {
        let foreign = by("ann", request).send(daemon.addr).expect_error(404, "NOT_FOUND");
        let unknown = by("ann", Request::get("/v2/tasks/00000000-0000-7000-8000-000000000000"));
        let unknown = unknown.send(daemon.addr).expect_error(404, "NOT_FOUND");
        assert_eq!(foreign["message"], unknown["message"], "a foreign task can be told apart");
    }
    assert_eq!(by("bob", Request::get(&format!("/v2/tasks/{bobs}"))).send(daemon.addr).status, 200);
    for (name, id) in [("ann", &anns), ("root", &bobs)] {
        for request in requests(id) {
            assert_eq!(by(name, request).open(daemon.addr).status, 200, "{name} at {id}");
        }
    }
}

/// Verifies: ORCH-234
#[test]
fn tokens_are_reread_at_a_hangup_and_open_streams_go_on() {
    let engine = ScriptedEngine::start(&[]);
    let home = with_tokens(&engine, &[("ann", "client"), ("root", "admin")]);
    let daemon = home.start();
    wait_ready(&daemon, "root");
    let task = Request::post("/v2/tasks", scripted_task("[[stall_after=1]]").to_string());
    let task = by("ann", task).send(daemon.addr).json();
    let id = task["task_id"].as_str().unwrap();
    let get = |name: &str, path: &str| by(name, Request::get(path));
    let mut stream =
        EventReader::new(get("ann", &format!("/v2/tasks/{id}/events")).open(daemon.addr));
    stream.take(2);

    let hang_up = |expected: &str| {
        let before = home.log().len();
        daemon.signal(Signal::SIGHUP);
        crate::waiting::wait_for("the signal is answered", || {
            home.log()[before..].contains(expected).then_some(())
        });
    };
    let status = |name: &str| get(name, "/v2/tasks").send(daemon.addr).status;
    // An unfit token leaves all as they were.
    std::fs::write(home.path().join("root"), "x".repeat(32)).unwrap();
    std::fs::write(home.path().join("ann"), "short").unwrap();
    hang_up("reload_refused");
    assert!(home.log().contains("auth.tokens.ann.file"));
    assert_eq!((status("root"), status("ann"), status("x")), (200, 200, 401));

    std::fs::write(home.path().join("ann"), "new".repeat(32)).unwrap();
    hang_up("\"reloaded\"");
    assert_eq!((status("root"), status("ann"), status("x")), (401, 401, 200));
    // The new token has the old one's name, and so its tasks.
    let cancel = Request::post(&format!("/v2/tasks/{id}/cancel"), "");
    assert_eq!(by("new", cancel).send(daemon.addr).status, 200);
    assert!(stream.rest().last().unwrap().is_terminal());
    let log = home.log();
    assert!(!log.contains(&"new".repeat(32)) && log.contains("token_rotated"), "{log}");
}

/// Sends the signal, and waits for the answer; what was logged since.
fn hang_up(home: &Home, daemon: &Daemon) -> String {
    let before = home.log().len();
    daemon.signal(Signal::SIGHUP);
    crate::waiting::wait_for("the signal is answered", || {
        let log = home.log()[before..].to_owned();
        let is_answered = log.contains("\"reloaded\"") || log.contains("reload_refused");
        (is_answered && log.ends_with('\n')).then_some(log)
    })
}

/// Verifies: ORCH-232, ORCH-233, ORCH-285
#[test]
fn a_reload_asks_for_tokens_and_stops_asking_and_streams_go_on() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[stall_after=1]]"));
    let mut stream = daemon.events(&id);
    stream.take(2);
    let file = home.path().join("ann");
    std::fs::write(&file, "short").unwrap();
    let ann = format!("[auth.tokens.ann]\nscope = \"admin\"\nfile = \"{file}\"\n");
    let more = "[queue]\nmodel_capacity = 77\n";
    home.configure(&format!("{}\n{ann}{more}", pool_of(&engine)));

    // Tokens that cannot be had are no reason to go on without, nor to let the rest hold.
    assert!(hang_up(&home, &daemon).contains("auth.tokens.ann.file"));
    let capacity = |request: Request| {
        let able = request.send(daemon.addr).json();
        able["limits"]["queue_model_capacity"].clone()
    };
    let able = || Request::get("/v2/meta/capabilities");
    assert_eq!(capacity(able()), 256);

    std::fs::write(&file, "ann".repeat(32)).unwrap();
    let log = hang_up(&home, &daemon);
    assert!(log.contains("access_changed") && log.contains("tokens_needed"), "{log}");
    assert!(!log.contains("restart_needed"), "{log}");
    daemon.get("/v2/tasks").expect_error(401, "MISSING_TOKEN");
    assert_eq!(capacity(by("ann", able())), 77);
    let listed = by("ann", able()).send(daemon.addr).json();
    assert!(listed["features"].as_array().unwrap().contains(&json!("tokens")), "{listed}");

    home.configure(&format!("{}\n{more}", pool_of(&engine)));
    let log = hang_up(&home, &daemon);
    assert!(log.contains("no_tokens_needed"), "{log}");
    assert_eq!(capacity(able()), 77);
    let lured = Request::get("/v2/tasks").header("Host", "attacker.example").send(daemon.addr);
    lured.expect_error(403, "HOST_NOT_ALLOWED");
    daemon.cancel(&id);
    assert!(stream.rest().last().unwrap().is_terminal(), "the stream was cut");
    daemon.stop();
}

/// Verifies: ORCH-231, ORCH-285
#[test]
fn the_last_token_stays_until_a_restart_where_others_can_reach_the_daemon() {
    let home = Home::new("");
    let file = home.path().join("ann");
    std::fs::write(&file, "ann".repeat(32)).unwrap();
    let pool = "[pools.x]\nengine = \"openai\"\nurl = \"http://127.0.0.1:9\"\n";
    home.configure(&format!(
        "[server]\naddr = \"0.0.0.0:0\"\n[auth]\ntoken_file = \"{file}\"\n{pool}"
    ));
    let daemon = home.start();
    let local = SocketAddr::from(([127, 0, 0, 1], daemon.addr.port()));
    let status = |request: Request| request.send(local).status;
    let tasks = || Request::get("/v2/tasks");
    std::fs::remove_file(&file).unwrap();
    home.configure(&format!("[server]\naddr = \"127.0.0.1:0\"\n{pool}"));
    let log = hang_up(&home, &daemon);
    assert!(log.contains("\"need_restart\":\"auth.token_file, server.addr\""), "{log}");
    assert_eq!((status(tasks()), status(by("ann", tasks()))), (401, 200));

    home.configure(&format!("[server]\naddr = \"0.0.0.0:0\"\n{pool}"));
    assert!(hang_up(&home, &daemon).contains("reload_refused"));
    assert_eq!((status(tasks()), status(by("ann", tasks()))), (401, 200));
    daemon.stop();
}

/// Verifies: ORCH-034, ORCH-011, ORCH-037
#[test]
fn a_rate_that_is_exceeded_is_told_with_the_time_to_wait() {
    let engine = ScriptedEngine::start(&[]);
    let limits = "[limits]\nprompt_tokens_per_second = 1\nprompt_tokens_burst = 1000";
    let home = Home::scripted(&engine, "", limits);
    let daemon = home.start().ready();
    let large = scripted_task(&"four".repeat(1000));
    daemon.submit(&large);
    let refused = daemon.post("/v2/tasks", &large);
    let error = refused.expect_error(429, "RATE_LIMITED");
    assert_eq!((&error["policy_label"], &error["retriable"]), (&json!("rate-limit"), &json!(true)));
    let wait_ms = error["retry_after_ms"].as_u64().unwrap();
    assert!((900_000..=1_000_000).contains(&wait_ms), "{wait_ms}");
    assert_eq!(refused.header("x-backoff-ms"), Some(wait_ms.to_string().as_str()));
    assert_eq!(refused.header("retry-after"), Some("60"), "the longest that is told");
    assert_eq!(daemon.get("/v2/tasks").json()["items"].as_array().unwrap().len(), 1);
    let chat = json!({"model": "scripted", "messages": [{"role": "user", "content": "x"}]});
    let facade = daemon.post("/v1/chat/completions", &chat);
    assert_eq!((facade.status, facade.header("retry-after")), (429, Some("1")));
    assert_eq!(facade.json()["error"]["code"], "RATE_LIMITED");
}

/// Verifies: ORCH-002, ORCH-005, ORCH-232
#[test]
fn metrics_on_a_loopback_listener_of_their_own_ask_for_no_token() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::new("");
    let file = home.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    home.configure(&format!(
        "[server]\naddr = \"127.0.0.1:0\"\nmetrics_addr = \"127.0.0.1:0\"\n{}\n[auth]\ntoken_file = \"{file}\"",
        pool_of(&engine)
    ));
    let daemon = home.start();
    daemon.get("/metrics").expect_error(401, "MISSING_TOKEN");
    let line =
        home.log().lines().find(|line| line.contains("metrics_listening")).map(str::to_owned);
    let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
    let addr: SocketAddr = line["addr"].as_str().unwrap().parse().unwrap();
    let page = Request::get("/metrics").send(addr);
    assert_eq!(page.status, 200);
    assert!(page.text().contains("orchd_build_info"), "{}", page.text());
    for path in ["/v2/status", "/v2/tasks", "/healthz", "/v1/models"] {
        Request::get(path).send(addr).expect_error(404, "NOT_FOUND");
    }
    let foreign = Request::get("/metrics").header("Host", "attacker.example").send(addr);
    foreign.expect_error(403, "HOST_NOT_ALLOWED");
    daemon.stop();

    let open = home.config();
    let text = std::fs::read_to_string(&open).unwrap();
    let text = text.replace("metrics_addr = \"127.0.0.1:0\"", "metrics_addr = \"0.0.0.0:0\"");
    std::fs::write(&open, text).unwrap();
    let (code, printed) = home.refused_start(home.command());
    assert_eq!(code, Some(2), "{printed}");
    assert!(printed.contains("server.metrics_addr"), "{printed}");
}
