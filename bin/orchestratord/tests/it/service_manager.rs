use std::{collections::VecDeque, os::unix::net::UnixDatagram, process::Command};

use camino::Utf8Path;
use nix::sys::signal::Signal;
use testkit::ScriptedEngine;

use crate::{
    daemon::{Home, pool_of, scripted_task},
    waiting::{DEADLINE, wait_for},
};

/// A socket in the place of the service manager's.
struct Manager {
    socket: UnixDatagram,
    told: VecDeque<String>,
}

impl Manager {
    fn new(home: &Home) -> Self {
        let socket = UnixDatagram::bind(home.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, told: VecDeque::new() }
    }

    fn command(home: &Home) -> Command {
        let mut command = home.command();
        command.env("NOTIFY_SOCKET", home.path().join("notify"));
        command
    }

    /// The next message that begins so.
    #[track_caller]
    fn next(&mut self, start: &str) -> String {
        loop {
            let mut bytes = [0; 4096];
            let length = self.socket.recv(&mut bytes).unwrap();
            let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
            if text.starts_with(start) {
                return text;
            }
            self.told.push_back(text);
        }
    }
}

/// Verifies: ORCH-287
#[test]
fn the_service_manager_hears_of_start_reload_life_and_end() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let mut manager = Manager::new(&home);
    let mut command = Manager::command(&home);
    command.env("WATCHDOG_USEC", "200000");
    let daemon = home.start_with(command);
    assert_eq!(manager.next("READY"), "READY=1");
    assert!(manager.told.is_empty(), "told before it was ready: {:?}", manager.told);
    for _ in 0..3 {
        assert_eq!(manager.next("WATCHDOG"), "WATCHDOG=1");
    }
    daemon.signal(Signal::SIGHUP);
    let reloading = manager.next("RELOADING");
    let (head, at) = reloading.split_once("\nMONOTONIC_USEC=").unwrap();
    assert_eq!(head, "RELOADING=1");
    assert!(at.parse::<u64>().unwrap() > 0);
    assert_eq!(manager.next("READY"), "READY=1");
    daemon.signal(Signal::SIGTERM);
    // The drain of 30 s, and some time for the rest.
    assert_eq!(manager.next("STOPPING"), "STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000");
    assert_eq!(daemon.ended().code(), Some(0));
}

/// Verifies: ORCH-287
#[test]
fn a_process_that_hangs_is_heard_of_no_more_and_one_that_drains_is() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let mut manager = Manager::new(&home);
    let mut command = Manager::command(&home);
    command.env("WATCHDOG_USEC", "100000");
    let daemon = home.start_with(command).ready();
    let id = daemon.submit(&scripted_task("[[stall_after=1]]"));
    daemon.wait_until(&id, "running");
    daemon.signal(Signal::SIGTERM);
    manager.next("STOPPING");
    manager.next("WATCHDOG");
    daemon.signal(Signal::SIGSTOP);
    let stat = format!("/proc/{}/stat", daemon.pid());
    wait_for("it is stopped", || {
        let stat = std::fs::read_to_string(&stat).unwrap();
        stat.rsplit(") ").next().unwrap().starts_with('T').then_some(())
    });
    // What was sent before it stopped is read first; after that nothing is left to read.
    manager.socket.set_nonblocking(true).unwrap();
    let mut bytes = [0; 64];
    wait_for("it is silent", || manager.socket.recv(&mut bytes).is_err().then_some(()));
    daemon.signal(Signal::SIGCONT);
    manager.socket.set_nonblocking(false).unwrap();
    manager.next("WATCHDOG");
}

/// Verifies: ORCH-287
#[test]
fn another_process_watchdog_and_a_lost_manager_do_not_concern_the_daemon() {
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let mut manager = Manager::new(&home);
    let mut command = Manager::command(&home);
    command.env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    let daemon = home.start_with(command).ready();
    manager.next("READY");
    std::fs::remove_file(home.path().join("notify")).unwrap();
    let id = daemon.submit(&scripted_task("[[tokens=2]]"));
    daemon.wait_until(&id, "succeeded");
    daemon.stop();
    assert!(manager.socket.set_nonblocking(true).is_ok());
    assert!(manager.socket.recv(&mut [0; 64]).is_err(), "a watchdog of another was fed");
}

/// Verifies: ORCH-285
#[test]
fn an_invalid_file_at_a_hangup_changes_nothing_and_all_of_it_is_told() {
    let engine = ScriptedEngine::start(&["--rate", "50"]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let id = daemon.submit(&scripted_task("[[tokens=60]] under load"));
    let mut stream = daemon.events(&id);
    let mut events = stream.take(3);
    let hang_up = |expected: &str| {
        let before = home.log().len();
        daemon.signal(Signal::SIGHUP);
        wait_for("the signal is answered", || {
            let log = home.log()[before..].to_owned();
            let line = log.lines().find(|line| line.contains(expected) && line.ends_with('}'));
            line.map(str::to_owned)
        })
    };
    home.configure("[queue]\nmodel_capacity = 0\n[log]\nlevel = \"loud\"");
    for _ in 0..3 {
        let line = hang_up("reload_refused");
        assert!(line.contains("queue.model_capacity") && line.contains("log.level"), "{line}");
    }
    home.configure(&format!("{}\n[store]\nsegment_bytes = 2000000", pool_of(&engine)));
    let line = hang_up("restart_needed");
    assert!(line.contains("\"need_restart\":\"store.segment_bytes\""), "{line}");
    events.extend(stream.rest());
    assert_eq!(events.last().unwrap().name, "end");
    daemon.wait_until(&id, "succeeded");
    daemon.stop();
}

fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

fn unit() -> String {
    std::fs::read_to_string(root().join("packaging/systemd/orchestratord.service")).unwrap()
}

/// Verifies: ORCH-287
#[test]
fn the_unit_speaks_of_what_the_daemon_does() {
    let unit = unit();
    let value = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
        line.unwrap_or_else(|| panic!("the unit has no {key}"))
    };
    assert_eq!((value("Type"), value("NotifyAccess")), ("notify", "main"));
    assert!(value("WatchdogSec").parse::<u64>().unwrap() >= 10);
    assert!(value("ExecReload").contains("-HUP"));
    // The service manager waits longer than the default drain.
    let drain_ms = 30_000;
    assert!(value("TimeoutStopSec").parse::<u64>().unwrap() * 1000 > drain_ms);
    assert_eq!(value("ProtectSystem"), "strict");
    assert_eq!(value("NoNewPrivileges"), "yes");
    // A credential of the unit is where the daemon looks for its token.
    assert!(value("Environment").starts_with("ORCHD_TOKEN_FILE=%d/token"));
    assert!(value("LoadCredential").starts_with("token:"));
    for line in unit.lines().filter(|line| !line.is_empty()) {
        let is_known = line.starts_with(['#', '[']) || line.contains('=');
        assert!(is_known, "not a line of a unit: {line}");
    }
}

/// Verifies: ORCH-287
#[test]
fn the_unit_is_one_that_the_service_manager_takes() {
    let folder = camino_tempfile::tempdir().unwrap();
    // The unit names programs where a machine has them that it is installed on.
    let program = env!("CARGO_BIN_EXE_orchestratord");
    let text = unit().replace("/usr/bin/orchestratord", program);
    assert!(text.contains(program), "the unit starts the daemon");
    let path = folder.path().join("orchestratord.service");
    std::fs::write(&path, text).unwrap();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
    let verified = match verified {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skipped("systemd-analyze is not on this machine, so the unit was not verified");
            return;
        }
        verified => verified.unwrap(),
    };
    let complaints = String::from_utf8_lossy(&verified.stderr);
    // It tells of the machine's other units too.
    let own: Vec<&str> = complaints.lines().filter(|line| line.contains("orchestratord")).collect();
    assert!(verified.status.success() && own.is_empty(), "{complaints}");
}

#[expect(clippy::print_stderr, reason = "what a machine cannot test is said aloud")]
fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// Each file that the container's recipe takes from the sources or from an earlier stage is made somewhere.
#[test]
fn what_the_containerfile_copies_is_there() {
    let text = std::fs::read_to_string(root().join("packaging/Containerfile")).unwrap();
    let mut copied = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (sources, is_built) = match words.split_first().unwrap() {
            (&"--from=build", rest) => (&rest[..rest.len() - 1], true),
            _ => (&words[..words.len() - 1], false),
        };
        for source in sources {
            copied += 1;
            if is_built {
                let program = Utf8Path::new(source).file_name().unwrap();
                assert!(text.contains(&format!("--package {program}")), "{source}");
                assert!(root().join("bin").join(program).join("Cargo.toml").exists(), "{source}");
            } else {
                assert!(root().join(source).exists(), "{source}");
            }
        }
    }
    assert!(copied >= 4, "only {copied} files are copied");
    assert!(text.contains("USER 10001") && text.contains("HEALTHCHECK"));
}
