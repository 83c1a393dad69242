use std::{fs::File, io, os::unix::fs::FileExt};

use crate::record::{HEADER_BYTES, Header, RecordKind};

/// How much is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Walks over the records of one segment.
#[derive(Debug)]
pub(crate) struct Scan<'f> {
    file: &'f File,
    segment: u64,
    /// Length of the segment.
    end: u64,
    at: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// What stands at a place.
#[derive(Debug)]
pub(crate) enum Found<'s> {
    Record {
        offset: u64,
        header: Header,
        content: &'s [u8],
    },
    /// Something else than a valid record.
    Damage {
        offset: u64,
    },
    End,
}

impl<'f> Scan<'f> {
    /// Begins at `at`, where a record begins or the segment ends.
    pub(crate) fn new(file: &'f File, segment: u64, at: u64) -> io::Result<Self> {
        let end = file.metadata()?.len();
        Ok(Self { file, segment, end, at, window: Vec::new(), window_at: 0 })
    }

    /// The record here, and goes behind it. Stays where there is damage.
    pub(crate) fn next(&mut self) -> io::Result<Found<'_>> {
        if self.at >= self.end {
            return Ok(Found::End);
        }
        let offset = self.at;
        let Some(header) = self.valid_at(offset)? else { return Ok(Found::Damage { offset }) };
        self.at += u64::from(header.record_bytes());
        let content: &[u8] = match header.kind {
            RecordKind::Frame(_) => {
                let content_at = offset + HEADER_BYTES as u64;
                self.bytes(content_at, header.content_bytes as usize)?.unwrap_or_default()
            }
            RecordKind::Erased => &[],
        };
        Ok(Found::Record { offset, header, content })
    }

    /// Goes to the next valid record behind the damage here, and says where it is; `None` where there is
    /// none.
    pub(crate) fn skip_damage(&mut self) -> io::Result<Option<u64>> {
        let mut at = self.at + 1;
        while at + HEADER_BYTES as u64 <= self.end {
            if self.valid_at(at)?.is_some() {
                self.at = at;
                return Ok(Some(at));
            }
            at += 1;
        }
        Ok(None)
    }

    fn valid_at(&mut self, at: u64) -> io::Result<Option<Header>> {
        let segment = self.segment;
        let Some(bytes) = self.bytes(at, HEADER_BYTES)? else { return Ok(None) };
        let bytes = bytes.first_chunk().expect("the window holds a header's length");
        let Some(header) = Header::decode(bytes, segment, at) else { return Ok(None) };
        let valid = match header.kind {
            RecordKind::Erased => at + u64::from(header.record_bytes()) <= self.end,
            RecordKind::Frame(_) => self
                .bytes(at, header.record_bytes() as usize)?
                .is_some_and(|record| header.fits(&record[HEADER_BYTES..])),
        };
        Ok(valid.then_some(header))
    }

    /// A piece of the segment; `None` where it ends too soon.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<Option<&[u8]>> {
        if at + len as u64 > self.end {
            return Ok(None);
        }
        let window_end = self.window_at + self.window.len() as u64;
        if at < self.window_at || at + len as u64 > window_end {
            let room = usize::try_from(self.end - at).unwrap_or(usize::MAX);
            self.window.resize(len.max(CHUNK_BYTES).min(room), 0);
            self.window_at = at;
            if let Err(error) = self.file.read_exact_at(&mut self.window, at) {
                self.window.clear();
                return Err(error);
            }
        }
        let from = usize::try_from(at - self.window_at).expect("the window holds the piece");
        Ok(Some(&self.window[from..from + len]))
    }
}
