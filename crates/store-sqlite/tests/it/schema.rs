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

/// Verifies: ORCH-096
#[test]
fn an_older_schema_is_copied_and_then_migrated() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    drop(open(&path).unwrap());
    let newest = version(&path);
    // As the first version of the schema was, with something in it, part of it in the log only.
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "DROP TABLE catalog_aliases; DROP TABLE catalog_entries; DROP TABLE operations;
             DROP TABLE catalog_revision; PRAGMA user_version = 1;
             INSERT INTO notes (name, value) VALUES ('kept', 'yes');",
        )
        .unwrap();
    drop(connection);

    drop(open(&path).unwrap());
    assert_eq!(version(&path), newest);
    let copy = Utf8PathBuf::from(format!("{path}.schema-1"));
    assert_eq!(version(&copy), 1);
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    for path in [&path, &copy] {
        let connection = Connection::open(path).unwrap();
        let kept: String =
            connection.query_row("SELECT value FROM notes", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, "yes");
    }
}

/// Verifies: ORCH-096
#[test]
fn a_migration_that_fails_changes_nothing() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    drop(open(&path).unwrap());
    // The tables of the second version are there, so that adding them fails.
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 1).unwrap();
    let refused = open(&path).expect_err("the tables were added twice");
    assert!(matches!(refused, OpenError::Migration { .. }), "{refused:?}");
    assert_eq!(version(&path), 1);
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
