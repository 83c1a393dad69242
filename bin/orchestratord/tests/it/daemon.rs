//! The built daemon as a process.

use std::{
    fs::{File, OpenOptions},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
};

use camino::{Utf8Path, Utf8PathBuf};
use camino_tempfile::Utf8TempDir;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use testkit::ScriptedEngine;

use crate::{
    events::EventReader,
    http::{Answer, Request},
    waiting::wait_for,
};

/// What a daemon is started with, and what it leaves behind; goes with its folder.
pub(crate) struct Home {
    folder: Utf8TempDir,
}

impl Home {
    /// A folder with a configuration. What is above the first section goes into `top`.
    pub(crate) fn new(sections: &str) -> Self {
        let home = Self { folder: camino_tempfile::tempdir().unwrap() };
        std::fs::create_dir(home.path().join("home")).unwrap();
        home.configure(sections);
        home
    }

    /// A daemon whose one pool is this engine.
    pub(crate) fn scripted(engine: &ScriptedEngine, pool: &str, sections: &str) -> Self {
        Self::new(&format!("{}\n{pool}\n{sections}", pool_of(engine)))
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, sections: &str) {
        let data = self.data();
        let has_server = sections.contains("[server]");
        let server = if has_server { "" } else { "[server]\naddr = \"127.0.0.1:0\"\n" };
        let egress = if sections.contains("[egress]") { "" } else { "[egress]\nenabled = false\n" };
        let text = format!("data_dir = \"{data}\"\n{server}{egress}{sections}\n");
        std::fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> Utf8PathBuf {
        self.path().join("config.toml")
    }

    pub(crate) fn data(&self) -> Utf8PathBuf {
        self.path().join("data")
    }

    /// Everything that daemons of this home printed.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> Utf8PathBuf {
        self.path().join("log")
    }

    /// The daemon with this configuration and nothing of the machine's own settings.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.bare_command(env!("CARGO_BIN_EXE_orchestratord"));
        command.args(["--config", self.config().as_str()]);
        command
    }

    /// A program in an environment of its own.
    pub(crate) fn bare_command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.path().join("home")).stdin(Stdio::null());
        command
    }

    pub(crate) fn start(&self) -> Daemon {
        self.start_with(self.command())
    }

    /// Starts the daemon, and waits until it listens.
    pub(crate) fn start_with(&self, command: Command) -> Daemon {
        let printed_before = self.log().len();
        let mut child = self.spawn(command);
        let addr = wait_for("the daemon listens", || {
            let log = self.log();
            let url = log[printed_before..].split_once("listens on http").map(|(_, rest)| rest);
            let address = url.and_then(|url| url.split_once("://")).map(|(_, rest)| rest);
            // Only whole lines are read.
            let whole = address.and_then(|rest| rest.split_once('\n'));
            if whole.is_none()
                && let Some(status) = child.try_wait().unwrap()
            {
                panic!("the daemon ended with {status}: {}", self.log());
            }
            whole.map(|(address, _)| address.trim().parse().unwrap())
        });
        Daemon { child, addr }
    }

    /// Runs a daemon that is not meant to come up; its exit code, and what it printed.
    pub(crate) fn refused_start(&self, command: Command) -> (Option<i32>, String) {
        let printed_before = self.log().len();
        let mut child = self.spawn(command);
        let status = wait_for("the daemon refuses to start", || child.try_wait().unwrap());
        let printed = self.log()[printed_before..].to_owned();
        assert!(!printed.contains("listens on"), "it listened: {printed}");
        (status.code(), printed)
    }

    fn spawn(&self, mut command: Command) -> Child {
        let log: File = OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }
}

/// The pool `x` in front of an engine; more of its keys may follow.
pub(crate) fn pool_of(engine: &ScriptedEngine) -> String {
    format!("[pools.x]\nengine = \"openai\"\nurl = \"{}\"", engine.url())
}

/// A running daemon; dropping it kills it.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        Request::get(target).send(self.addr)
    }

    pub(crate) fn post(&self, target: &str, body: &Value) -> Answer {
        Request::post(target, body.to_string()).send(self.addr)
    }

    /// Hands in a task; its id.
    #[track_caller]
    pub(crate) fn submit(&self, task: &Value) -> String {
        let answer = self.post("/v2/tasks", task);
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["task_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn task(&self, id: &str) -> Value {
        let answer = self.get(&format!("/v2/tasks/{id}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Waits until a task is in a state.
    #[track_caller]
    pub(crate) fn wait_until(&self, id: &str, status: &str) -> Value {
        wait_for(&format!("task {id} is {status}"), || {
            let task = self.task(id);
            let is_there = task["status"] == status;
            let is_over = !task["ended_at"].is_null();
            assert!(is_there || !is_over, "it ended otherwise: {task}");
            is_there.then_some(task)
        })
    }

    #[track_caller]
    pub(crate) fn cancel(&self, id: &str) -> Value {
        let answer = Request::post(&format!("/v2/tasks/{id}/cancel"), "").send(self.addr);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// A task's events from its first one.
    pub(crate) fn events(&self, id: &str) -> EventReader {
        self.events_after(id, 0)
    }

    pub(crate) fn events_after(&self, id: &str, after: u64) -> EventReader {
        let request = Request::get(&format!("/v2/tasks/{id}/events"))
            .header("Last-Event-ID", &after.to_string());
        EventReader::new(request.open(self.addr))
    }

    /// Waits until a pool is in a state.
    #[track_caller]
    pub(crate) fn wait_for_pool(&self, pool: &str, state: &str) -> Value {
        wait_for(&format!("pool {pool} is {state}"), || {
            let status = self.get("/v2/status").json();
            let pools = status["pools"].as_array().unwrap().clone();
            pools.into_iter().find(|it| it["pool_id"] == pool && it["state"] == state)
        })
    }

    /// A daemon whose pool `x` is ready.
    pub(crate) fn ready(self) -> Self {
        self.wait_for_pool("x", "ready");
        self
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// As `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ended by itself.
    pub(crate) fn ended(mut self) -> ExitStatus {
        wait_for("the daemon ends", || self.child.try_wait().unwrap())
    }

    /// Tells it to end, and expects that it does so in order.
    pub(crate) fn stop(self) {
        self.signal(Signal::SIGTERM);
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A task for the scripted model.
pub(crate) fn scripted_task(prompt: &str) -> Value {
    json!({"model_ref": "scripted", "prompt": prompt})
}
