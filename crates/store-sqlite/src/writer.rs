use std::sync::{
    Arc,
    atomic::{AtomicI32, AtomicU64, Ordering},
};

use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::{SqliteOptions, fault::Fault};

/// A change that shares its transaction, and so its fsync, with others.
pub(crate) trait Grouped: Send {
    /// Makes the change; `false` takes back what it did so far, and leaves the others alone.
    fn apply(&mut self, connection: &Connection) -> Result<bool, Fault>;

    /// Is told the fate of the transaction.
    fn finish(self: Box<Self>, outcome: Result<(), Fault>);
}

/// Work with the connection, in a transaction of its own. Answers whoever asked itself, and returns what
/// ends the store's use, if anything does.
pub(crate) type Alone = Box<dyn FnOnce(Result<&mut Connection, Fault>) -> Option<Fault> + Send>;

/// What waits for the writer.
pub(crate) enum Job {
    #[cfg_attr(not(feature = "journal"), expect(dead_code, reason = "only tasks come in groups"))]
    Grouped(Box<dyn Grouped>),
    Alone(Alone),
}

/// Counts of what was committed.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Grouped changes that were kept.
    pub(crate) commits: AtomicU64,
    /// Transactions that held them.
    pub(crate) transactions: AtomicU64,
}

/// The thread that writes.
pub(crate) struct Writer {
    connection: Connection,
    options: SqliteOptions,
    counts: Arc<Counts>,
    /// Pages in the write-ahead log after the last commit.
    wal_pages: Arc<AtomicI32>,
    /// Why nothing is written any more.
    broken: Option<Fault>,
}

impl Writer {
    pub(crate) fn new(
        mut connection: Connection,
        options: SqliteOptions,
        counts: Arc<Counts>,
    ) -> Result<Self, rusqlite::Error> {
        let wal_pages = Arc::new(AtomicI32::new(0));
        let pages_of_hook = Arc::clone(&wal_pages);
        connection.wal_hook(Some(move |_: &mut _, pages| {
            pages_of_hook.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { connection, options, counts, wal_pages, broken: None })
    }

    /// Works until the sender is gone.
    pub(crate) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = Vec::new();
        let mut group: Vec<Box<dyn Grouped>> = Vec::new();
        while jobs.blocking_recv_many(&mut waiting, self.options.group_max) > 0 {
            for job in waiting.drain(..) {
                match job {
                    Job::Grouped(change) => group.push(change),
                    Job::Alone(work) => {
                        self.commit(&mut group);
                        self.work_alone(work);
                    }
                }
            }
            self.commit(&mut group);
            // After the answers, so that nobody of this group waits for it.
            self.checkpoint();
        }
    }

    /// Writes a group, and tells each of its members.
    fn commit(&mut self, group: &mut Vec<Box<dyn Grouped>>) {
        if group.is_empty() {
            return;
        }
        let outcome = match &self.broken {
            Some(fault) => Err(fault.clone()),
            None => self.write(group),
        };
        for change in group.drain(..) {
            change.finish(outcome.clone());
        }
    }

    fn write(&mut self, group: &mut [Box<dyn Grouped>]) -> Result<(), Fault> {
        match write_group(&self.connection, group) {
            Ok(kept) => {
                self.counts.commits.fetch_add(kept, Ordering::Relaxed);
                self.counts.transactions.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(fault) => {
                self.abandon_transaction();
                self.note(&fault);
                Err(fault)
            }
        }
    }

    fn work_alone(&mut self, work: Alone) {
        let fault = match &self.broken {
            Some(fault) => work(Err(fault.clone())),
            None => work(Ok(&mut self.connection)),
        };
        self.abandon_transaction();
        if let Some(fault) = fault {
            self.note(&fault);
        }
    }

    /// Copies the write-ahead log into the database once it is long.
    fn checkpoint(&mut self) {
        let pages = self.wal_pages.load(Ordering::Relaxed);
        if self.broken.is_some()
            || u32::try_from(pages).unwrap_or(0) < self.options.checkpoint_pages
        {
            return;
        }
        self.wal_pages.store(0, Ordering::Relaxed);
        let done = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = done {
            let fault = Fault::of(&self.connection, error);
            tracing::warn!(error = %chain(&fault), "the store's log cannot be copied into its database");
            self.note(&fault);
        }
    }

    /// Ends what an error left open. SQLite itself ends some transactions, and not others.
    fn abandon_transaction(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            let fault = Fault::Broken(Arc::new(error));
            self.note(&fault);
        }
    }

    fn note(&mut self, fault: &Fault) {
        if let Fault::Broken(_) = fault
            && self.broken.is_none()
        {
            tracing::error!(error = %chain(fault), "nothing is written to the store any more");
            self.broken = Some(fault.clone());
        }
    }
}

fn write_group(connection: &Connection, group: &mut [Box<dyn Grouped>]) -> Result<u64, Fault> {
    let run = |sql| {
        let done = connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        done.map(drop).map_err(|error| Fault::of(connection, error))
    };
    run("BEGIN IMMEDIATE")?;
    let mut kept = 0;
    for change in group {
        run("SAVEPOINT change")?;
        if change.apply(connection)? {
            kept += 1;
        } else {
            run("ROLLBACK TO change")?;
        }
        run("RELEASE change")?;
    }
    run("COMMIT")?;
    Ok(kept)
}

fn chain(fault: &Fault) -> String {
    match fault {
        Fault::Refused(error) | Fault::Broken(error) => format!("{fault}: {error}"),
        Fault::Full | Fault::Closed => fault.to_string(),
    }
}
