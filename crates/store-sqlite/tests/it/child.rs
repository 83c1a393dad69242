use std::process::Command;

use camino::Utf8Path;

const DIR: &str = "STORE_TEST_DIR";

/// A command that lets this test binary run `test` once more, as a process of its own.
pub(crate) fn command(test: &str, dir: &Utf8Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(DIR, dir);
    command
}

/// The same under a limit on file sizes, which stands for a full device. In the units of `ulimit -f`,
/// which are 512 bytes or 1 KiB.
#[cfg(feature = "journal")]
pub(crate) fn limited_command(test: &str, dir: &Utf8Path, limit: u32) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"trap "" XFSZ; ulimit -S -f "$1"; shift; exec "$@""#, "sh"])
        .arg(limit.to_string())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DIR, dir);
    command
}

/// The directory that the parent chose; `None` in the parent.
#[expect(clippy::disallowed_methods, reason = "how the parent hands over the directory")]
pub(crate) fn dir() -> Option<String> {
    std::env::var(DIR).ok()
}
