use async_trait::async_trait;
use orchestrator_core::TaskId;

use crate::{Binding, BindingKey, Record, TaskRow};

/// The durable records of tasks. One transaction a commit; commits that arrive together share an fsync.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Writes all records or none, and resolves once they survive power loss.
    ///
    /// # Errors
    /// [`JournalError::Full`] and [`JournalError::BindingTaken`] leave nothing behind and may be tried
    /// again; [`JournalError::Failed`] ends the process, since a retried fsync proves nothing.
    async fn commit(&self, records: Vec<Record>) -> Result<(), JournalError>;

    /// The task, whatever its state.
    ///
    /// # Errors
    /// The store could not be read.
    async fn task(&self, id: TaskId) -> Result<Option<TaskRow>, JournalError>;

    /// All tasks that have not ended, in the order of their sequence.
    ///
    /// # Errors
    /// The store could not be read.
    async fn live_tasks(&self) -> Result<Vec<TaskRow>, JournalError>;

    /// Tasks newest first, those admitted before `before_sequence` where it is given.
    ///
    /// # Errors
    /// The store could not be read.
    async fn tasks(
        &self,
        filter: TaskFilter,
        before_sequence: Option<u64>,
        limit: usize,
    ) -> Result<Vec<TaskRow>, JournalError>;

    /// What an idempotency key is bound to.
    ///
    /// # Errors
    /// The store could not be read.
    async fn binding(&self, key: BindingKey) -> Result<Option<Binding>, JournalError>;

    /// The highest sequence ever given to a task; 0 in a new store.
    ///
    /// # Errors
    /// The store could not be read.
    async fn last_sequence(&self) -> Result<u64, JournalError>;

    /// A value kept beside the tasks, as [`Record::Note`] wrote it.
    ///
    /// # Errors
    /// The store could not be read.
    async fn note(&self, name: &'static str) -> Result<Option<String>, JournalError>;

    /// Whether a commit would succeed now: writes and syncs something that leaves no trace.
    ///
    /// # Errors
    /// What a commit would meet.
    async fn probe(&self) -> Result<(), JournalError>;

    /// Ended tasks of a kind, those that ended first before the others.
    ///
    /// # Errors
    /// The store could not be read.
    async fn ended_tasks(&self, which: Ended, limit: usize) -> Result<Vec<TaskId>, JournalError>;

    /// First and last segments of the event log that hold events which are still to be had, of ended tasks.
    /// For each first segment there is one entry, with the highest last one.
    ///
    /// # Errors
    /// The store could not be read.
    async fn segments_in_use(&self) -> Result<Vec<(u64, u64)>, JournalError>;

    /// When the task that ended last did so, by the wall clock of that time.
    ///
    /// # Errors
    /// The store could not be read.
    async fn newest_end_ms(&self) -> Result<Option<u64>, JournalError>;

    /// Clears what deleted and overwritten records left in the store's files. False where somebody reads an
    /// old state of the store, such as a backup, so that it has to be asked for again.
    ///
    /// # Errors
    /// The store failed.
    async fn scrub(&self) -> Result<bool, JournalError>;

    /// Room that is in use in the store's files, in bytes. Room of removed records is used again, but not
    /// given back to the device, and not counted here.
    ///
    /// # Errors
    /// The store could not be read.
    async fn used_bytes(&self) -> Result<u64, JournalError>;
}

/// Which ended tasks to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Their events are to be had, and they ended at this wall-clock time or before.
    WithEventsUntil(u64),
    /// They ended at this wall-clock time or before.
    Until(u64),
    /// Their events are no longer to be had, and lie in segments before this one, which are gone.
    GoneBefore(u64),
    /// They are to be erased, and their events are not overwritten yet.
    HalfErased,
}

/// Which tasks a list holds; what is `None` does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only tasks of this client identity.
    pub identity: Option<String>,
    /// Name of a state as the API shows it, such as `queued`.
    pub state: Option<String>,
    /// As given in the request.
    pub model_ref: Option<String>,
    pub client_ref: Option<String>,
}

/// Why the journal did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// No room on the device.
    #[error("the store's device is full; free space and admission goes on by itself")]
    Full,
    /// The idempotency key is bound to another task already.
    #[error("the idempotency key is bound already")]
    BindingTaken,
    /// A record would change a task that has ended.
    #[error("task {task} has ended already")]
    AlreadyEnded { task: TaskId },
    /// The store is gone or lies; nothing it says now can be relied on.
    #[error("the store failed while trying to {action}; see the cause, and restart")]
    Failed {
        action: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
