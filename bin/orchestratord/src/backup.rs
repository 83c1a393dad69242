use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
};

use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use event_log::SegmentCopies;
use orchestrator::RESTORED_NOTES;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store_sqlite::DataDir;

const STORE: &str = "store.sqlite";
const EVENTS: &str = "events";
const MANIFEST: &str = "manifest.json";

/// The form of backups that this version writes.
const FORMAT: u32 = 1;

/// What a backup consists of. It is written last: a backup without it was not finished.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    /// Version of the program that wrote it.
    program: String,
    created_at: String,
    files: Vec<BackedUp>,
}

/// A file of a backup.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BackedUp {
    /// Below the backup's folder, and below the data directory.
    path: Utf8PathBuf,
    bytes: u64,
    /// SHA-256 in hexadecimal.
    sha256: String,
}

/// Copies what a data directory holds into `to`, while a daemon may be using it. Returns what to tell.
pub(crate) fn back_up(data_dir: &Utf8Path, to: &Utf8Path) -> anyhow::Result<String> {
    ensure!(data_dir.join(STORE).exists(), "there is nothing to back up in {data_dir}");
    make_empty_dir(to)?;
    // In this order, everything that the store names in the log is in the backup: what the log holds now
    // stays readable, the store is of a later moment, and the log is copied up to one later still.
    let segments = SegmentCopies::open(&data_dir.join(EVENTS)).context("cannot read the events")?;
    store_sqlite::copy_store(&data_dir.join(STORE), &to.join(STORE), &RESTORED_NOTES)
        .context("cannot copy the store")?;
    segments.copy_to(&to.join(EVENTS)).context("cannot copy the events")?;
    let mut files = Vec::new();
    list(to, Utf8Path::new(""), &mut files)?;
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: jiff::Timestamp::now().to_string(),
        files,
    };
    write_new(&to.join("manifest.tmp"), &mut serde_json::to_vec_pretty(&manifest)?.as_slice())?;
    fs::rename(to.join("manifest.tmp"), to.join(MANIFEST))?;
    sync_dir(to)?;
    Ok(format!("backed up {bytes} bytes in {} files to {to}\n", manifest.files.len()))
}

/// Puts a backup into an empty data directory. Returns what to tell.
pub(crate) fn restore(from: &Utf8Path, data_dir: &Utf8Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(from.join(MANIFEST))
        .with_context(|| format!("{from} holds no finished backup"))?;
    let manifest: Manifest =
        serde_json::from_str(&text).with_context(|| format!("{MANIFEST} in {from} is damaged"))?;
    ensure!(
        manifest.format == FORMAT,
        "the backup was written by version {} in a form that this version does not know",
        manifest.program
    );
    for file in &manifest.files {
        check_path(&file.path)?;
        let found = measure(from, &file.path)?;
        ensure!(found == *file, "the backup is damaged: {} is not what was written", file.path);
    }
    let has_store = manifest.files.iter().any(|file| file.path == STORE);
    ensure!(has_store, "the backup is damaged: it lists no store");
    store_sqlite::check_store(&from.join(STORE)).context("cannot use the backup's store")?;

    if fs::read_dir(data_dir).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{data_dir} is not empty; a backup is restored into an empty data directory");
    }
    let _lock = DataDir::lock(data_dir).context("cannot use the data directory")?;
    // The store last: without it the directory is no more than a restore that was not finished.
    for file in manifest.files.iter().filter(|file| file.path != STORE) {
        copy(from, data_dir, file, &file.path)?;
    }
    let store = manifest.files.iter().find(|file| file.path == STORE).expect("looked for above");
    let unfinished = Utf8Path::new("store.restoring");
    copy(from, data_dir, store, unfinished)?;
    fs::rename(data_dir.join(unfinished), data_dir.join(STORE))?;
    sync_dir(data_dir)?;
    Ok(format!("restored {} files into {data_dir}\n", manifest.files.len()))
}

fn make_empty_dir(dir: &Utf8Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {dir}"))?;
    let mut entries = fs::read_dir(dir).with_context(|| format!("cannot look into {dir}"))?;
    ensure!(entries.next().is_none(), "{dir} is not empty; a backup needs a folder of its own");
    Ok(())
}

/// All files below a folder, in the order of their names.
fn list(root: &Utf8Path, below: &Utf8Path, files: &mut Vec<BackedUp>) -> anyhow::Result<()> {
    let entries: Result<Vec<_>, io::Error> = root.join(below).read_dir_utf8()?.collect();
    let mut entries = entries?;
    entries.sort_by(|one, other| one.file_name().cmp(other.file_name()));
    for entry in entries {
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(root, &path, files)?;
        } else {
            files.push(measure(root, &path)?);
        }
    }
    Ok(())
}

fn measure(root: &Utf8Path, path: &Utf8Path) -> anyhow::Result<BackedUp> {
    let open = || File::open(root.join(path));
    let file = open().with_context(|| format!("the backup is damaged: cannot read {path}"))?;
    let mut reading = Hashed { file, digest: Sha256::new() };
    let bytes = io::copy(&mut reading, &mut io::sink())?;
    Ok(BackedUp { path: path.to_owned(), bytes, sha256: reading.hex() })
}

/// A path that leads nowhere else.
fn check_path(path: &Utf8Path) -> anyhow::Result<()> {
    let is_plain = |part| matches!(part, Utf8Component::Normal(_));
    let is_inside = !path.as_str().is_empty() && path.components().all(is_plain);
    ensure!(is_inside, "the backup is damaged: it lists {path:?}");
    Ok(())
}

fn copy(
    from: &Utf8Path,
    data_dir: &Utf8Path,
    file: &BackedUp,
    name: &Utf8Path,
) -> anyhow::Result<()> {
    let to = data_dir.join(name);
    let dir = to.parent().expect("it is below the data directory");
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let source = File::open(from.join(&file.path))?;
    let mut reading = Hashed { file: source, digest: Sha256::new() };
    write_new(&to, &mut reading)?;
    sync_dir(dir)?;
    ensure!(reading.hex() == file.sha256, "{} changed while it was restored", file.path);
    Ok(())
}

fn write_new(path: &Utf8Path, content: &mut dyn Read) -> anyhow::Result<()> {
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = options.with_context(|| format!("cannot make {path}"))?;
    io::copy(content, &mut file).with_context(|| format!("cannot write {path}"))?;
    file.flush()?;
    file.sync_all().with_context(|| format!("cannot write {path}"))
}

fn sync_dir(dir: &Utf8Path) -> anyhow::Result<()> {
    File::open(dir)?.sync_all().with_context(|| format!("cannot write {dir}"))
}

/// A file whose bytes are hashed as they are read.
struct Hashed {
    file: File,
    digest: Sha256,
}

impl Hashed {
    fn hex(&self) -> String {
        self.digest.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.digest.update(&buffer[..read]);
        Ok(read)
    }
}
