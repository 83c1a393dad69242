use std::{
    fs::{File, Metadata},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
};

use camino::Utf8Path;
use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    sys::stat::Mode,
};

use crate::{Outcome, Skip};

const WRITABLE_BY_OTHERS: u32 = 0o022;
const OPEN_TO_OTHERS: u32 = 0o077;

/// Longest file with a key, in bytes.
const KEY_BYTES_MAX: u64 = 4096;

/// Whose files are believed: root's, and those of this user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owners {
    user: u32,
}

impl Owners {
    /// Root and the user that this process acts as.
    pub(crate) fn of_this_process() -> Self {
        Self { user: nix::unistd::geteuid().as_raw() }
    }

    /// Whether nobody else could have written it; `what` it is for the reason.
    pub(crate) fn check(self, what: &str, metadata: &Metadata) -> Result<(), Skip> {
        let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
        if owner != self.user && owner != 0 {
            let user = self.user;
            return Err(not_safe(format!(
                "{what} belongs to user {owner}, and neither to root nor to user {user}, whom the daemon runs as"
            )));
        }
        if mode & WRITABLE_BY_OTHERS != 0 {
            return Err(not_safe(format!(
                "{what} can be written by others (mode {mode:o}); take that from them with chmod go-w"
            )));
        }
        Ok(())
    }

    /// The text of a file with a key, which others may not read either.
    pub(crate) fn read_key(self, path: &Utf8Path) -> Result<String, Skip> {
        let what = format!("the key file {path}");
        let opened = open(path.as_std_path(), READING, Mode::empty());
        let mut file = File::from(opened.map_err(|error| unopened(&what, error))?);
        let metadata = self.plain(&what, &file)?;
        let mode = metadata.mode() & 0o7777;
        if mode & OPEN_TO_OTHERS != 0 {
            return Err(not_safe(format!(
                "{what} is open to others (mode {mode:o}); chmod 600 it"
            )));
        }
        if metadata.size() > KEY_BYTES_MAX {
            return Err(not_safe(format!("{what} has more than {KEY_BYTES_MAX} bytes")));
        }
        let mut text = String::new();
        let read = (&mut file).take(KEY_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| not_safe(format!("{what} cannot be read: {error}")))?;
        if text.trim().is_empty() {
            return Err(Skip::new(Outcome::Unproven, format!("{what} is empty")));
        }
        Ok(text)
    }

    /// What is known of an opened file that is a plain one and safe.
    pub(crate) fn plain(self, what: &str, file: &File) -> Result<Metadata, Skip> {
        let looked = file.metadata();
        let metadata =
            looked.map_err(|error| not_safe(format!("{what} cannot be looked at: {error}")))?;
        if !metadata.is_file() {
            return Err(not_safe(format!("{what} is no plain file")));
        }
        self.check(what, &metadata)?;
        Ok(metadata)
    }
}

/// Never through a link, and never waiting for whoever is at the other end of a pipe.
const READING: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);

/// Opens a file of an opened directory; `None` where it is gone.
pub(crate) fn open_in(folder: &File, name: &str) -> Result<Option<File>, Skip> {
    match openat(folder, name, READING, Mode::empty()) {
        Ok(file) => Ok(Some(File::from(file))),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(unopened("the file", error)),
    }
}

/// Opens a directory, not through a link; `None` where there is none.
pub(crate) fn open_folder(path: &Utf8Path) -> Result<Option<File>, Skip> {
    match open(path.as_std_path(), READING.union(OFlag::O_DIRECTORY), Mode::empty()) {
        Ok(folder) => Ok(Some(File::from(folder))),
        Err(Errno::ENOENT) => Ok(None),
        // The kernel says this of a link too, as that is no directory.
        Err(Errno::ENOTDIR | Errno::ELOOP) => {
            Err(not_safe("it is no directory, or a link to one; name the directory itself"))
        }
        Err(error) => Err(unopened("the directory", error)),
    }
}

fn unopened(what: &str, error: Errno) -> Skip {
    match error {
        Errno::ELOOP => not_safe(format!("{what} is a link")),
        error => not_safe(format!("{what} cannot be opened: {}", error.desc())),
    }
}

fn not_safe(reason: impl Into<String>) -> Skip {
    Skip::new(Outcome::Unsafe, reason)
}
