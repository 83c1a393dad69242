use std::{sync::Arc, time::Duration};

use orchestrator_core::TaskId;
use tokio::sync::oneshot;

use crate::{JournalError, Record, Refusal, Region, shared::Shared};

/// How often, and after which pauses, a store that is being read is asked to clear its files.
const SCRUB_TRIES: u32 = 100;
const SCRUB_PAUSE: Duration = Duration::from_millis(50);

impl Shared {
    /// Erases what an ended task said and was told. What was begun is finished even if the caller is gone.
    pub(crate) async fn erase(self: &Arc<Self>, id: TaskId) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        let shared = Arc::clone(self);
        self.spawn(async move {
            // The caller may be gone.
            drop(reply.send(shared.erase_ended(id).await));
        });
        answer.await.map_err(|_gone| Refusal::ShuttingDown)?
    }

    async fn erase_ended(&self, id: TaskId) -> Result<(), Refusal> {
        if self.live(id).is_some() {
            return Err(Refusal::StillLive);
        }
        let row = self.journal.task(id).await?.ok_or(Refusal::UnknownTask)?;
        let end = row.end.ok_or(Refusal::StillLive)?;
        if end.erased_at_ms.is_none() {
            let erased = Record::Erased { task: id, at_ms: self.clock.wall_ms() };
            self.commit_or_fail(vec![erased]).await?;
            tracing::info!(event = "task_erased", task_id = %id, "what the task said is erased");
        }
        self.finish_erasure(id, end.regions).await
    }

    /// Goes on with an erasure that is journalled: every step may be done again.
    pub(crate) async fn finish_erasure(
        &self,
        id: TaskId,
        regions: Vec<Region>,
    ) -> Result<(), Refusal> {
        self.close_logs(id);
        let is_overwritten = regions.is_empty();
        if !is_overwritten {
            let events = Arc::clone(&self.events);
            // Many small reads and writes, which no stream should wait for.
            let overwriting = tokio::task::spawn_blocking(move || {
                regions.iter().try_for_each(|region| events.erase(id, region))
            });
            overwriting.await.expect("erasing does not panic")?;
            self.sync_events().await;
        }
        self.scrub().await?;
        if !is_overwritten {
            self.commit_or_fail(vec![Record::EventsFreed { task: id }]).await?;
        }
        // Somebody may have come with what the journal said before.
        self.close_logs(id);
        Ok(())
    }

    async fn scrub(&self) -> Result<(), Refusal> {
        for _ in 0..SCRUB_TRIES {
            if self.journal.scrub().await? {
                return Ok(());
            }
            tokio::time::sleep(SCRUB_PAUSE).await;
        }
        Err(Refusal::StoreIsRead)
    }

    /// Commits; a store that failed ends the process.
    pub(crate) async fn commit_or_fail(&self, records: Vec<Record>) -> Result<(), JournalError> {
        let committed = self.journal.commit(records).await;
        match &committed {
            Err(JournalError::Full) => self.set_store_full(true),
            Err(error @ JournalError::Failed { .. }) => self.fail(error).await,
            Err(JournalError::BindingTaken | JournalError::AlreadyEnded { .. }) | Ok(()) => {}
        }
        committed
    }

    fn close_logs(&self, id: TaskId) {
        let logs = {
            let listened = self.listened.lock().expect("no holder panics");
            listened.get(&id).cloned().unwrap_or_default()
        };
        for log in logs.iter().filter_map(std::sync::Weak::upgrade) {
            log.erase();
        }
    }
}
