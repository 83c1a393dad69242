use std::{io, sync::Arc};

use rusqlite::{Connection, ErrorCode, ffi};

/// Why a write or a read did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Fault {
    /// No room on the device.
    #[error("the device is full")]
    Full,
    /// The statement was refused; other ones are fine.
    #[error("the database refused")]
    Refused(#[source] Arc<rusqlite::Error>),
    /// The database cannot be relied on any more.
    #[error("the database failed")]
    Broken(#[source] Arc<rusqlite::Error>),
    /// The store's thread ended, which it does when the store is dropped.
    #[error("the store was closed")]
    Closed,
}

impl Fault {
    /// What an error of this connection means; to be asked right after the error.
    pub(crate) fn of(connection: &Connection, error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return Self::Refused(Arc::new(error));
        };
        match failure.code {
            ErrorCode::DiskFull => Self::Full,
            // A retried fsync proves nothing, whatever the first one said.
            ErrorCode::SystemIoFailure if is_sync(failure.extended_code) => {
                Self::Broken(Arc::new(error))
            }
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen if no_room(connection) => Self::Full,
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen => Self::Broken(Arc::new(error)),
            _ => Self::Refused(Arc::new(error)),
        }
    }
}

fn is_sync(extended_code: i32) -> bool {
    matches!(extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
}

/// Whether the operating system's error behind the connection's last one says that there is no room:
/// SQLite calls a quota, or a limit on file sizes, an I/O error.
fn no_room(connection: &Connection) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    #[expect(unsafe_code, reason = "there is no safe way to ask; the handle is valid for the call")]
    let code = unsafe { ffi::sqlite3_system_errno(connection.handle()) };
    matches!(io::Error::from_raw_os_error(code).kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
