//! `orchctl`, built, against the built daemon.

use std::process::{Command, Output};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use testkit::{Directives, Script, ScriptedEngine};

use crate::daemon::{Daemon, Home, pool_of, scripted_task};

/// The built program; `cargo test` alone does not build it for this package.
pub(crate) fn orchctl_program() -> Utf8PathBuf {
    let program = Utf8Path::new(env!("CARGO_BIN_EXE_orchestratord")).with_file_name("orchctl");
    assert!(program.exists(), "{program} is missing; run `cargo build --workspace`");
    program
}

/// A person at the command line.
struct Person<'a> {
    home: &'a Home,
    daemon: &'a Daemon,
}

impl Person<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.bare_command(orchctl_program().as_str());
        command.args(args).env("ORCHD_URL", format!("http://{}", self.daemon.addr));
        command
    }

    fn types(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What a run that went well printed.
    #[track_caller]
    fn well(&self, args: &[&str]) -> String {
        let done = self.types(args);
        let errors = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(0), "{args:?}: {errors}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// What a run that failed with this code said.
    #[track_caller]
    fn fails(&self, code: i32, args: &[&str]) -> String {
        let done = self.types(args);
        let errors = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(code), "{args:?}: {errors}");
        errors
    }
}

fn scripted_text(prompt: &str, tokens: u32) -> String {
    Script::new(prompt, &Directives::read(prompt)).text(tokens)
}

/// Verifies: ORCH-184, ORCH-188
#[test]
fn models_are_added_listed_shown_verified_and_removed() {
    let home = Home::with_models("");
    let path = home.model_file("tiny");
    let daemon = home.start();
    let person = Person { home: &home, daemon: &daemon };
    let source = format!("file:{path}");

    let added = person.well(&["models", "add", &source, "--alias", "mine", "--tag", "small"]);
    assert!(added.contains("is registered") && added.contains("answers to mine"), "{added}");
    let again = person.well(&["models", "add", path.as_str(), "--alias", "other"]);
    assert!(again.contains("was known") && again.contains("mine, other"), "{again}");

    let list = person.well(&["models", "ls"]);
    let row = list.lines().nth(1).unwrap();
    let has_all = row.starts_with("mine, other  active") && row.contains(&source);
    assert!(has_all && list.lines().count() == 2, "{list}");
    let json: Value = serde_json::from_str(&person.well(&["models", "ls", "--json"])).unwrap();
    let id = json[0]["id"].as_str().unwrap();
    assert_eq!(json[0]["tags"][0], "small");

    let shown = person.well(&["models", "show", "mine"]);
    assert!(shown.contains(id) && shown.contains("architecture   llama"), "{shown}");
    assert_eq!(person.well(&["models", "show", id]), shown);
    let verified = person.well(&["models", "verify", "mine"]);
    assert!(["mine: pass\n", "mine: warn\n"].contains(&verified.as_str()), "{verified}");

    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let changed = person.fails(1, &["models", "verify", "mine"]);
    assert!(changed.contains("mine is out of service: "), "{changed}");
    assert!(person.well(&["models", "ls"]).contains("out of service"));

    assert_eq!(person.well(&["models", "rm", "mine"]), "mine is deleted\n");
    let unknown = person.fails(4, &["models", "show", "mine"]);
    assert!(unknown.contains("MODEL_NOT_FOUND"), "{unknown}");
    assert!(path.exists(), "a file of one's own stays");
    let wrong = person.fails(4, &["models", "add", "ftp://x/y"]);
    assert!(wrong.contains("INVALID_PARAMS"), "{wrong}");
}

/// Verifies: ORCH-188
#[test]
fn a_model_in_use_is_removed_with_force_only() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::new(&pool_of(&engine));
    let daemon = home.start().ready();
    let task = daemon.submit(&scripted_task("[[stall_after=1]]"));
    daemon.wait_until(&task, "running");
    let person = Person { home: &home, daemon: &daemon };
    let used = person.fails(4, &["models", "rm", "scripted"]);
    let says_who = used.contains("scripted is in use by pool x, a task;");
    assert!(says_who && used.contains("--force"), "{used}");
    let retired = person.well(&["models", "rm", "scripted", "--force"]);
    assert!(retired.contains("is retired"), "{retired}");
    assert!(person.well(&["models", "ls"]).contains("retired"));
    let refused = person.fails(4, &["run", "--model", "scripted", "x"]);
    assert!(refused.contains("MODEL_DEPRECATED"), "{refused}");
    assert_eq!(daemon.task(&task)["status"], "running", "its users go on");
}

#[test]
fn a_prompt_is_answered_a_talk_goes_on_and_a_task_is_explained() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::new(&pool_of(&engine));
    let daemon = home.start().ready();
    let person = Person { home: &home, daemon: &daemon };
    let prompt = "[[tokens=6]] raw and whole";
    let answer = person.well(&["run", "--raw", "--model", "scripted", prompt]);
    assert_eq!(answer, scripted_text(prompt, 6));

    let list: Value = serde_json::from_str(&person.well(&["ps", "--all", "--json"])).unwrap();
    let id = list[0]["task_id"].as_str().unwrap();
    let story = person.well(&["why", id]);
    assert!(story.starts_with(&format!("Task {id} succeeded at ")), "{story}");
    assert!(story.contains("Attempt 1, on replica ") && story.contains(" of pool x ("), "{story}");

    let typed = home.path().join("typed");
    std::fs::write(&typed, "[[tokens=3]] one\n[[tokens=4]] two\n/quit\n").unwrap();
    let talk = person
        .command(&["chat", "--model", "scripted"])
        .stdin(std::fs::File::open(&typed).unwrap())
        .output()
        .unwrap();
    assert_eq!(talk.status.code(), Some(0), "{}", String::from_utf8_lossy(&talk.stderr));
    let said = String::from_utf8_lossy(&talk.stdout);
    assert!(said.ends_with('\n') && said.lines().count() >= 2, "{talk:?}");
    let list: Value = serde_json::from_str(&person.well(&["ps", "--all", "--json"])).unwrap();
    let ended = list.as_array().unwrap().iter().filter(|task| task["status"] == "succeeded");
    assert_eq!(ended.count(), 3);

    let unknown = person.fails(4, &["run", "--model", "nobody", "x"]);
    assert!(unknown.contains("MODEL_NOT_FOUND"), "{unknown}");
}
