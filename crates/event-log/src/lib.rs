//! Append-only, checksummed segments of task events and generation logs: [`SegmentLog`] implements
//! [`orchestrator::EventStore`] on files.
//!
//! The directory holds
//! - segments, `00000000000000000001.seg` and on, numbered without gaps; frames of all tasks share them.
//!   The last one may be empty: it waits to be written, so that an append never creates a file. So may
//!   one between others: what it held was given back;
//! - `synced`, which says up to where the log is on the device for sure.
//!
//! A record is a header of 52 bytes, what the engine gave, and the events. All integers are
//! little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | CRC-32 of the segment's number, the record's offset, and the bytes 4..44 |
//! | 4..8 | length of what follows the header |
//! | 8..12 | how much of it is what the engine gave |
//! | 12..16 | attempt |
//! | 16..20 | number of events |
//! | 20..28 | id of the first event |
//! | 28..44 | task |
//! | 44 | kind: `O` output, `R` replayed, 0xE5 erased |
//! | 45..48 | zero |
//! | 48..52 | CRC-32 of the kind and of what follows the header |
//!
//! A record is valid only where it was written, so bytes that look like one inside of a frame mislead
//! nobody. The kind stands outside of the header's checksum, so that one byte, which a device writes whole
//! or not at all, turns a record into an erased one; an erased record's content is zero and has no
//! checksum.
//!
//! What holds:
//! - an append is one `writev`, and it never waits for the device or creates a file;
//! - a record that was cut short by a crash stands at the end, and opening cuts it off; damage anywhere
//!   else stops the start, unless loss was accepted;
//! - once an fsync failed, every later call fails.

#[cfg(not(unix))]
compile_error!(
    "event-log needs a Unix file system: modes that keep files private, folders that can be synced"
);

mod mark;
mod open;
mod options;
mod record;
mod scan;
mod segment;
mod segment_copies;
mod segment_log;
mod state;
mod syncer;
mod walk;

pub use options::LogOptions;
pub use segment_copies::SegmentCopies;
pub use segment_log::SegmentLog;
