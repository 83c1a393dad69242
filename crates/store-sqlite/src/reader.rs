use rusqlite::Connection;
use tokio::sync::mpsc;

/// Work with the reading connection; answers whoever asked itself.
pub(crate) type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Reads until the sender is gone.
pub(crate) fn run(connection: &Connection, mut jobs: mpsc::Receiver<Read>) {
    while let Some(read) = jobs.blocking_recv() {
        read(connection);
    }
}
