//! The guides, each run from top to bottom as it is printed.

use std::process::Command;

use camino::Utf8Path;
use testkit::ScriptedEngine;

use crate::{
    command_line,
    daemon::{Daemon, Home},
    starter::{self, python, starter_file, workspace},
};

/// A fenced block: what stands beside its fence, and its text.
struct Block<'a> {
    kind: &'a str,
    text: &'a str,
}

fn blocks(guide: &str) -> Vec<Block<'_>> {
    let fenced = guide.split("```").skip(1).step_by(2);
    fenced
        .map(|block| {
            let (kind, text) = block.split_once('\n').unwrap();
            Block { kind, text }
        })
        .collect()
}

/// The machine on which a reader follows the guide.
struct Reader {
    home: Home,
    /// What the guide calls port 8080.
    port: u16,
    engine: ScriptedEngine,
}

impl Reader {
    /// A program that is given a block, in the reader's home.
    fn command(&self, program: &str, flag: &str, block: &Block<'_>) -> Command {
        let text = block
            .text
            .replace(":8080", &format!(":{}", self.port))
            .replace("http://127.0.0.1:8000", &self.engine.url());
        let home = self.home.path().join("home");
        let bin = Utf8Path::new(env!("CARGO_BIN_EXE_orchestratord")).parent().unwrap();
        let mut command = self.home.bare_command(program);
        command
            .args([flag, &text])
            .current_dir(&home)
            .env("PATH", format!("{bin}:/usr/local/bin:/usr/bin:/bin"))
            // A port that is free here, and loopback only.
            .env("ORCHD_ADDR", format!("127.0.0.1:{}", self.port));
        if !home.join(".config/orchestratord/config.toml").exists() {
            // What a first start fetches is here already.
            command.env("ORCHD_MODELS__STARTER__SOURCE", format!("file:{}", starter_file()));
        }
        command
    }

    fn run(&self, program: &str, flag: &str, block: &Block<'_>) {
        let output = self.command(program, flag, block).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{complaint}\n{}", block.text, self.home.log());
    }
}

/// A port that nobody listens on. Another process may take it before the daemon does; then the daemon says
/// so and the test fails.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What was done with a guide's blocks.
#[derive(Debug, Default)]
struct Done {
    runs: usize,
    starts: usize,
    elsewhere: usize,
}

fn follow(guide: &str) -> Done {
    command_line::orchctl_program();
    let guide = std::fs::read_to_string(workspace().join("docs/guides").join(guide)).unwrap();
    let (home, _turn) = starter::home();
    let reader = Reader { home, port: free_port(), engine: ScriptedEngine::start(&[]) };
    let models = reader.home.path().join("home/models");
    std::fs::create_dir(&models).unwrap();
    std::fs::copy(starter_file(), models.join("mine.gguf")).unwrap();

    let mut daemon: Option<Daemon> = None;
    let mut done = Done::default();
    for block in &blocks(&guide) {
        match block.kind {
            "sh daemon" => {
                // As Ctrl-C does, before the reader starts it anew.
                if let Some(daemon) = daemon.take() {
                    daemon.stop();
                }
                let block = Block { kind: block.kind, text: &format!("exec {}", block.text) };
                daemon = Some(reader.home.start_with(reader.command("/bin/sh", "-c", &block)));
                done.starts += 1;
            }
            "sh" => {
                reader.run("/bin/sh", "-ec", block);
                done.runs += 1;
            }
            "python" => {
                reader.run(python().as_str(), "-c", block);
                done.runs += 1;
            }
            "sh elsewhere" => done.elsewhere += 1,
            other => panic!("what is to be done with a block of {other:?}?"),
        }
    }
    done
}

#[test]
fn the_guide_for_home_works_as_it_is_printed() {
    let done = follow("home.md");
    assert!(done.runs > 10 && done.starts > 3 && done.elsewhere < 4, "{done:?}");
}

#[test]
fn the_guide_for_operators_works_as_it_is_printed() {
    let done = follow("operations.md");
    assert!(done.runs > 4 && done.starts > 0 && done.elsewhere < 2, "{done:?}");
}
