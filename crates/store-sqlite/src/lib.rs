//! Records in SQLite: tasks, idempotency, catalog index, operations.
//!
//! [`SqliteStore`] keeps all of them in one file. Each port that it implements is a feature: `journal` is
//! `orchestrator::Journal`, `catalog` is `catalog_core::CatalogStore`, `operations` is
//! `operations::OperationStore`.
//! [`DataDir`] is the directory around it, which one process at a time may hold.
//!
//! What holds:
//! - one thread writes, and what waits for it goes into one transaction with one fsync; each part of such
//!   a transaction is kept or refused on its own;
//! - reads have a thread and a connection of their own, see every write that was answered, and never wait
//!   for an fsync;
//! - what is deleted or overwritten is zeroed in the file, and is gone from the write-ahead log after the next
//!   scrub;
//! - after an fsync failed, every write fails: what is on the device is not known any more;
//! - a file of a newer schema is left alone; one of an older schema is copied beside itself first.

#[cfg(not(any(feature = "catalog", feature = "journal", feature = "operations")))]
compile_error!("a store without a port keeps nothing: enable `catalog`, `journal` or `operations`");

#[cfg(not(unix))]
compile_error!(
    "store-sqlite needs a Unix file system: modes that keep files private, folders that can be synced"
);

mod backup;
#[cfg(feature = "catalog")]
mod catalog;
mod data_dir;
mod fault;
#[cfg(feature = "journal")]
mod journal;
mod open;
#[cfg(feature = "operations")]
mod operations;
mod options;
mod reader;
mod schema;
#[cfg(feature = "journal")]
mod scrub;
mod store;
#[cfg(feature = "journal")]
mod task_records;
#[cfg(feature = "journal")]
mod task_removal;
#[cfg(feature = "journal")]
mod task_rows;
mod writer;

pub use backup::{check_store, copy_store};
pub use data_dir::{DataDir, DataDirError};
pub use open::OpenError;
pub use options::SqliteOptions;
pub use store::{CommitStats, SqliteStore};
