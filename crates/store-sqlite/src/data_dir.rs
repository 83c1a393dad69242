use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
};

use camino::{Utf8Path, Utf8PathBuf};

/// A directory that this process alone uses, for as long as the value lives.
#[derive(Debug)]
pub struct DataDir {
    path: Utf8PathBuf,
    /// Holds the lock; the operating system lets go of it when the process ends, however it ends.
    lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds it.
    #[error(
        "the data directory {path} is in use by {}; stop that one first, or use another directory",
        holder(*.pid)
    )]
    InUse {
        path: Utf8PathBuf,
        /// `None` where that process is just starting.
        pid: Option<u32>,
    },
    /// It belongs to somebody else.
    #[error(
        "the data directory {path} belongs to user {owner}, and this process runs as user {user}; run \
         it as its owner, or use another directory"
    )]
    ForeignOwner { path: Utf8PathBuf, owner: u32, user: u32 },
    /// Others may look into it, and it is not empty, so that it may be meant to be so.
    #[error("the data directory {path} is open to others (mode {mode:o}); run `chmod 700 {path}`")]
    TooOpen { path: Utf8PathBuf, mode: u32 },
    /// It could not be made, or looked at.
    #[error("cannot {action} {path}; check its permissions")]
    Io {
        action: &'static str,
        path: Utf8PathBuf,
        #[source]
        source: io::Error,
    },
}

impl DataDir {
    /// Makes the directory where it is missing, with mode 0700, and takes it for this process.
    ///
    /// # Errors
    /// [`DataDirError`]: it is in use, belongs to another user, or others may look into it.
    pub fn lock(path: &Utf8Path) -> Result<Self, DataDirError> {
        let failed =
            |action| move |source| DataDirError::Io { action, path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create"))?;
        check_privacy(path)?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                lock.read_to_string(&mut text).map_err(failed("read the lock of"))?;
                return Err(DataDirError::InUse {
                    path: path.to_owned(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(failed("write the lock of"))?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // So that nobody is told of a process that let go. The file stays: whoever removes a lock file may
        // remove one that another process has just taken.
        if let Err(error) = self.lock.set_len(0) {
            tracing::warn!(%error, "the data directory's lock file keeps the id of this process");
        }
    }
}

fn check_privacy(path: &Utf8Path) -> Result<(), DataDirError> {
    let failed = |source| DataDirError::Io { action: "look at", path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    let user = nix::unistd::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(DataDirError::ForeignOwner {
            path: path.to_owned(),
            owner: metadata.uid(),
            user,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let mut entries = fs::read_dir(path).map_err(failed)?;
    if entries.next().is_some() {
        return Err(DataDirError::TooOpen { path: path.to_owned(), mode });
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "a process that just starts".to_owned(), |pid| format!("process {pid}"))
}
