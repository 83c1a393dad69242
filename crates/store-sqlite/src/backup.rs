use std::{fs::File, io};

use camino::Utf8Path;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use crate::{
    OpenError,
    open::{BUSY_TIMEOUT, create_private},
    schema,
};

/// Copies a store as it is at one moment, while another process may be writing to it. `notes` are put in the
/// place of the copy's own, where it has them. The copy is on the device when this returns.
///
/// # Errors
/// [`OpenError`]: there is no store, it is of a newer schema, or it cannot be copied.
pub fn copy_store(from: &Utf8Path, to: &Utf8Path, notes: &[(&str, &str)]) -> Result<(), OpenError> {
    // A store of another version may be copied, but one of a newer version may mean something else by it.
    let source = open(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::check(&source, from)?;
    let io = |source| OpenError::Io { action: "write", path: to.to_owned(), source };
    create_private(to).map_err(io)?;
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => io(io::Error::new(io::ErrorKind::StorageFull, source)),
        _ => OpenError::unreadable(from, source),
    };
    // Reads one state of the store, however long it takes; writers go on meanwhile.
    source.execute("VACUUM INTO ?1", [to.as_str()]).map_err(failed)?;
    let copy = open(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    for (name, value) in notes {
        let sql = "UPDATE notes SET value = ?2 WHERE name = ?1";
        copy.execute(sql, params![name, value]).map_err(failed)?;
    }
    copy.close().map_err(|(_, source)| failed(source))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(io)
}

/// Looks whether a store is whole, and of a schema that this program knows, without changing it.
///
/// # Errors
/// [`OpenError`]: it is not.
pub fn check_store(path: &Utf8Path) -> Result<(), OpenError> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    schema::check(&connection, path)?;
    let failed = |source| OpenError::unreadable(path, source);
    let verdict: String =
        connection.query_row("PRAGMA quick_check", [], |row| row.get(0)).map_err(failed)?;
    if verdict == "ok" {
        return Ok(());
    }
    let source = io::Error::new(io::ErrorKind::InvalidData, verdict);
    Err(OpenError::Io { action: "rely on", path: path.to_owned(), source })
}

fn open(path: &Utf8Path, access: OpenFlags) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::unreadable(path, source);
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    Ok(connection)
}
