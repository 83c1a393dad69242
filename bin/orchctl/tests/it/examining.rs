use std::{os::unix::fs::PermissionsExt as _, process::Stdio};

use camino::Utf8Path;
use camino_tempfile::Utf8TempDir;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    canned_daemon::{Asked, CannedDaemon, Reply, json as reply, write},
    program::{Done, wait},
    wire::error,
};

/// A date in the form of HTTP, so many seconds from now.
fn date(seconds: i64) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let at = std::time::Duration::from_secs(now.checked_add_signed(seconds).unwrap());
    format!("Date: {}", httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH + at))
}

fn status(model_state: &str, replicas: u32, pool: &str, waiting: u64) -> Value {
    json!({
        "version": "1.0", "profile": "home", "ready": true, "failing": [],
        "models": [{
            "id": "sha256:00", "aliases": ["m"], "source_ref": "x", "state": model_state,
            "created_at": null, "verified": true, "architecture": null, "quant": null,
            "ctx_max": null, "size_bytes": null, "pools": ["gpu"], "ready_replicas": replicas,
        }],
        "pools": [{"pool_id": "gpu", "engine": "openai", "state": pool, "slots_total": 4,
                   "slots_free": 0, "last_error": "connection refused"}],
        "queue": [{"model_id": "sha256:00", "interactive": waiting, "batch": 0, "running": 4}],
    })
}

fn answers(
    seconds: i64,
    ready: Value,
    status: (&'static str, Value),
) -> impl FnMut(&Asked) -> Reply + Send + 'static {
    move |asked| match asked.line.as_str() {
        "GET /healthz" => reply("200 OK", &[&date(seconds)], &json!({"status": "ok"})),
        "GET /readyz" => reply("200 OK", &[], &ready),
        "GET /v2/status" => reply(status.0, &[], &status.1),
        other => panic!("{other}"),
    }
}

/// A folder for data that only its owner may look into.
fn data_dir() -> Utf8TempDir {
    let dir = Utf8TempDir::new().unwrap();
    set_mode(dir.path(), 0o700);
    dir
}

fn set_mode(dir: &Utf8Path, mode: u32) {
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs it where only the programs in `path` are found.
async fn examine(url: &str, dir: &Utf8Path, path: &Utf8Path, args: &[&str]) -> Done {
    let child = Command::new(env!("CARGO_BIN_EXE_orchctl"))
        .args(["doctor", "--url", url, "--data-dir", dir.as_str()])
        .args(args)
        .env_remove("ORCHD_TOKEN_FILE")
        .env("PATH", path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait(child).await
}

async fn doctor(url: &str, dir: &Utf8Path) -> (Option<i32>, Vec<(String, String)>) {
    let done = examine(url, dir, dir, &["--json"]).await;
    let checks: Vec<Value> = serde_json::from_str(&done.out).unwrap();
    let text = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    for check in &checks {
        let is_finding = check["verdict"] == "finding";
        assert_eq!(check["to_do"].is_string(), is_finding, "{check}");
    }
    let verdicts = checks.iter().map(|check| (text(check, "name"), text(check, "verdict")));
    (done.code, verdicts.collect())
}

fn findings(verdicts: &[(String, String)]) -> Vec<&str> {
    let found = verdicts.iter().filter(|(_, verdict)| verdict == "finding");
    found.map(|(name, _)| name.as_str()).collect()
}

fn is_ready() -> Value {
    json!({"ready": true, "failing": []})
}

#[tokio::test]
async fn a_daemon_in_order_gives_0_and_each_check_is_told() {
    let well = ("200 OK", status("Active", 1, "ready", 0));
    let daemon = CannedDaemon::start(answers(0, is_ready(), well)).await;
    let dir = data_dir();
    let (code, verdicts) = doctor(&daemon.url(), dir.path()).await;
    assert_eq!((code, findings(&verdicts)), (Some(0), vec![]));
    let names: Vec<&str> = verdicts.iter().map(|(name, _)| name.as_str()).collect();
    let wanted = [
        "daemon",
        "readiness",
        "token",
        "clock",
        "models",
        "pools",
        "load",
        "data directory",
        "disk space",
        "configuration",
    ];
    assert_eq!(names, wanted);
}

#[tokio::test]
async fn each_thing_that_is_wrong_is_a_finding_with_what_to_do() {
    let wrong = ("200 OK", status("Active", 0, "backoff", 7));
    let not_ready = json!({"ready": false, "failing": ["store"]});
    let daemon = CannedDaemon::start(answers(-3600, not_ready, wrong)).await;
    let dir = data_dir();
    set_mode(dir.path(), 0o755);
    let (code, verdicts) = doctor(&daemon.url(), dir.path()).await;
    let wanted = ["readiness", "clock", "models", "pools", "load", "data directory"];
    assert_eq!((code, findings(&verdicts)), (Some(1), wanted.to_vec()));

    let Done { out, err, .. } = examine(&daemon.url(), dir.path(), dir.path(), &[]).await;
    for text in [
        "FINDING  pools           gpu is backoff: connection refused\n",
        "7 tasks wait, and 0 of 4 slots are free",
        "s behind this machine's",
        &format!("to do: chmod 700 {}\n", dir.path()),
    ] {
        assert!(out.contains(text), "{text}: {out}");
    }
    assert_eq!(err, "");
}

#[tokio::test]
async fn models_that_are_not_active_are_told_with_their_state() {
    let fetched = ("200 OK", status("resolving", 0, "ready", 0));
    let daemon = CannedDaemon::start(answers(0, is_ready(), fetched)).await;
    let dir = data_dir();
    let done = examine(&daemon.url(), dir.path(), dir.path(), &[]).await;
    assert_eq!(done.code, Some(1));
    assert!(done.out.contains("none is active: m is resolving\n"), "{}", done.out);
}

#[tokio::test]
async fn a_token_that_is_refused_is_a_finding() {
    let refused = ("401 Unauthorized", error("MISSING_TOKEN", false));
    let daemon = CannedDaemon::start(answers(0, is_ready(), refused)).await;
    let (code, verdicts) = doctor(&daemon.url(), data_dir().path()).await;
    assert_eq!((code, findings(&verdicts)), (Some(1), vec!["token"]));
    assert!(verdicts.contains(&("pools".to_owned(), "skipped".to_owned())), "{verdicts:?}");
}

#[tokio::test]
async fn without_a_daemon_its_port_is_looked_at() {
    let daemon = CannedDaemon::start(|asked| panic!("{}", asked.line)).await;
    let (addr, url) = (daemon.addr, daemon.url());
    daemon.kill().await;
    let dir = data_dir();
    let (code, verdicts) = doctor(&url, dir.path()).await;
    assert_eq!((code, findings(&verdicts)), (Some(1), vec!["daemon"]));

    for greeting in ["SSH-2.0-Server\r\n", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"] {
        let stranger = CannedDaemon::start_at(addr, move |_| vec![write(greeting)]).await;
        let (code, verdicts) = doctor(&url, dir.path()).await;
        assert_eq!((code, findings(&verdicts)), (Some(1), vec!["daemon", "port"]), "{greeting}");
        stranger.kill().await;
    }
}

#[tokio::test]
async fn the_configuration_is_checked_by_the_daemons_own_program() {
    let well = ("200 OK", status("Active", 1, "ready", 0));
    let daemon = CannedDaemon::start(answers(0, is_ready(), well)).await;
    let (dir, path) = (data_dir(), data_dir());
    let program = path.path().join("orchestratord");
    let check = async |script: &str| {
        // Another process writes it: a child that some test starts here would hold a file of ours open for a
        // moment, and what is open for writing cannot be run.
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 700 \"$0\"";
        let args = ["-c", write, program.as_str(), script];
        assert!(Command::new("/bin/sh").args(args).status().await.unwrap().success());
        examine(&daemon.url(), dir.path(), path.path(), &[]).await
    };
    let done = check("exit 0").await;
    assert_eq!(done.code, Some(0), "{}", done.out);
    assert!(done.out.contains("`orchestratord config check` finds no problem"), "{}", done.out);
    let done = check("exit 2").await;
    assert_eq!(done.code, Some(0), "{}", done.out);
    assert!(done.out.contains("has no `config check`"), "{}", done.out);
    let done = check("test $1 = help || { echo 'line 3: server.addr' >&2; exit 2; }").await;
    assert_eq!(done.code, Some(1), "{}", done.out);
    assert!(done.out.contains("FINDING  configuration   line 3: server.addr\n"), "{}", done.out);
}
