use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::PermissionsExt,
    process::Stdio,
};

use camino::Utf8Path;
use camino_tempfile::tempdir;
use store_sqlite::{DataDir, DataDirError};

use crate::child;

fn mode(path: &Utf8Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Locks a directory that nobody holds. A child that another test of this process is starting right now
/// has the lock's file open until it becomes its own program.
fn lock_soon(path: &Utf8Path) -> DataDir {
    for _ in 0..1000 {
        match DataDir::lock(path) {
            Err(DataDirError::InUse { .. }) => {
                std::thread::park_timeout(std::time::Duration::from_millis(10));
            }
            other => return other.unwrap(),
        }
    }
    panic!("{path} stays locked");
}

/// Verifies: ORCH-096
#[test]
fn a_directory_in_use_is_refused_and_its_holder_named() {
    let dir = tempdir().unwrap();
    let held = DataDir::lock(dir.path()).unwrap();
    let refused = DataDir::lock(dir.path()).expect_err("locked twice");
    let pid = std::process::id();
    assert!(
        matches!(refused, DataDirError::InUse { pid: Some(named), .. } if named == pid),
        "{refused:?}"
    );
    assert!(refused.to_string().contains(&format!("in use by process {pid}")), "{refused}");
    drop(held);
    lock_soon(dir.path());
}

/// Verifies: ORCH-096
#[test]
fn a_process_holds_the_directory_until_it_is_killed() {
    if let Some(dir) = child::dir() {
        let _held = DataDir::lock(Utf8Path::new(&dir)).unwrap();
        writeln!(std::io::stdout(), "locked").unwrap();
        // Until the parent kills this process.
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let dir = tempdir().unwrap();
    let test = "data_dir::a_process_holds_the_directory_until_it_is_killed";
    let mut holder = child::command(test, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("locked")));
    let refused = DataDir::lock(dir.path()).expect_err("locked by another process");
    assert!(
        matches!(refused, DataDirError::InUse { pid: Some(named), .. } if named == holder.id()),
        "{refused:?}"
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
    lock_soon(dir.path());
}

/// Verifies: ORCH-099
#[test]
fn the_directory_is_made_private() {
    let dir = tempdir().unwrap();
    let deep = dir.path().join("a/b");
    let held = DataDir::lock(&deep).unwrap();
    assert_eq!(held.path(), deep);
    assert_eq!(mode(&deep), 0o700);
    assert_eq!(mode(&deep.join("lock")), 0o600);
}

/// Verifies: ORCH-099
#[test]
fn an_open_directory_is_closed_where_it_is_empty_and_refused_where_not() {
    let dir = tempdir().unwrap();
    let empty = dir.path().join("empty");
    let used = dir.path().join("used");
    for path in [&empty, &used] {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(used.join("letter"), "dear").unwrap();
    let _held = DataDir::lock(&empty).unwrap();
    assert_eq!(mode(&empty), 0o700);
    let refused = DataDir::lock(&used).expect_err("an open directory was taken");
    assert!(matches!(refused, DataDirError::TooOpen { mode: 0o755, .. }), "{refused:?}");
    assert_eq!(mode(&used), 0o755);
}
