use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use rusqlite::{Connection, OpenFlags};

use crate::{SqliteOptions, schema};

/// How long a connection waits for another process that reads or writes the file, such as a backup.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A later version of this program wrote it.
    #[error(
        "the store {path} has schema {found}, and this program knows up to {known}; start the program \
         that wrote it, or a later one"
    )]
    Newer { path: Utf8PathBuf, found: i32, known: u32 },
    /// Another program's file.
    #[error("{path} is a database of another program; give the store a path of its own")]
    Foreign { path: Utf8PathBuf },
    /// Not a database, or a damaged one.
    #[error("cannot read the store {path}; check its permissions, or restore a backup")]
    Unreadable {
        path: Utf8PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    /// The older schema is still there.
    #[error("cannot bring the store {path} to the newest schema; it is as it was before")]
    Migration {
        path: Utf8PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    /// A file could not be made.
    #[error("cannot {action} {path}; check permissions and free space")]
    Io {
        action: &'static str,
        path: Utf8PathBuf,
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn unreadable(path: &Utf8Path, source: rusqlite::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), source }
    }
}

/// Opens the file to write, makes it where it is missing, and brings it to the newest schema.
pub(crate) fn open_writer(
    path: &Utf8Path,
    options: &SqliteOptions,
) -> Result<Connection, OpenError> {
    create_private(path).map_err(|source| OpenError::Io {
        action: "create",
        path: path.to_owned(),
        source,
    })?;
    let mut connection = connect(path, options)?;
    let version = schema::check(&connection, path)?;
    let failed = |source| OpenError::unreadable(path, source);
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    // What is deleted or overwritten does not stay behind in the file.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(())).map_err(failed)?;
    // The writer does it itself, since SQLite would keep an fsync that fails there to itself.
    connection
        .pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))
        .map_err(failed)?;
    schema::migrate(&mut connection, path, version)?;
    Ok(connection)
}

/// Opens the file to read; the writer has it open already.
pub(crate) fn open_reader(
    path: &Utf8Path,
    options: &SqliteOptions,
) -> Result<Connection, OpenError> {
    let connection = connect(path, options)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(|source| OpenError::unreadable(path, source))?;
    Ok(connection)
}

fn connect(path: &Utf8Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::unreadable(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
    connection.pragma_update(None, "cache_size", -i64::from(options.cache_kib)).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Makes an empty file that only its owner may read. SQLite gives its other files the same mode.
pub(crate) fn create_private(path: &Utf8Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => {
            made?;
            let dir = path.parent().filter(|dir| !dir.as_str().is_empty());
            File::open(dir.unwrap_or(Utf8Path::new(".")))?.sync_all()
        }
    }
}
