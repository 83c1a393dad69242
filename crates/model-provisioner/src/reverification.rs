use std::{
    fs::File,
    io::{self, Seek as _},
};

use camino::Utf8PathBuf;
use catalog_core::{EntryFile, FileStamp};
use gguf::{GgufError, Header};

use crate::{
    local_file,
    progress::Steps,
    verification::{KV_ELEMENT_BYTES, abandoned, hash},
};

/// Reads all bytes of an entry's files and holds them against its digests. The inner error says what is
/// wrong with them, without naming folders: it reaches clients. Blocks.
pub(crate) fn reverify(
    files: &[EntryFile],
    roots: &[Utf8PathBuf],
    steps: &Steps,
) -> io::Result<Result<Vec<EntryFile>, String>> {
    let total = files.iter().map(|file| file.stamp.size_bytes).sum();
    let mut done = 0;
    let mut found = Vec::with_capacity(files.len());
    for file in files {
        let name = file.path.file_name().unwrap_or_default();
        match check(file, roots, (done, total), steps) {
            Ok(Ok(stamp)) => {
                done += stamp.size_bytes;
                found.push(EntryFile { stamp, ..file.clone() });
            }
            Ok(Err(reason)) => return Ok(Err(format!("its file {name} {reason}"))),
            Err(_) if steps.stop.is_cancelled() => return Err(abandoned()),
            Err(error) => {
                return Ok(Err(format!("its file {name} cannot be read ({})", error.kind())));
            }
        }
    }
    Ok(Ok(found))
}

fn check(
    file: &EntryFile,
    roots: &[Utf8PathBuf],
    (done, total): (u64, u64),
    steps: &Steps,
) -> io::Result<Result<FileStamp, &'static str>> {
    let before = FileStamp::read(&file.path)?; // refuses pipes, devices and links
    if file.path.canonicalize_utf8()? != file.path || !local_file::is_below(&file.path, roots) {
        return Ok(Err("lies outside the configured model roots"));
    }
    let mut opened = File::open(&file.path)?;
    let actual = hash(&mut opened, &|bytes| steps.verifying(done + bytes, total), &steps.stop)?;
    if actual != file.sha256 {
        return Ok(Err("has another digest than the one that was registered"));
    }
    opened.rewind()?;
    if let Err(GgufError::Io { source, .. }) = Header::read(&mut opened) {
        return Err(source);
    }
    let unchanged =
        FileStamp::of(&opened.metadata()?) == before && FileStamp::read(&file.path)? == before;
    if unchanged { Ok(Ok(before)) } else { Ok(Err("changed while it was read")) }
}

/// What a token of context costs, where the header of this file says enough. Blocks.
pub(crate) fn kv_bytes_per_token(file: &EntryFile) -> Option<u64> {
    let header = Header::read(File::open(&file.path).ok()?).ok()?;
    header.kv_bytes_per_token(KV_ELEMENT_BYTES).ok()
}
