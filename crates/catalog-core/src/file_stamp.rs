use std::{io, os::unix::fs::MetadataExt as _};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

/// What tells cheaply whether a file may be another than the one that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// The device that holds the file.
    pub device: u64,
    /// Its inode on that device.
    pub inode: u64,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// When it was last written, in nanoseconds since 1970, as the file system says it.
    pub modified_ns: i64,
}

impl FileStamp {
    /// The stamp of an open file or of a path, from what the file system said about it. An engine that
    /// opened a model compares this with the entry's stamp, so that nothing can change in between.
    #[must_use]
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.len(),
            modified_ns: metadata.mtime().saturating_mul(1_000_000_000) + metadata.mtime_nsec(),
        }
    }

    /// The stamp of the regular file at `path`. Blocks on the file system.
    ///
    /// # Errors
    /// That of the file system; `InvalidInput` for anything but a regular file, symbolic links included.
    pub fn read(path: &Utf8Path) -> io::Result<Self> {
        let metadata = path.symlink_metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self::of(&metadata))
    }
}
