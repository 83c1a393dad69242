use async_trait::async_trait;
use bytes::Bytes;
use orchestrator_core::TaskId;
use serde::{Deserialize, Serialize};

/// The append-only log of what tasks generated and showed.
///
/// One frame is one `append`: what an engine gave since the last one, and the numbered events made of
/// it, so that a crash leaves both or neither. Frames of many tasks share segments; a [`Region`] says
/// where a frame is, and whoever appended it keeps it.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Hands a frame to the operating system in one write. It survives the death of this process at
    /// once, and power loss within 100 ms. Never blocks on an fsync.
    ///
    /// # Errors
    /// [`EventStoreError::Full`] where the device has no room: nothing of the frame is kept, and the
    /// same frame may be appended later. Other errors end the process.
    fn append(&self, frame: &Frame<'_>) -> Result<Region, EventStoreError>;

    /// Resolves when everything appended before the call survives power loss. Callers share fsyncs.
    ///
    /// # Errors
    /// An fsync failed: the process has to end, since a retried fsync proves nothing.
    async fn sync(&self) -> Result<(), EventStoreError>;

    /// Reads the events of a frame back.
    ///
    /// # Errors
    /// [`EventStoreError::Damaged`] where the bytes do not match their checksum.
    fn read(&self, task: TaskId, region: &Region) -> Result<StoredFrame, EventStoreError>;

    /// All frames of the tasks for which `wanted` says yes, in the order of their writing, found by
    /// reading the log from the segment `from_segment` on. Called once, before the first append.
    ///
    /// # Errors
    /// [`EventStoreError::Damaged`] where damage stands before the tail.
    fn recover(
        &self,
        from_segment: u64,
        wanted: &mut dyn FnMut(TaskId) -> bool,
        frame: &mut dyn FnMut(TaskId, Region, StoredFrame),
    ) -> Result<(), EventStoreError>;

    /// The segment that the next frame goes to; recovery of a task started now begins there.
    fn current_segment(&self) -> u64;

    /// Overwrites a frame's content, so that nothing of it is left on the device once the next
    /// [`Self::sync`] resolved. A frame that is gone already counts as erased.
    ///
    /// # Errors
    /// The bytes could not be overwritten.
    fn erase(&self, task: TaskId, region: &Region) -> Result<(), EventStoreError>;

    /// All segments with their sizes, the oldest first.
    ///
    /// # Errors
    /// They could not be listed.
    fn segments(&self) -> Result<Vec<SegmentSize>, EventStoreError>;

    /// Gives the room of all segments before `before` back, but of those for which `is_kept` says yes
    /// and of the newest ones. It is done once the next [`Self::sync`] resolved. Where a segment between
    /// kept ones goes, its number stays, without content. Returns the room in bytes.
    ///
    /// # Errors
    /// They could not be listed.
    fn free_segments(
        &self,
        before: u64,
        is_kept: &dyn Fn(u64) -> bool,
    ) -> Result<u64, EventStoreError>;
}

/// A segment and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSize {
    /// Its number.
    pub number: u64,
    /// Its length in bytes.
    pub len_bytes: u64,
}

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Output of an engine with the events made of it; either may be empty.
    Output,
    /// An attempt showed progress without output: accepted ids were fed through decode again.
    Replayed,
}

/// What is appended at once for one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub task: TaskId,
    pub kind: FrameKind,
    /// Which attempt of the task made it, from 1.
    pub attempt: u32,
    /// Id of the first event in `events`; the next id where there is none.
    pub first_event: u64,
    /// Number of events in `events`.
    pub event_count: u32,
    /// What the engine gave, in the orchestrator's own encoding.
    pub generation: &'a [u8],
    /// The events as they go over the wire.
    pub events: &'a [u8],
}

/// A frame read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFrame {
    pub kind: FrameKind,
    pub attempt: u32,
    pub first_event: u64,
    pub event_count: u32,
    pub generation: Bytes,
    pub events: Bytes,
}

/// Where a frame is, and which events it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Number of the segment.
    pub segment: u64,
    /// Offset of the frame in it, in bytes.
    pub offset: u64,
    /// Length of the frame with its header, in bytes.
    pub len_bytes: u32,
    /// Id of its first event.
    pub first_event: u64,
    /// Number of its events.
    pub event_count: u32,
}

/// Why the log could not be used.
#[derive(Debug, thiserror::Error)]
pub enum EventStoreError {
    /// No room on the device.
    #[error("the event log's device is full; free space and the tasks go on by themselves")]
    Full,
    /// Bytes that were once written whole are not what was written.
    #[error("the event log is damaged at {place}; restore a backup, or start with --accept-loss")]
    Damaged { place: String },
    /// The log ends before what was once on the device for sure.
    #[error(
        "the event log ends at {found} but was synced up to {expected}; restore a backup, or start with --accept-loss"
    )]
    Lost { found: String, expected: String },
    /// Reading or writing failed otherwise.
    #[error("cannot {action} the event log")]
    Io {
        action: &'static str,
        #[source]
        source: std::io::Error,
    },
}
