use std::fs::{self, File};

use camino::{Utf8Path, Utf8PathBuf};
use rusqlite::{Connection, TransactionBehavior};

use crate::open::OpenError;

/// Marks the file as one of this store: the letters `ORCH`.
const APPLICATION_ID: i32 = 0x4F52_4348;

/// The newest schema.
const NEWEST: u32 = 4;

/// All changes of the schema, in order; a file's `user_version` counts those that it has. They do not
/// depend on features, so that a file may be opened with others of them later.
const MIGRATIONS: [&str; NEWEST as usize] = [
    include_str!("schema/1_journal.sql"),
    include_str!("schema/2_catalog.sql"),
    include_str!("schema/3_operations.sql"),
    include_str!("schema/4_retention.sql"),
];

/// Looks whether the file is one that this store may use, without changing it. Returns its version.
pub(crate) fn check(connection: &Connection, path: &Utf8Path) -> Result<usize, OpenError> {
    let number = |pragma| {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, i32>(0))
            .map_err(|source| OpenError::unreadable(path, source))
    };
    let version = number("user_version")?;
    let objects: u64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, u32>(0))
        .map_err(|source| OpenError::unreadable(path, source))?
        .into();
    let is_new = version == 0 && objects == 0;
    if !is_new && number("application_id")? != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(OpenError::Newer { path: path.to_owned(), found: version, known: NEWEST }),
    }
}

/// Brings a file of `version` to the newest schema, in one transaction; a copy of a file that had an older
/// one lies beside it before.
pub(crate) fn migrate(
    connection: &mut Connection,
    path: &Utf8Path,
    version: usize,
) -> Result<(), OpenError> {
    if version == MIGRATIONS.len() {
        return Ok(());
    }
    if version > 0 {
        let copy = back_up(connection, path, version)?;
        tracing::info!(%copy, from = version, to = NEWEST, "the store's schema changes");
    }
    let failed = |source| OpenError::Migration { path: path.to_owned(), source };
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(failed)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    for migration in &MIGRATIONS[version..] {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction.pragma_update(None, "user_version", NEWEST).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// The copies that migrations left beside a store.
#[cfg(feature = "journal")]
pub(crate) fn copies(path: &Utf8Path) -> impl Iterator<Item = Utf8PathBuf> {
    (1..NEWEST as usize).map(|version| copy_path(path, version)).filter(|copy| copy.exists())
}

fn copy_path(path: &Utf8Path, version: usize) -> Utf8PathBuf {
    format!("{path}.schema-{version}").into()
}

fn back_up(
    connection: &Connection,
    path: &Utf8Path,
    version: usize,
) -> Result<Utf8PathBuf, OpenError> {
    // Afterwards the whole content is in the file itself. Nobody else has it open.
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .map_err(|source| OpenError::unreadable(path, source))?;
    let copy = copy_path(path, version);
    // The copy has the permissions of the original.
    fs::copy(path, &copy)
        .and_then(|_| File::open(&copy)?.sync_all())
        .map_err(|source| OpenError::Io { action: "copy to", path: copy.clone(), source })?;
    Ok(copy)
}
