use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
};

use camino::{Utf8Path, Utf8PathBuf};
use orchestrator::EventStoreError;

use crate::{
    segment::{self, SEGMENT_HEADER_BYTES},
    state::failed_to,
    walk::{OnDamage, walk},
};

/// A log that is copied while another process writes to it.
///
/// What it held when this was made is in the copy, even if the other process gives segments back in the
/// meantime. So records that name places in the log are to be copied after this was made, and the segments
/// after the records: then everything that the records name is in the copy.
#[derive(Debug)]
pub struct SegmentCopies {
    dir: Utf8PathBuf,
    files: BTreeMap<u64, File>,
}

impl SegmentCopies {
    /// Opens all segments that there are.
    ///
    /// # Errors
    /// They could not be opened; of very many, the limit on open files has to be raised.
    pub fn open(dir: &Utf8Path) -> Result<Self, EventStoreError> {
        let mut copies = Self { dir: dir.to_owned(), files: BTreeMap::new() };
        copies.open_more().map_err(failed_to("open"))?;
        Ok(copies)
    }

    fn open_more(&mut self) -> io::Result<()> {
        for segment in segment::list(&self.dir)? {
            if self.files.contains_key(&segment.number) {
                continue;
            }
            match File::open(segment::path(&self.dir, segment.number)) {
                // It came and went meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => drop(self.files.insert(segment.number, opened?)),
            }
        }
        Ok(())
    }

    /// Copies the log as it is by now into a folder that is made for it, and checks what it wrote. The copy is
    /// on the device when this returns.
    ///
    /// # Errors
    /// The log is damaged, or the copy could not be written.
    pub fn copy_to(mut self, to: &Utf8Path) -> Result<(), EventStoreError> {
        self.open_more().map_err(failed_to("open"))?;
        DirBuilder::new().mode(0o700).create(to).map_err(failed_to("copy"))?;
        // The newest first: what stands in a segment was written after all of those before it, so that what
        // is copied of the log is a beginning of it without holes.
        let mut lens = BTreeMap::new();
        for (number, file) in self.files.iter().rev() {
            lens.insert(*number, file.metadata().map_err(failed_to("read"))?.len());
        }
        let mut before: Option<u64> = None;
        for (number, file) in &self.files {
            // One in between came and went; nothing is to be had of it.
            for gone in before.map_or(*number, |before| before + 1)..*number {
                segment::empty(to, gone).map_err(failed_to("copy"))?;
            }
            before = Some(*number);
            copy(file, lens[number], &segment::path(to, *number)).map_err(failed_to("copy"))?;
        }
        let last = lens.iter().rfind(|(_, len)| **len > SEGMENT_HEADER_BYTES);
        let last = last.map(|(number, _)| *number);
        for number in self.files.keys() {
            let walked = walk(to, *number, OnDamage::Refuse, &mut |_, _, _| {})?;
            if walked.torn_bytes > 0 && last == Some(*number) {
                // A record that was just being written.
                segment::open_to_overwrite(to, *number)
                    .and_then(|file| file.set_len(walked.end).and_then(|()| file.sync_all()))
                    .map_err(failed_to("copy"))?;
            } else if walked.torn_bytes > 0 {
                let place = format!("segment {number} offset {}", walked.end);
                return Err(EventStoreError::Damaged { place });
            }
        }
        segment::sync_dir(to).map_err(failed_to("copy"))
    }
}

fn copy(from: &File, len: u64, to: &Utf8Path) -> io::Result<()> {
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut from.take(len), &mut copy)?;
    copy.sync_all()
}
