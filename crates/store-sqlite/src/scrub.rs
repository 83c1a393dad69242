use std::{fs, time::Duration};

use camino::Utf8Path;
use rusqlite::Connection;

use crate::{open::BUSY_TIMEOUT, schema};

/// How long writers may be kept waiting by a reader of an old state, before it is tried again later.
const PATIENCE: Duration = Duration::from_millis(20);

/// Copies the write-ahead log into the database, whose deleted and overwritten parts are zero, and cuts the
/// log to nothing. Copies that migrations left go too, as they hold what was deleted since. False where
/// somebody still reads from the log.
pub(crate) fn scrub(connection: &mut Connection, path: &Utf8Path) -> Result<bool, rusqlite::Error> {
    connection.busy_timeout(PATIENCE)?;
    let done = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        row.get::<_, i64>(0).map(|busy| busy == 0)
    });
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if done? {
        remove_copies(path);
        return Ok(true);
    }
    Ok(false)
}

fn remove_copies(path: &Utf8Path) {
    for copy in schema::copies(path) {
        match fs::remove_file(&copy) {
            Ok(()) => {
                tracing::warn!(%copy, "an older schema's copy goes with the text that was erased")
            }
            Err(error) => {
                tracing::error!(%copy, %error, "a copy that may hold erased text cannot go")
            }
        }
    }
}

/// Room in use in the database, in bytes.
pub(crate) fn used_bytes(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let number = |pragma| {
        connection.pragma_query_value(None, pragma, |row| row.get::<_, u32>(0)).map(u64::from)
    };
    let pages = number("page_count")?.saturating_sub(number("freelist_count")?);
    Ok(pages * number("page_size")?)
}
