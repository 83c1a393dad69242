use std::{
    fs::File,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use camino::Utf8PathBuf;
use orchestrator::EventStoreError;
use tokio::sync::watch;

use crate::{LogOptions, mark::Place, segment::SEGMENT_HEADER_BYTES};

/// What the log's callers and its thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: Utf8PathBuf,
    pub(crate) options: LogOptions,
    head: Mutex<Head>,
    /// Segments that are open for reading, latest used first.
    pub(crate) read_files: Mutex<Vec<(u64, Arc<File>)>>,
    /// Wakes the thread.
    pub(crate) wake: Condvar,
    /// Where the thread says how far it is.
    pub(crate) progress: watch::Sender<Progress>,
}

/// Where the log grows.
#[derive(Debug)]
pub(crate) struct Head {
    /// The segment that frames go to.
    pub(crate) segment: u64,
    pub(crate) file: Arc<File>,
    /// Its length.
    pub(crate) len: u64,
    /// The empty segment after it.
    pub(crate) spare: Option<File>,
    /// Appends and erasures so far.
    pub(crate) changes: u64,
    /// Whether some of them were not handed to an fsync yet.
    pub(crate) is_dirty: bool,
    /// Whether somebody waits for that.
    pub(crate) is_sync_wanted: bool,
    /// Former segments that may need an fsync.
    pub(crate) retired: Vec<Arc<File>>,
    /// Records marked as erased whose content still stands.
    pub(crate) erasures: Vec<Erasure>,
    /// Segments whose room is to be given back.
    pub(crate) removals: Vec<Removal>,
    pub(crate) is_stopping: bool,
    pub(crate) failure: Option<Failure>,
}

/// Content to overwrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Erasure {
    pub(crate) segment: u64,
    pub(crate) from: u64,
    pub(crate) len: u64,
}

/// A segment that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// With its number; so do all before it.
    Whole(u64),
    /// Its content.
    Content(u64),
}

/// How far the log is on the device.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// The changes up to this count survive power loss.
    pub(crate) changes: u64,
    pub(crate) failure: Option<Failure>,
}

/// Why nothing works any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    action: &'static str,
    kind: io::ErrorKind,
    os_error: Option<i32>,
}

impl Shared {
    pub(crate) fn new(dir: Utf8PathBuf, options: LogOptions, head: Head) -> Self {
        let (progress, _) = watch::channel(Progress::default());
        Self {
            dir,
            options,
            head: Mutex::new(head),
            read_files: Mutex::default(),
            wake: Condvar::new(),
            progress,
        }
    }

    pub(crate) fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().expect("no holder of the lock panics")
    }

    /// Ends the use of the log: what is on the device is not known any more.
    pub(crate) fn fail(
        &self,
        head: &mut Head,
        action: &'static str,
        error: &io::Error,
    ) -> EventStoreError {
        let failure = *head.failure.insert(Failure {
            action,
            kind: error.kind(),
            os_error: error.raw_os_error(),
        });
        self.progress.send_modify(|progress| progress.failure = Some(failure));
        failure.error()
    }

    /// Notes a change, and wakes the thread at the first one since it last looked.
    pub(crate) fn changed(&self, head: &mut Head) {
        head.changes += 1;
        if !head.is_dirty {
            head.is_dirty = true;
            self.wake.notify_one();
        }
    }
}

impl Head {
    /// # Errors
    /// Something failed before.
    pub(crate) fn check(&self) -> Result<(), EventStoreError> {
        self.failure.map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// Where the log ends; `None` where the segment is empty, as the place is then that of another's end.
    pub(crate) fn end(&self) -> Option<Place> {
        let place = Place { segment: self.segment, offset: self.len };
        (self.len > SEGMENT_HEADER_BYTES).then_some(place)
    }

    /// Goes to the next segment, where there is one.
    pub(crate) fn advance(&mut self) {
        if let Some(spare) = self.spare.take() {
            let former = std::mem::replace(&mut self.file, Arc::new(spare));
            self.retired.push(former);
            self.segment += 1;
            self.len = SEGMENT_HEADER_BYTES;
        }
    }
}

impl Failure {
    pub(crate) fn error(self) -> EventStoreError {
        let source = match self.os_error {
            Some(code) => io::Error::from_raw_os_error(code),
            None => self.kind.into(),
        };
        EventStoreError::Io { action: self.action, source }
    }
}

/// Whether the error says that there is no room, which may change.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Turns an I/O error into what the port calls it.
pub(crate) fn failed_to(action: &'static str) -> impl FnOnce(io::Error) -> EventStoreError {
    move |source| {
        if is_full(&source) {
            EventStoreError::Full
        } else {
            EventStoreError::Io { action, source }
        }
    }
}
