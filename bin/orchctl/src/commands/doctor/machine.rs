use std::{io, os::unix::fs::PermissionsExt as _, process::Stdio, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use nix::sys::statvfs::statvfs;
use tokio::process::Command;

use super::check::Check;
use crate::table::byte_size;

/// The daemon cannot keep much with less room than this.
const FREE_BYTES_MIN: u64 = 1_000_000_000;
/// Bits of a folder's mode that let others in.
const OTHERS: u32 = 0o077;
/// Longest run of a program that is asked.
const ASKING: Duration = Duration::from_secs(10);
const DAEMON: &str = "orchestratord";

/// The folder where the daemon keeps everything: who may look into it, and how much room there is.
pub(super) fn data_dir(given: Option<&Utf8Path>) -> [Check; 2] {
    let Some(dir) = given.map(Utf8Path::to_owned).or_else(usual_data_dir) else {
        let why = "no folder is known; name it with --data-dir";
        return [Check::skipped("data directory", why), Check::skipped("disk space", why)];
    };
    let metadata = match std::fs::metadata(&dir) {
        Ok(metadata) => metadata,
        Err(error) => return unseen(&dir, given.is_some(), &error),
    };
    let mode = metadata.permissions().mode() & 0o777;
    let access = if !metadata.is_dir() {
        Check::finding("data directory", format!("{dir} is no folder"), "move it away")
    } else if mode & OTHERS != 0 {
        Check::finding(
            "data directory",
            format!("others may look into {dir} (mode {mode:o}), which holds prompts and answers"),
            format!("chmod 700 {dir}"),
        )
    } else {
        Check::well("data directory", format!("{dir} is for its owner only"))
    };
    [access, space(&dir)]
}

fn unseen(dir: &Utf8Path, is_given: bool, error: &io::Error) -> [Check; 2] {
    let space = Check::skipped("disk space", format!("{dir} cannot be seen"));
    if error.kind() == io::ErrorKind::NotFound && !is_given {
        let says = format!("{dir} is not there; name the daemon's folder with --data-dir");
        return [Check::skipped("data directory", says), space];
    }
    let to_do = "name the daemon's folder with --data-dir, and look as the daemon's user";
    [Check::finding("data directory", format!("cannot look at {dir}: {error}"), to_do), space]
}

fn space(dir: &Utf8Path) -> Check {
    let room = match statvfs(dir.as_std_path()) {
        Ok(room) => room,
        Err(error) => {
            return Check::skipped("disk space", format!("cannot be told of {dir}: {error}"));
        }
    };
    let free = room.blocks_available().saturating_mul(room.fragment_size());
    let says = format!("{} free for {dir}", byte_size(free));
    if free < FREE_BYTES_MIN {
        return Check::finding("disk space", says, "make room, or move the data directory");
    }
    Check::well("disk space", says)
}

/// Where a daemon that is told nothing else keeps its data.
fn usual_data_dir() -> Option<Utf8PathBuf> {
    let folder = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        Utf8PathBuf::try_from(std::path::PathBuf::from(value)).ok()
    };
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    Some(state?.join(DAEMON))
}

/// Lets the daemon's program check its configuration, where it can.
pub(super) async fn configuration() -> Check {
    const NAME: &str = "configuration";
    match ask(&["help", "config"]).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::skipped(NAME, format!("{DAEMON} is not on the path"));
        }
        Err(error) => return Check::skipped(NAME, format!("cannot run {DAEMON}: {error}")),
        Ok((false, _)) => {
            return Check::skipped(NAME, format!("this {DAEMON} has no `config check`"));
        }
        Ok((true, _)) => {}
    }
    match ask(&["config", "check"]).await {
        Ok((true, _)) => Check::well(NAME, format!("`{DAEMON} config check` finds no problem")),
        Ok((false, says)) => Check::finding(NAME, says, "correct it, and start the daemon anew"),
        Err(error) => Check::skipped(NAME, format!("cannot run {DAEMON}: {error}")),
    }
}

/// Whether the program ended well, and what it said on its standard error.
async fn ask(args: &[&str]) -> io::Result<(bool, String)> {
    let mut command = Command::new(DAEMON);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(ASKING, command.output()).await;
    let output = output.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
