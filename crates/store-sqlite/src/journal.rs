use async_trait::async_trait;
use orchestrator::{
    Binding, BindingKey, Ended, Journal, JournalError, Record, TaskFilter, TaskRow,
};
use orchestrator_core::TaskId;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::{
    SqliteStore,
    fault::Fault,
    scrub,
    task_records::{self, Refusal},
    task_removal, task_rows,
    writer::Grouped,
};

#[async_trait]
impl Journal for SqliteStore {
    async fn commit(&self, records: Vec<Record>) -> Result<(), JournalError> {
        let (answer, answered) = oneshot::channel();
        let change = Commit { records, refusal: None, answer };
        self.commit_grouped(Box::new(change)).await.map_err(failed_to("commit"))?;
        answered.await.unwrap_or_else(|_closed| Err(failed_to("commit")(Fault::Closed)))
    }

    async fn task(&self, id: TaskId) -> Result<Option<TaskRow>, JournalError> {
        self.read(move |connection| task_rows::task(connection, id))
            .await
            .map_err(failed_to("read a task"))
    }

    async fn live_tasks(&self) -> Result<Vec<TaskRow>, JournalError> {
        self.read(task_rows::live_tasks).await.map_err(failed_to("read the live tasks"))
    }

    async fn tasks(
        &self,
        filter: TaskFilter,
        before_sequence: Option<u64>,
        limit: usize,
    ) -> Result<Vec<TaskRow>, JournalError> {
        self.read(move |connection| task_rows::tasks(connection, &filter, before_sequence, limit))
            .await
            .map_err(failed_to("list tasks"))
    }

    async fn binding(&self, key: BindingKey) -> Result<Option<Binding>, JournalError> {
        self.read(move |connection| task_rows::binding(connection, key))
            .await
            .map_err(failed_to("read an idempotency key"))
    }

    async fn last_sequence(&self) -> Result<u64, JournalError> {
        self.read(task_rows::last_sequence).await.map_err(failed_to("read the last sequence"))
    }

    async fn note(&self, name: &'static str) -> Result<Option<String>, JournalError> {
        self.read(move |connection| task_rows::note(connection, name))
            .await
            .map_err(failed_to("read a note"))
    }

    async fn probe(&self) -> Result<(), JournalError> {
        self.run(task_records::probe).await.map_err(failed_to("probe"))
    }

    async fn ended_tasks(&self, which: Ended, limit: usize) -> Result<Vec<TaskId>, JournalError> {
        self.read(move |connection| task_removal::ended_tasks(connection, which, limit))
            .await
            .map_err(failed_to("look for ended tasks"))
    }

    async fn segments_in_use(&self) -> Result<Vec<(u64, u64)>, JournalError> {
        self.read(task_removal::segments_in_use).await.map_err(failed_to("read where events are"))
    }

    async fn newest_end_ms(&self) -> Result<Option<u64>, JournalError> {
        self.read(task_removal::newest_end_ms).await.map_err(failed_to("read the newest end"))
    }

    async fn scrub(&self) -> Result<bool, JournalError> {
        let path = self.path().to_owned();
        self.run(move |connection| scrub::scrub(connection, &path))
            .await
            .map_err(failed_to("scrub"))
    }

    async fn used_bytes(&self) -> Result<u64, JournalError> {
        self.read(scrub::used_bytes).await.map_err(failed_to("measure"))
    }
}

/// A commit on its way through a group.
struct Commit {
    records: Vec<Record>,
    refusal: Option<JournalError>,
    answer: oneshot::Sender<Result<(), JournalError>>,
}

impl Grouped for Commit {
    fn apply(&mut self, connection: &Connection) -> Result<bool, Fault> {
        for record in &self.records {
            let refusal = match task_records::write(connection, record) {
                Ok(()) => continue,
                Err(Refusal::BindingTaken) => JournalError::BindingTaken,
                Err(Refusal::AlreadyEnded(task)) => JournalError::AlreadyEnded { task },
                Err(Refusal::Invalid(source)) => {
                    JournalError::Failed { action: "commit", source: source.into() }
                }
                Err(Refusal::Sqlite(error)) => match Fault::of(connection, error) {
                    fault @ Fault::Refused(_) => failed_to("commit")(fault),
                    fault => return Err(fault),
                },
            };
            self.refusal = Some(refusal);
            return Ok(false);
        }
        Ok(true)
    }

    fn finish(self: Box<Self>, outcome: Result<(), Fault>) {
        let outcome = match outcome {
            Ok(()) => self.refusal.map_or(Ok(()), Err),
            // A refusal may rest on what was taken back with the rest of the group.
            Err(fault) => Err(failed_to("commit")(fault)),
        };
        // Nobody listens where the caller went away; what was committed stays.
        self.answer.send(outcome).ok();
    }
}

fn failed_to(action: &'static str) -> impl FnOnce(Fault) -> JournalError {
    move |fault| match fault {
        Fault::Full => JournalError::Full,
        Fault::Refused(_) | Fault::Broken(_) | Fault::Closed => {
            JournalError::Failed { action, source: Box::new(fault) }
        }
    }
}
