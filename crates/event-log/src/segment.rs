use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
};

use camino::{Utf8Path, Utf8PathBuf};
use orchestrator::SegmentSize;

/// Length of what stands before a segment's first record.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = HEADER_LEN as u64;
const HEADER_LEN: usize = 24;

const MAGIC: [u8; 8] = *b"EVENTLOG";
const FORMAT: u32 = 1;
const SUFFIX: &str = ".seg";
/// A segment is made under this name, so that one with a number is always whole.
const UNFINISHED: &str = "segment.tmp";
/// Name of what stands in for a segment whose content goes.
const EMPTIED: &str = "emptied.tmp";

/// Where a segment is kept.
pub(crate) fn path(dir: &Utf8Path, number: u64) -> Utf8PathBuf {
    dir.join(format!("{number:020}{SUFFIX}"))
}

/// All segments in the order of their numbers.
pub(crate) fn list(dir: &Utf8Path) -> io::Result<Vec<SegmentSize>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        if let Some(number) = number.filter(|digits| digits.len() == 20)
            && let Ok(number) = number.parse()
        {
            segments.push(SegmentSize { number, len_bytes: entry.metadata()?.len() });
        }
    }
    segments.sort_unstable_by_key(|segment| segment.number);
    Ok(segments)
}

/// Makes an empty segment, which survives power loss when this returns.
pub(crate) fn create(dir: &Utf8Path, number: u64) -> io::Result<File> {
    put_empty(dir, number, UNFINISHED)?;
    open_to_append(dir, number)
}

/// Puts an empty segment in the place of a former one. Whoever has that one open can read it on.
pub(crate) fn empty(dir: &Utf8Path, number: u64) -> io::Result<()> {
    put_empty(dir, number, EMPTIED)
}

fn put_empty(dir: &Utf8Path, number: u64, unfinished: &str) -> io::Result<()> {
    let unfinished = dir.join(unfinished);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(&header(number))?;
    file.sync_all()?;
    fs::rename(&unfinished, path(dir, number))?;
    sync_dir(dir)
}

/// Removes what a crash left of segments being made.
pub(crate) fn remove_unfinished(dir: &Utf8Path) -> io::Result<()> {
    for name in [UNFINISHED, EMPTIED] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Opens a segment to read it, and to append to it.
pub(crate) fn open_to_append(dir: &Utf8Path, number: u64) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).open(path(dir, number))
}

/// Opens a segment to write in the middle of it.
pub(crate) fn open_to_overwrite(dir: &Utf8Path, number: u64) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path(dir, number))
}

/// Makes names in the directory survive power loss.
pub(crate) fn sync_dir(dir: &Utf8Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// What stands before the first record.
pub(crate) fn header(number: u64) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[12..20].copy_from_slice(&number.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..20]);
    bytes[20..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Whether the segment begins as `number` should.
///
/// # Errors
/// It could not be read, or was written by a later version of this crate.
pub(crate) fn has_header(file: &File, number: u64) -> io::Result<bool> {
    let mut bytes = Vec::new();
    let mut beginning = file.take(SEGMENT_HEADER_BYTES);
    beginning.read_to_end(&mut bytes)?;
    if let Some((fixed, sum)) = bytes.split_last_chunk::<4>()
        && fixed.len() == 20
        && fixed.starts_with(&MAGIC)
        && crc32fast::hash(fixed) == u32::from_le_bytes(*sum)
        && fixed[8..12] != FORMAT.to_le_bytes()
    {
        let problem = format!("segment {number} was written by a later version");
        return Err(io::Error::new(io::ErrorKind::Unsupported, problem));
    }
    Ok(bytes == header(number))
}
