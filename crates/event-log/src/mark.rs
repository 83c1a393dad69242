use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
};

use camino::Utf8Path;

use crate::segment::sync_dir;

const NAME: &str = "synced";
const UNFINISHED: &str = "synced.tmp";
const MAGIC: [u8; 8] = *b"SYNCEDTO";
const SLOT_BYTES: usize = 32;
/// The slots lie in different sectors, so that a torn write spoils one of them at most.
const SLOTS_AT: [u64; 2] = [0, 4096];
const FILE_BYTES: usize = 4096 + SLOT_BYTES;

/// A place in the log, ordered as the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "segment {} offset {}", self.segment, self.offset)
    }
}

/// The side file that says up to where the log is on the device for sure.
#[derive(Debug)]
pub(crate) struct SyncedMark {
    file: File,
    next_slot: usize,
}

/// What the side file says.
#[derive(Debug)]
pub(crate) enum Mark {
    Missing,
    /// Neither slot can be read.
    Damaged,
    At(Place, SyncedMark),
}

impl SyncedMark {
    pub(crate) fn read(dir: &Utf8Path) -> io::Result<Mark> {
        let file = match OpenOptions::new().read(true).write(true).open(dir.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Mark::Missing),
            opened => opened?,
        };
        let mut newest = None;
        for (slot, at) in SLOTS_AT.into_iter().enumerate() {
            let mut bytes = [0; SLOT_BYTES];
            match file.read_exact_at(&mut bytes, at) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                read => {
                    read?;
                    newest = newest.max(decode(&bytes).map(|place| (place, slot)));
                }
            }
        }
        Ok(match newest {
            Some((place, slot)) => Mark::At(place, Self { file, next_slot: 1 - slot }),
            None => Mark::Damaged,
        })
    }

    /// Makes the side file, or puts another in its place.
    pub(crate) fn create(dir: &Utf8Path, place: Place) -> io::Result<Self> {
        let unfinished = dir.join(UNFINISHED);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        // Both slots, so that no later write needs room on the device.
        file.write_all(&[0; FILE_BYTES])?;
        for at in SLOTS_AT {
            file.write_all_at(&encode(place), at)?;
        }
        file.sync_all()?;
        fs::rename(unfinished, dir.join(NAME))?;
        sync_dir(dir)?;
        Ok(Self { file, next_slot: 0 })
    }

    /// Hands the place to the operating system.
    pub(crate) fn write(&mut self, place: Place) -> io::Result<()> {
        self.file.write_all_at(&encode(place), SLOTS_AT[self.next_slot])?;
        self.next_slot = 1 - self.next_slot;
        Ok(())
    }

    /// Makes what was written survive power loss.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn encode(place: Place) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&place.segment.to_le_bytes());
    bytes[16..24].copy_from_slice(&place.offset.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; SLOT_BYTES]) -> Option<Place> {
    let u64_at = |at: usize| bytes[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let place = Place { segment: u64_at(8)?, offset: u64_at(16)? };
    (*bytes == encode(place)).then_some(place)
}
