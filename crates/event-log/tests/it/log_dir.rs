use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use camino_tempfile::Utf8TempDir;
use event_log::{LogOptions, SegmentLog};
use orchestrator::{EventStore, EventStoreError, Frame, FrameKind, Region, StoredFrame};
use orchestrator_core::TaskId;
use uuid::Uuid;

/// Syncs only when asked to, so that a copy of the directory is what a kill leaves.
pub(crate) const ON_DEMAND: LogOptions =
    LogOptions { segment_bytes: 64 << 20, sync_every_ms: 3_600_000, accept_loss: false };

pub(crate) fn task(number: u128) -> TaskId {
    TaskId(Uuid::from_u128(number))
}

pub(crate) fn frame<'a>(
    number: u128,
    first_event: u64,
    generation: &'a [u8],
    events: &'a [u8],
) -> Frame<'a> {
    Frame {
        task: task(number),
        kind: FrameKind::Output,
        attempt: 1,
        first_event,
        event_count: 1,
        generation,
        events,
    }
}

pub(crate) type Recovered = Vec<(TaskId, Region, StoredFrame)>;

pub(crate) fn recover(log: &SegmentLog) -> Result<Recovered, EventStoreError> {
    let mut found = Vec::new();
    log.recover(1, &mut |_| true, &mut |task, region, frame| found.push((task, region, frame)))?;
    Ok(found)
}

/// The events of all frames in the order of recovery.
pub(crate) fn events(log: &SegmentLog) -> Result<Vec<Vec<u8>>, EventStoreError> {
    Ok(recover(log)?.into_iter().map(|(_, _, frame)| frame.events.to_vec()).collect())
}

pub(crate) fn segment(dir: &Utf8Path, number: u64) -> Utf8PathBuf {
    dir.join(format!("{number:020}.seg"))
}

/// What a kill of the process would leave of `dir` now.
pub(crate) fn killed(dir: &Utf8Path) -> Utf8TempDir {
    let copy = Utf8TempDir::new().unwrap();
    for entry in dir.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        // The log's thread may be about to rename an unfinished file.
        if !entry.file_name().ends_with(".tmp") {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    copy
}

/// Flips a bit of a file.
pub(crate) fn flip(path: &Utf8Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Appends frames named by their number until the log has `count` segments with frames, and returns them.
pub(crate) async fn fill(log: &SegmentLog, count: u64) -> Vec<Region> {
    let mut regions = Vec::new();
    while log.current_segment() < count {
        let name = format!("event {}", regions.len());
        regions.push(log.append(&frame(1, 1, b"ids", name.as_bytes())).unwrap());
        log.sync().await.unwrap();
    }
    regions
}
