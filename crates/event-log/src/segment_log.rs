use std::{
    fs::File,
    io::{self, IoSlice, Write},
    os::unix::fs::FileExt,
    sync::Arc,
    thread::JoinHandle,
};

use async_trait::async_trait;
use bytes::Bytes;
use camino::Utf8Path;
use orchestrator::{EventStore, EventStoreError, Frame, Region, SegmentSize, StoredFrame};
use orchestrator_core::TaskId;

use crate::{
    LogOptions,
    mark::Place,
    open::{Opened, open},
    record::{CONTENT_SUM_AT, HEADER_BYTES, Header, KIND_AT, RecordKind},
    segment::{self, SEGMENT_HEADER_BYTES},
    state::{Erasure, Removal, Shared, failed_to, is_full},
    syncer::Syncer,
    walk::{OnDamage, refuse_or_warn, walk},
};

/// Files kept open for reading.
const READ_FILES_MAX: usize = 16;

/// The event log in a directory. One process at a time may have it open.
///
/// Dropping it brings everything to the device, and ends its thread.
#[derive(Debug)]
pub struct SegmentLog {
    shared: Arc<Shared>,
    torn_tails: u64,
    thread: Option<JoinHandle<()>>,
}

impl SegmentLog {
    /// Opens the log in `dir`, which is made where it is missing. Reads the last segment, and cuts off a
    /// record that a crash left unfinished.
    ///
    /// # Errors
    /// [`EventStoreError::Lost`] where the log ends before what was on the device for sure, and
    /// [`EventStoreError::Damaged`] where something else than its tail is damaged, both unless
    /// [`LogOptions::accept_loss`] says otherwise. Former segments are looked at by
    /// [`recover`](EventStore::recover) only.
    pub fn open(dir: &Utf8Path, options: LogOptions) -> Result<Self, EventStoreError> {
        let Opened { head, mark, torn_tails } = open(dir, options)?;
        let shared = Arc::new(Shared::new(dir.to_owned(), options, head));
        let syncer = Syncer::new(Arc::clone(&shared), mark);
        let thread = std::thread::Builder::new()
            .name("event-log-sync".to_owned())
            .spawn(move || syncer.run())
            .map_err(failed_to("start the thread of"))?;
        Ok(Self { shared, torn_tails, thread: Some(thread) })
    }

    /// Tails that were cut when the log was opened.
    #[must_use]
    pub fn torn_tails(&self) -> u64 {
        self.torn_tails
    }

    /// The segment to read from; `None` where it does not exist.
    fn read_file(&self, number: u64) -> io::Result<Option<Arc<File>>> {
        let mut files = self.shared.read_files.lock().expect("no holder of the lock panics");
        if let Some(at) = files.iter().position(|(segment, _)| *segment == number) {
            files[..=at].rotate_right(1);
        } else {
            let file = match File::open(segment::path(&self.shared.dir, number)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => Arc::new(opened?),
            };
            files.truncate(READ_FILES_MAX - 1);
            files.insert(0, (number, file));
        }
        Ok(Some(Arc::clone(&files[0].1)))
    }
}

#[async_trait]
impl EventStore for SegmentLog {
    fn append(&self, frame: &Frame<'_>) -> Result<Region, EventStoreError> {
        let Some(header) = Header::of(frame) else {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "the frame is too long");
            return Err(EventStoreError::Io { action: "append to", source });
        };
        let len_bytes = header.record_bytes();
        let mut head = self.shared.head();
        head.check()?;
        let end = head.len + u64::from(len_bytes);
        if end > self.shared.options.segment_bytes && head.len > SEGMENT_HEADER_BYTES {
            head.advance();
        }
        let (segment, offset) = (head.segment, head.len);
        let bytes = header.encode(segment, offset);
        let parts =
            [IoSlice::new(&bytes), IoSlice::new(frame.generation), IoSlice::new(frame.events)];
        let written = loop {
            match (&*head.file).write_vectored(&parts) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written,
            }
        };
        match written {
            Ok(written) if written == len_bytes as usize => {
                head.len += u64::from(len_bytes);
                self.shared.changed(&mut head);
                let Frame { first_event, event_count, .. } = *frame;
                Ok(Region { segment, offset, len_bytes, first_event, event_count })
            }
            // A regular file takes less than it was given where the device has no room for the rest.
            Ok(_) => match head.file.set_len(offset) {
                Ok(()) => Err(EventStoreError::Full),
                Err(error) => Err(self.shared.fail(&mut head, "cut", &error)),
            },
            Err(error) if is_full(&error) => Err(EventStoreError::Full),
            Err(error) => Err(self.shared.fail(&mut head, "append to", &error)),
        }
    }

    async fn sync(&self) -> Result<(), EventStoreError> {
        let changes = {
            let mut head = self.shared.head();
            head.check()?;
            // Otherwise the thread is at it, or done.
            if head.is_dirty {
                head.is_sync_wanted = true;
                self.shared.wake.notify_one();
            }
            head.changes
        };
        let mut progress = self.shared.progress.subscribe();
        let reached = progress
            .wait_for(|progress| progress.changes >= changes || progress.failure.is_some())
            .await
            .expect("the log holds the sender");
        match reached.failure {
            Some(failure) if reached.changes < changes => Err(failure.error()),
            _ => Ok(()),
        }
    }

    fn read(&self, task: TaskId, region: &Region) -> Result<StoredFrame, EventStoreError> {
        let place = Place { segment: region.segment, offset: region.offset };
        let damaged = || EventStoreError::Damaged { place: place.to_string() };
        let file = self.read_file(region.segment).map_err(failed_to("read"))?;
        let file = file.ok_or_else(damaged)?;
        let mut bytes = vec![0; region.len_bytes as usize];
        match file.read_exact_at(&mut bytes, region.offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged()),
            read => read.map_err(failed_to("read"))?,
        }
        let header = bytes
            .first_chunk()
            .and_then(|bytes| Header::decode(bytes, region.segment, region.offset))
            .filter(|header| header.task == task && header.record_bytes() == region.len_bytes)
            .filter(|header| header.fits(&bytes[HEADER_BYTES..]))
            .ok_or_else(damaged)?;
        stored(&header, Bytes::from(bytes).slice(HEADER_BYTES..)).ok_or_else(damaged)
    }

    fn recover(
        &self,
        from_segment: u64,
        wanted: &mut dyn FnMut(TaskId) -> bool,
        frame: &mut dyn FnMut(TaskId, Region, StoredFrame),
    ) -> Result<(), EventStoreError> {
        let current = self.current_segment();
        let on_damage =
            if self.shared.options.accept_loss { OnDamage::Mend } else { OnDamage::Refuse };
        let segments = self.segments()?;
        for &SegmentSize { number, .. } in
            segments.iter().filter(|segment| (from_segment..=current).contains(&segment.number))
        {
            let walked =
                walk(&self.shared.dir, number, on_damage, &mut |offset, header, content| {
                    if header.kind == RecordKind::Erased || !wanted(header.task) {
                        return;
                    }
                    let region = Region {
                        segment: number,
                        offset,
                        len_bytes: header.record_bytes(),
                        first_event: header.first_event,
                        event_count: header.event_count,
                    };
                    if let Some(stored) = stored(header, Bytes::copy_from_slice(content)) {
                        frame(header.task, region, stored);
                    }
                })?;
            if walked.torn_bytes > 0 {
                // The log's own tail was cut when it was opened, so this is damage before the tail.
                refuse_or_warn(on_damage, Place { segment: number, offset: walked.end })?;
                segment::open_to_overwrite(&self.shared.dir, number)
                    .and_then(|file| file.set_len(walked.end))
                    .map_err(failed_to("mend"))?;
            }
        }
        Ok(())
    }

    fn current_segment(&self) -> u64 {
        self.shared.head().segment
    }

    fn erase(&self, task: TaskId, region: &Region) -> Result<(), EventStoreError> {
        let file = match segment::open_to_overwrite(&self.shared.dir, region.segment) {
            // The segment was removed, and the frame with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(failed_to("erase a part of"))?,
        };
        match frame_there(&file, task, region).map_err(failed_to("erase a part of"))? {
            There::Frame => {}
            There::Nothing => return Ok(()),
            There::Other => {
                let place = Place { segment: region.segment, offset: region.offset };
                return Err(EventStoreError::Damaged { place: place.to_string() });
            }
        }
        let mut head = self.shared.head();
        head.check()?;
        // One byte, so that the record is whole or erased, never damaged. The content goes in the next
        // sync, after this byte is on the device.
        file.write_all_at(&[RecordKind::Erased.byte()], region.offset + KIND_AT as u64)
            .map_err(failed_to("erase a part of"))?;
        head.erasures.push(Erasure {
            segment: region.segment,
            from: region.offset + CONTENT_SUM_AT as u64,
            len: u64::from(region.len_bytes) - CONTENT_SUM_AT as u64,
        });
        self.shared.changed(&mut head);
        Ok(())
    }

    fn segments(&self) -> Result<Vec<SegmentSize>, EventStoreError> {
        segment::list(&self.shared.dir).map_err(failed_to("read"))
    }

    fn free_segments(
        &self,
        before: u64,
        is_kept: &dyn Fn(u64) -> bool,
    ) -> Result<u64, EventStoreError> {
        let segments = self.segments()?;
        let mut head = self.shared.head();
        head.check()?;
        // Where the current one is empty, the former may hold the place that was synced last.
        let last = head.segment - u64::from(head.len == SEGMENT_HEADER_BYTES);
        let mut is_first = true;
        let mut removals = Vec::new();
        let mut freed_bytes = 0;
        for segment in segments.iter().take_while(|segment| segment.number < before.min(last)) {
            let kept = is_kept(segment.number);
            is_first &= !kept;
            if is_first {
                freed_bytes += segment.len_bytes;
                removals.push(Removal::Whole(segment.number));
            } else if !kept && segment.len_bytes > SEGMENT_HEADER_BYTES {
                freed_bytes += segment.len_bytes - SEGMENT_HEADER_BYTES;
                removals.push(Removal::Content(segment.number));
            }
        }
        if !removals.is_empty() {
            head.removals.extend(removals);
            self.shared.changed(&mut head);
        }
        Ok(freed_bytes)
    }
}

/// What stands where a frame was.
enum There {
    Frame,
    /// The segment was emptied, or the place was overwritten when damage was mended.
    Nothing,
    Other,
}

fn frame_there(file: &File, task: TaskId, region: &Region) -> io::Result<There> {
    let mut bytes = vec![0; region.len_bytes as usize];
    match file.read_exact_at(&mut bytes, region.offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(There::Nothing),
        read => read?,
    }
    let header = bytes
        .first_chunk()
        .and_then(|bytes| Header::decode(bytes, region.segment, region.offset))
        .filter(|header| header.task == task && header.record_bytes() == region.len_bytes);
    if header.is_some() {
        return Ok(There::Frame);
    }
    let is_zero = bytes.iter().skip(HEADER_BYTES).all(|byte| *byte == 0);
    Ok(if is_zero { There::Nothing } else { There::Other })
}

impl Drop for SegmentLog {
    fn drop(&mut self) {
        self.shared.head().is_stopping = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the event log's thread panicked");
        }
    }
}

/// A frame from its header and content; `None` of an erased record.
fn stored(header: &Header, content: Bytes) -> Option<StoredFrame> {
    let RecordKind::Frame(kind) = header.kind else { return None };
    let generation_bytes = header.generation_bytes as usize;
    Some(StoredFrame {
        kind,
        attempt: header.attempt,
        first_event: header.first_event,
        event_count: header.event_count,
        generation: content.slice(..generation_bytes),
        events: content.slice(generation_bytes..),
    })
}
