use std::process::{Command, Output};

use camino::{Utf8Path, Utf8PathBuf};

use crate::daemon::Home;

const PROGRAM: &str = env!("CARGO_BIN_EXE_orchestratord");

fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// The exit code, and what went to either output.
fn ended(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn config(home: &Home, what: &str) -> Command {
    let mut command = home.bare_command(PROGRAM);
    command.args(["config", what, "--config", home.config().as_str()]);
    command
}

/// Verifies: ORCH-283
#[test]
fn a_check_tells_all_that_is_wrong_in_one_run_and_starts_nothing() {
    let home = Home::new("[queue]\nmodel_capacity = 0\n[log]\nlevle = \"info\"");
    let (code, out, err) = ended(config(&home, "check"));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    let file = home.config();
    let line = |wanted: &str| {
        let text = std::fs::read_to_string(&file).unwrap();
        1 + text.lines().position(|line| line.starts_with(wanted)).unwrap()
    };
    let capacity = format!("{file}:{}: `queue.model_capacity` = 0", line("model_capacity"));
    let level = format!("{file}:{}: `log.levle`", line("levle"));
    assert!(err.contains(&capacity) && err.contains("from 1 to 1000000"), "{err}");
    assert!(err.contains(&level) && err.contains("allowed are level, format"), "{err}");
    assert!(!home.data().exists());
}

/// Verifies: ORCH-283
#[test]
fn a_check_sees_what_only_a_start_would() {
    let home = Home::new(
        "[auth]\ntoken_file = \"/nowhere/token\"\n[pools.x]\nengine = \"openai\"\n\
         url = \"http://127.0.0.1:9\"\nkey_file = \"/nowhere/key\"",
    );
    let (code, _, err) = ended(config(&home, "check"));
    assert_eq!(code, Some(2));
    assert!(err.contains("cannot read /nowhere/token"), "{err}");
    assert!(err.contains("cannot read /nowhere/key"), "{err}");
    let bare = Home::new("");
    let mut open = config(&bare, "check");
    open.args(["--addr", "0.0.0.0:1"]);
    let (code, _, err) = ended(open);
    assert_eq!(code, Some(2));
    assert!(err.contains("flag for server.addr"), "{err}");
    let mut missing = bare.bare_command(PROGRAM);
    missing.args(["config", "check", "--config", "/nowhere/c.toml"]);
    assert_eq!(ended(missing).0, Some(2));
}

/// Verifies: ORCH-283
#[test]
fn what_is_right_is_printed_with_its_origins() {
    let home = Home::new("[queue]\nmodel_capacity = 3");
    let (code, out, err) = ended(config(&home, "check"));
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "the configuration is right\n", ""));
    let mut print = config(&home, "print");
    print.env("ORCHD_LOG__LEVEL", "warn").args(["--addr", "127.0.0.1:4"]);
    let (code, out, err) = ended(print);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("level = \"warn\"  # environment variable ORCHD_LOG__LEVEL\n"), "{out}");
    assert!(out.contains("addr = \"127.0.0.1:4\"  # flag for server.addr\n"), "{out}");
    assert!(out.contains(&format!("model_capacity = 3  # {}:", home.config())), "{out}");
    assert!(out.contains("total_capacity = 4096  # default\n"), "{out}");
}

/// Verifies: ORCH-283
#[test]
fn the_schema_is_the_one_that_is_checked_in() {
    let home = Home::new("");
    let (code, out, _) = ended(config(&home, "schema"));
    let path = root().join("contracts/generated/config.schema.json");
    assert_eq!((code, out), (Some(0), std::fs::read_to_string(path).unwrap()));
}

/// Verifies: ORCH-283
#[test]
fn each_example_is_right_and_so_are_the_keys_it_only_mentions() {
    let home = Home::new("");
    let folder = root().join("examples").read_dir_utf8().unwrap();
    let paths = folder.map(|entry| entry.unwrap().into_path());
    let examples: Vec<Utf8PathBuf> =
        paths.filter(|path| path.extension() == Some("toml")).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let check = |path: &Utf8Path| {
            let mut command = home.bare_command(PROGRAM);
            command.args(["config", "check", "--config", path.as_str()]);
            ended(command)
        };
        let (code, _, err) = check(&example);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{example}");
        // What is commented out is TOML once the sign is gone; only the files it names are not there.
        let text = std::fs::read_to_string(&example).unwrap();
        let is_setting = |line: &&str| {
            let bare = line.trim_start_matches("# ");
            bare.starts_with('[') || bare.split_once(" = ").is_some_and(|(key, _)| is_key(key))
        };
        let lines = text.lines().filter(is_setting).map(|line| line.trim_start_matches("# "));
        let all = home.path().join("all.toml");
        std::fs::write(&all, lines.collect::<Vec<_>>().join("\n")).unwrap();
        let (_, _, err) = check(&all);
        let others: Vec<&str> =
            err.lines().filter(|line| !line.contains("cannot read /")).collect();
        assert!(others.is_empty(), "{others:#?}");
    }
}

fn is_key(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
