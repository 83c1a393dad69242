use std::{fs::Metadata, io};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

/// What tells cheaply whether a file may be another than the one that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// The device that holds the file; 0 where the platform does not say.
    pub device: u64,
    /// Its inode on that device; where the platform has none, when the file was made, in nanoseconds since
    /// 1970, as another file in its place was made at another time.
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
    pub fn of(metadata: &Metadata) -> Self {
        let (device, inode, modified_ns) = identity(metadata);
        Self { device, inode, size_bytes: metadata.len(), modified_ns }
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

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64, i64) {
    use std::os::unix::fs::MetadataExt as _;
    let modified_ns = metadata.mtime().saturating_mul(1_000_000_000) + metadata.mtime_nsec();
    (metadata.dev(), metadata.ino(), modified_ns)
}

#[cfg(not(unix))]
fn identity(metadata: &Metadata) -> (u64, u64, i64) {
    use std::time::{SystemTime, UNIX_EPOCH};
    let ns = |at: io::Result<SystemTime>| {
        let since = at.ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        since.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or_default()
    };
    (0, ns(metadata.created()).unsigned_abs(), ns(metadata.modified()))
}
