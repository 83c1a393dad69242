use std::{
    io,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
};

use camino::{Utf8Path, Utf8PathBuf};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::{
    OpenError, SqliteOptions,
    fault::Fault,
    open::{open_reader, open_writer},
    reader::{self, Read},
    writer::{Counts, Job, Writer},
};

/// The store in one file.
///
/// Dropping it finishes what was handed to it, and ends its two threads.
#[derive(Debug)]
pub struct SqliteStore {
    path: Utf8PathBuf,
    /// Full means that callers wait. `None` only while the store is dropped.
    writes: Option<mpsc::Sender<Job>>,
    /// Likewise.
    reads: Option<mpsc::Sender<Read>>,
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

/// How many commits shared how many transactions since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitStats {
    /// Commits that were kept.
    pub commits: u64,
    /// Transactions that held them, each with one fsync.
    pub transactions: u64,
}

impl SqliteStore {
    /// Opens the file, makes it where it is missing, and brings it to the newest schema. The process has to
    /// be the only one that writes to it, which [`DataDir`](crate::DataDir) sees to.
    ///
    /// # Errors
    /// [`OpenError`]: the file is of a newer schema, another program's, or cannot be used.
    pub fn open(path: &Utf8Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let counts = Arc::new(Counts::default());
        let connection = open_writer(path, &options)?;
        let writer = Writer::new(connection, options, Arc::clone(&counts))
            .map_err(|source| OpenError::unreadable(path, source))?;
        let reading = open_reader(path, &options)?;
        let (writes, write_jobs) = mpsc::channel(options.waiting_max);
        let (reads, read_jobs) = mpsc::channel(options.waiting_max);
        let mut store = Self {
            path: path.to_owned(),
            writes: Some(writes),
            reads: Some(reads),
            counts,
            threads: Vec::new(),
        };
        store.start("store-write", move || writer.run(write_jobs))?;
        store.start("store-read", move || reader::run(&reading, read_jobs))?;
        Ok(store)
    }

    /// How well commits share their fsyncs.
    #[must_use]
    pub fn commit_stats(&self) -> CommitStats {
        CommitStats {
            commits: self.counts.commits.load(Ordering::Relaxed),
            transactions: self.counts.transactions.load(Ordering::Relaxed),
        }
    }

    /// Room that the store takes on the device, in bytes, its write-ahead log included.
    ///
    /// # Errors
    /// The file system could not be asked.
    pub fn size_bytes(&self) -> io::Result<u64> {
        let mut size_bytes = 0;
        for suffix in ["", "-wal"] {
            size_bytes += match std::fs::metadata(format!("{}{suffix}", self.path)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                found => found?.len(),
            };
        }
        Ok(size_bytes)
    }

    #[cfg(feature = "journal")]
    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Does `work` on the writing connection, between transactions of others. An open transaction that it
    /// leaves behind is rolled back.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, Fault> {
        let (answer, answered) = oneshot::channel();
        let job = Job::Alone(Box::new(move |connection| {
            let outcome = connection.and_then(|connection| {
                work(connection).map_err(|error| Fault::of(connection, error))
            });
            let fault = outcome.as_ref().err().cloned();
            // Nobody listens where the caller went away; the work is done either way.
            answer.send(outcome).ok();
            fault
        }));
        self.send(job).await?;
        answered.await.unwrap_or(Err(Fault::Closed))
    }

    /// Reads on the reading connection.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, Fault> {
        let (answer, answered) = oneshot::channel();
        let job: Read = Box::new(move |connection| {
            let outcome = work(connection).map_err(|error| Fault::of(connection, error));
            // Nobody listens where the caller went away.
            answer.send(outcome).ok();
        });
        let reads = self.reads.as_ref().ok_or(Fault::Closed)?;
        reads.send(job).await.map_err(|_closed| Fault::Closed)?;
        answered.await.unwrap_or(Err(Fault::Closed))
    }

    /// Hands over a change that shares its transaction with others; it answers its caller itself.
    #[cfg(feature = "journal")]
    pub(crate) async fn commit_grouped(
        &self,
        change: Box<dyn crate::writer::Grouped>,
    ) -> Result<(), Fault> {
        self.send(Job::Grouped(change)).await
    }

    async fn send(&self, job: Job) -> Result<(), Fault> {
        let writes = self.writes.as_ref().ok_or(Fault::Closed)?;
        writes.send(job).await.map_err(|_closed| Fault::Closed)
    }

    fn start(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        self.threads.push(thread.map_err(|source| OpenError::Io {
            action: "start a thread for",
            path: self.path.clone(),
            source,
        })?);
        Ok(())
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.writes = None;
        self.reads = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}
