use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, Metadata},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use handoff_schema::{HandoffFile, WrongFile};
use nix::{dir::Dir, fcntl::OFlag, sys::stat::Mode};

use crate::{
    Outcome, Skip, Stamp,
    safe_file::{Owners, open_folder, open_in},
};

/// Most files that are read.
const FILES_MAX: usize = 256;

/// Most names of the directory that are looked at; far more than [`FILES_MAX`], as others may lie there.
const NAMES_MAX: usize = 16_384;

/// The directory of handoff files.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) path: Utf8PathBuf,
    pub(crate) owners: Owners,
}

/// Tells a directory from another one at the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FolderId {
    device: u64,
    inode: u64,
}

/// What a look at the directory shows.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The directory, where it is there and safe.
    pub(crate) opened: Option<(File, FolderId)>,
    /// What is wrong with the directory as a whole.
    pub(crate) problem: Option<Skip>,
    /// Its files, by their names.
    pub(crate) files: BTreeMap<String, Found>,
}

/// One file.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) stamp: Stamp,
    pub(crate) read: Result<Arc<HandoffFile>, Skip>,
}

impl FolderId {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// What is at a path now.
    pub(crate) fn at(path: &Utf8Path) -> Option<Self> {
        std::fs::symlink_metadata(path).ok().map(|metadata| Self::of(&metadata))
    }
}

impl Folder {
    /// Reads everything. Where there are too many files, those in `first` are taken before others, so that
    /// none that is used is crowded out.
    pub(crate) fn scan(&self, first: &BTreeSet<String>) -> Scan {
        let mut scan = Scan::default();
        match self.open() {
            Ok(None) => {}
            Ok(Some((folder, id))) => {
                if let Err(skip) = self.read_all(&folder, first, &mut scan) {
                    scan.problem = Some(skip);
                }
                scan.opened = Some((folder, id));
            }
            Err(skip) => scan.problem = Some(skip),
        }
        scan
    }

    fn open(&self) -> Result<Option<(File, FolderId)>, Skip> {
        let Some(folder) = open_folder(&self.path)? else { return Ok(None) };
        let metadata = folder.metadata().map_err(|error| {
            Skip::new(Outcome::Unsafe, format!("the directory cannot be looked at: {error}"))
        })?;
        self.owners.check("the directory", &metadata)?;
        let id = FolderId::of(&metadata);
        Ok(Some((folder, id)))
    }

    fn read_all(
        &self,
        folder: &File,
        first: &BTreeSet<String>,
        scan: &mut Scan,
    ) -> Result<(), Skip> {
        let unlisted = |error: nix::Error| {
            let reason = format!("the directory cannot be listed: {}", error.desc());
            Skip::new(Outcome::Unsafe, reason)
        };
        let listing = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listed = Dir::openat(folder, ".", listing, Mode::empty()).map_err(unlisted)?;
        let mut names = Vec::new();
        for entry in listed.iter().take(NAMES_MAX) {
            let name = entry.map_err(unlisted)?.file_name().to_string_lossy().into_owned();
            if is_candidate(&name) {
                names.push(name);
            }
        }
        names.sort_by_cached_key(|name| (!first.contains(name), name.clone()));
        let left_out = names.len().saturating_sub(FILES_MAX);
        names.truncate(FILES_MAX);
        for name in names {
            if let Some(found) = self.read(folder, &name) {
                scan.files.insert(name, found);
            }
        }
        if left_out > 0 {
            let reason =
                format!("{left_out} files are left out: no more than {FILES_MAX} are looked at");
            return Err(Skip::new(Outcome::TooMany, reason));
        }
        Ok(())
    }

    /// `None` where it is gone.
    fn read(&self, folder: &File, name: &str) -> Option<Found> {
        let file = match open_in(folder, name) {
            Ok(file) => file?,
            Err(skip) => return Some(Found { stamp: Stamp::default(), read: Err(skip) }),
        };
        let stamp = file.metadata().map(|metadata| stamp_of(&metadata)).unwrap_or_default();
        Some(Found { stamp, read: self.read_opened(file, name).map(Arc::new) })
    }

    fn read_opened(&self, file: File, name: &str) -> Result<HandoffFile, Skip> {
        self.owners.plain("the file", &file)?;
        // One byte more than is allowed shows that there are more.
        let bytes_max = HandoffFile::BYTES_MAX as u64 + 1;
        let mut text = Vec::new();
        if let Err(error) = file.take(bytes_max).read_to_end(&mut text) {
            return Err(Skip::new(Outcome::Unsafe, format!("the file cannot be read: {error}")));
        }
        let file = HandoffFile::parse(&text).map_err(|wrong| {
            let outcome = match wrong {
                WrongFile::TooLarge { .. } => Outcome::TooLarge,
                WrongFile::HalfWritten { .. } => Outcome::HalfWritten,
                WrongFile::UnknownSchema { .. } => Outcome::UnknownSchema,
                WrongFile::Wrong { .. } => Outcome::Wrong,
            };
            Skip::new(outcome, wrong.to_string())
        })?;
        if file.file_name() != name {
            let reason = format!("by what it says, the file's name is {}", file.file_name());
            return Err(Skip::new(Outcome::Wrong, reason));
        }
        Ok(file)
    }
}

/// Whether a name may be that of a handoff file; names that begin with a dot or end otherwise are those of
/// files that are being written, and of others' things.
fn is_candidate(name: &str) -> bool {
    name.ends_with(".json") && !name.starts_with('.')
}

fn stamp_of(metadata: &Metadata) -> Stamp {
    let ns = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size_bytes: metadata.size(),
        modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
    }
}
