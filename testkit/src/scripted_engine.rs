use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};
use camino_tempfile::Utf8TempDir;
use serde_json::Value;

/// A running scripted engine; dropping it kills the process. Directives in prompts are switched on.
#[derive(Debug)]
pub struct ScriptedEngine {
    child: Child,
    address: String,
    folder: Utf8TempDir,
    /// The process exits when this closes, so that none outlives a test run that was itself killed.
    _stdin: Option<ChildStdin>,
}

impl ScriptedEngine {
    /// Starts an engine with further flags (see `scripted-engine --help`), built first where that is
    /// needed, and waits until it listens.
    ///
    /// # Panics
    /// When it cannot be built or started.
    #[must_use]
    pub fn start(flags: &[&str]) -> Self {
        let folder = camino_tempfile::tempdir().expect("a folder for temporary files");
        let mut child = Command::new(binary())
            .args([
                "--directives",
                "--exit-with-stdin",
                "--log",
                folder.path().join("log").as_str(),
            ])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the scripted engine starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address).expect("the engine prints its address");
        assert!(address.ends_with('\n'), "the scripted engine ended before it listened");
        let stdin = child.stdin.take();
        Self { child, address: address.trim_end().to_owned(), folder, _stdin: stdin }
    }

    /// Host and port it listens on.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Base address of its HTTP server, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process as `kill -9` does, and reaps it.
    ///
    /// # Panics
    /// When the process cannot be reaped.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child can be killed until it is reaped");
        self.child.wait().expect("a child can be waited for");
    }

    /// Waits until the process ended by itself; `None` where a signal ended it.
    ///
    /// # Panics
    /// When the process cannot be waited for.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("a child can be waited for").code()
    }

    /// What the engine logged so far: objects with `event` (`started`, `ended`, `aborted` by the client,
    /// `failed` as directed, `refused`), `id` of the request, `tokens` sent, and for `started` the
    /// `fields` of the body without the prompt and some `headers`.
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn log(&self) -> Vec<Value> {
        let text =
            std::fs::read_to_string(self.folder.path().join("log")).expect("the log is readable");
        // A line that is just being written has no end yet.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Waits for the first entry of the log with this `event`.
    ///
    /// # Panics
    /// When none came within ten seconds.
    pub async fn logged(&self, event: &str) -> Value {
        for _ in 0..2000 {
            if let Some(entry) = self.log().into_iter().find(|entry| entry["event"] == event) {
                return entry;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the engine logged no `{event}`: {:?}", self.log());
    }
}

impl Drop for ScriptedEngine {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the engine's binary is. Cargo builds it by itself only for this package's own tests, so it is
/// built here when it is missing or older than its sources.
fn binary() -> &'static Utf8Path {
    static BINARY: OnceLock<Utf8PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("the test has a path");
        // <target>/<profile>/deps/<test>, or <target>/<profile>/<binary>
        let folder = test.parent().expect("the test is in a folder");
        let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
        let profile =
            Utf8Path::from_path(profile.expect("a folder of a profile")).expect("UTF-8 paths");
        let binary = profile.join(format!("scripted-engine{}", std::env::consts::EXE_SUFFIX));
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let newest = newest(&package.join("src")).max(modified(&package.join("Cargo.toml")));
        if modified(binary.as_std_path()).is_none_or(|built| Some(built) < newest) {
            build(profile);
        }
        binary
    })
}

fn build(profile: &Utf8Path) {
    #[expect(clippy::disallowed_methods, reason = "cargo names itself to the tests it runs")]
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let target = profile.parent().expect("profiles are folders of the target folder");
    let name = match profile.file_name() {
        None | Some("debug") => "dev",
        Some(name) => name,
    };
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "testkit", "--bin", "scripted-engine"])
        .args(["--profile", name, "--target-dir", target.as_str()])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo starts");
    assert!(status.success(), "the scripted engine does not build");
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

/// When the newest file below a folder was changed.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = folder.read_dir().expect("the sources are readable").map(|entry| {
        let path = entry.expect("the sources are readable").path();
        if path.is_dir() { newest(&path) } else { modified(&path) }
    });
    entries.max().flatten()
}
