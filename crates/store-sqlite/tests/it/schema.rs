use std::{fs, os::unix::fs::PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use camino_tempfile::tempdir;
use rusqlite::Connection;
use store_sqlite::{OpenError, SqliteOptions, SqliteStore};

fn open(path: &Utf8Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, SqliteOptions::default())
}

fn version(path: &Utf8Path) -> u32 {
    let connection = Connection::open(path).unwrap();
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// Verifies: ORCH-096
#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    drop(open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(&path).unwrap();
    let refused = open(&path).expect_err("a newer schema was opened");
    assert!(matches!(refused, OpenError::Newer { found: 99, .. }), "{refused:?}");
    assert!(fs::read(&path).unwrap() == before);
}

/// A store as the first version of the schema left it.
fn first_version(path: &Utf8Path) {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
    connection.execute_batch(include_str!("schema_1.sql")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    // What was written last stays in the log only.
    std::mem::forget(connection);
}

/// Verifies: ORCH-096
#[cfg(feature = "journal")]
#[tokio::test]
async fn an_older_schema_is_copied_and_then_migrated() {
    use crate::rows::{key, task};
    use orchestrator::{Ended, Journal};

    let dir = tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    first_version(&path);

    let store = open(&path).unwrap();
    let ended = store.task(task(1)).await.unwrap().unwrap();
    assert_eq!(ended.spec.prompt.as_deref(), Some("Tell me a story."));
    assert_eq!(ended.prompt_ids.as_deref(), Some(&[1, 2][..]));
    assert_eq!(ended.end.unwrap().regions.len(), 2);
    let live: Vec<_> = store.live_tasks().await.unwrap().iter().map(|row| row.id).collect();
    assert_eq!(live, [task(2)]);
    assert_eq!(store.binding(key("k")).await.unwrap().unwrap().task, task(1));
    // What later versions look for is there.
    assert_eq!(store.segments_in_use().await.unwrap(), [(4, 7)]);
    assert_eq!(store.ended_tasks(Ended::WithEventsUntil(u64::MAX), 9).await.unwrap(), [task(1)]);
    drop(store);

    let copy = Utf8PathBuf::from(format!("{path}.schema-1"));
    assert_eq!(version(&copy), 1);
    assert!(version(&path) > 1);
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    for path in [&path, &copy] {
        let connection = Connection::open(path).unwrap();
        let kept: String = connection
            .query_row("SELECT value FROM notes WHERE name = 'kept'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(kept, "yes");
    }
}

/// Verifies: ORCH-096
#[test]
fn a_migration_that_fails_changes_nothing() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    first_version(&path);
    // The last table to be added is there, so that adding fails after all other steps.
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE INDEX tasks_half_erased ON tasks (state)").unwrap();
    drop(connection);
    let tables = |path: &Utf8Path| -> Vec<String> {
        let connection = Connection::open(path).unwrap();
        let mut statement =
            connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let before = tables(&path);
    for _ in 0..2 {
        let refused = open(&path).expect_err("the index was added twice");
        assert!(matches!(refused, OpenError::Migration { .. }), "{refused:?}");
        assert_eq!((version(&path), tables(&path)), (1, before.clone()));
    }
    Connection::open(&path).unwrap().execute_batch("DROP INDEX tasks_half_erased").unwrap();
    drop(open(&path).unwrap());
    assert!(version(&path) > 1);
}

#[test]
fn the_file_of_another_program_is_refused_and_left_alone() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("other.sqlite");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    let before = fs::read(&path).unwrap();
    let refused = open(&path).expect_err("a foreign file was opened");
    assert!(matches!(refused, OpenError::Foreign { .. }), "{refused:?}");
    assert!(fs::read(&path).unwrap() == before);

    fs::write(&path, "no database at all, but long enough to be looked at").unwrap();
    let refused = open(&path).expect_err("a text file was opened");
    assert!(matches!(refused, OpenError::Unreadable { .. }), "{refused:?}");
}

/// Verifies: ORCH-099
#[test]
fn all_files_are_private_to_their_owner() {
    let dir = tempdir().unwrap();
    let _store = open(&dir.path().join("store.sqlite")).unwrap();
    let mut names = Vec::new();
    for entry in dir.path().read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        names.push(entry.file_name().to_owned());
    }
    names.sort_unstable();
    assert_eq!(names, ["store.sqlite", "store.sqlite-shm", "store.sqlite-wal"]);
}
