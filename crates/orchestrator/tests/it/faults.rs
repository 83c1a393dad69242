use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use api_types::TaskState;
use async_trait::async_trait;
use event_log::SegmentLog;
use orchestrator::{
    Binding, BindingKey, Ended, EventStore, EventStoreError, Frame, Journal, JournalError, Record,
    Region, SegmentSize, StoredFrame, TaskFilter, TaskRow,
};
use orchestrator_core::TaskId;
use store_sqlite::SqliteStore;
use tokio::sync::watch;

/// What goes wrong with the stores; shared with the test.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) journal_full: AtomicBool,
    pub(crate) journal_broken: AtomicBool,
    pub(crate) events_full: AtomicBool,
    pub(crate) events_broken: AtomicBool,
    /// Frames at the end of each task's log that the next start does not find, as after lost power.
    pub(crate) tail_lost: AtomicUsize,
    /// Commits of this kind wait.
    held: watch::Sender<Option<Kind>>,
    waiting: AtomicUsize,
    /// States that were committed, in their order.
    moves: Mutex<Vec<(TaskId, TaskState)>>,
}

/// Which commits are held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Admitted,
    Moved(TaskState),
    Ended,
    EventsFreed,
}

impl Faults {
    pub(crate) fn hold(&self, kind: Kind) {
        self.held.send_replace(Some(kind));
    }

    pub(crate) fn release(&self) {
        self.held.send_replace(None);
    }

    /// Commits that are held up now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub(crate) fn moves(&self) -> Vec<(TaskId, TaskState)> {
        self.moves.lock().unwrap().clone()
    }

    async fn pass(&self, records: &[Record]) {
        let is_held = |held: &Option<Kind>| {
            held.is_some_and(|held| records.iter().any(|record| kind(record) == Some(held)))
        };
        let mut held = self.held.subscribe();
        if is_held(&held.borrow()) {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            held.wait_for(|held| !is_held(held)).await.unwrap();
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn note(&self, records: &[Record]) {
        let mut moves = self.moves.lock().unwrap();
        for record in records {
            match record {
                Record::Admitted { task, .. } => moves.push((task.id, task.state)),
                Record::Moved { task, state, .. } | Record::Ended { task, state, .. } => {
                    moves.push((*task, *state));
                }
                Record::Rendered { .. }
                | Record::Note { .. }
                | Record::EventsGone { .. }
                | Record::Erased { .. }
                | Record::EventsFreed { .. }
                | Record::Removed { .. } => {}
            }
        }
    }
}

fn kind(record: &Record) -> Option<Kind> {
    match record {
        Record::Admitted { .. } => Some(Kind::Admitted),
        Record::Moved { state, .. } => Some(Kind::Moved(*state)),
        Record::Ended { .. } => Some(Kind::Ended),
        Record::EventsFreed { .. } => Some(Kind::EventsFreed),
        Record::Rendered { .. }
        | Record::Note { .. }
        | Record::EventsGone { .. }
        | Record::Erased { .. }
        | Record::Removed { .. } => None,
    }
}

fn broken() -> io::Error {
    io::Error::other("the device is gone")
}

/// The real journal behind its faults.
pub(crate) struct FaultyJournal(pub(crate) Arc<SqliteStore>, pub(crate) Arc<Faults>);

#[async_trait]
impl Journal for FaultyJournal {
    async fn commit(&self, records: Vec<Record>) -> Result<(), JournalError> {
        self.1.pass(&records).await;
        if self.1.journal_broken.load(Ordering::SeqCst) {
            return Err(JournalError::Failed { action: "commit", source: broken().into() });
        }
        if self.1.journal_full.load(Ordering::SeqCst) {
            return Err(JournalError::Full);
        }
        self.0.commit(records.clone()).await?;
        self.1.note(&records);
        Ok(())
    }

    async fn task(&self, id: TaskId) -> Result<Option<TaskRow>, JournalError> {
        self.0.task(id).await
    }

    async fn live_tasks(&self) -> Result<Vec<TaskRow>, JournalError> {
        self.0.live_tasks().await
    }

    async fn tasks(
        &self,
        filter: TaskFilter,
        before_sequence: Option<u64>,
        limit: usize,
    ) -> Result<Vec<TaskRow>, JournalError> {
        self.0.tasks(filter, before_sequence, limit).await
    }

    async fn binding(&self, key: BindingKey) -> Result<Option<Binding>, JournalError> {
        self.0.binding(key).await
    }

    async fn last_sequence(&self) -> Result<u64, JournalError> {
        self.0.last_sequence().await
    }

    async fn note(&self, name: &'static str) -> Result<Option<String>, JournalError> {
        self.0.note(name).await
    }

    async fn probe(&self) -> Result<(), JournalError> {
        if self.1.journal_full.load(Ordering::SeqCst) {
            return Err(JournalError::Full);
        }
        self.0.probe().await
    }

    async fn ended_tasks(&self, which: Ended, limit: usize) -> Result<Vec<TaskId>, JournalError> {
        self.0.ended_tasks(which, limit).await
    }

    async fn segments_in_use(&self) -> Result<Vec<(u64, u64)>, JournalError> {
        self.0.segments_in_use().await
    }

    async fn newest_end_ms(&self) -> Result<Option<u64>, JournalError> {
        self.0.newest_end_ms().await
    }

    async fn scrub(&self) -> Result<bool, JournalError> {
        self.0.scrub().await
    }

    async fn used_bytes(&self) -> Result<u64, JournalError> {
        self.0.used_bytes().await
    }
}

/// The real event log behind its faults.
pub(crate) struct FaultyEvents(pub(crate) Arc<SegmentLog>, pub(crate) Arc<Faults>);

#[async_trait]
impl EventStore for FaultyEvents {
    fn append(&self, frame: &Frame<'_>) -> Result<Region, EventStoreError> {
        if self.1.events_full.load(Ordering::SeqCst) {
            return Err(EventStoreError::Full);
        }
        if self.1.events_broken.load(Ordering::SeqCst) {
            return Err(EventStoreError::Io { action: "append to", source: broken() });
        }
        self.0.append(frame)
    }

    async fn sync(&self) -> Result<(), EventStoreError> {
        self.0.sync().await
    }

    fn read(&self, task: TaskId, region: &Region) -> Result<StoredFrame, EventStoreError> {
        self.0.read(task, region)
    }

    fn recover(
        &self,
        from_segment: u64,
        wanted: &mut dyn FnMut(TaskId) -> bool,
        frame: &mut dyn FnMut(TaskId, Region, StoredFrame),
    ) -> Result<(), EventStoreError> {
        let mut found = Vec::new();
        self.0.recover(from_segment, wanted, &mut |task, region, stored| {
            found.push((task, region, stored));
        })?;
        let lost = self.1.tail_lost.swap(0, Ordering::SeqCst);
        for (index, (task, region, stored)) in found.iter().enumerate() {
            let behind = found[index + 1..].iter().filter(|(other, ..)| other == task).count();
            if behind >= lost {
                frame(*task, *region, stored.clone());
            }
        }
        Ok(())
    }

    fn current_segment(&self) -> u64 {
        self.0.current_segment()
    }

    fn erase(&self, task: TaskId, region: &Region) -> Result<(), EventStoreError> {
        self.0.erase(task, region)
    }

    fn segments(&self) -> Result<Vec<SegmentSize>, EventStoreError> {
        self.0.segments()
    }

    fn free_segments(
        &self,
        before: u64,
        is_kept: &dyn Fn(u64) -> bool,
    ) -> Result<u64, EventStoreError> {
        self.0.free_segments(before, is_kept)
    }
}
