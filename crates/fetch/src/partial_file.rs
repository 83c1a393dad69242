use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use url::Url;

use crate::{FetchError, FetchedFile};

/// Longest note beside an unfinished file, in bytes.
const NOTE_BYTES_MAX: u64 = 4096;

/// A file that is not whole yet, locked against other processes, with the digest of what is there.
///
/// Its methods take it and give it back, as the work is done on a thread that may block. A note beside
/// it says what it is a part of: the digest of the URL, and what the server calls this version.
pub(crate) struct PartialFile {
    target: Utf8PathBuf,
    url_digest: String,
    file: File,
    hasher: Sha256,
    len: u64,
    validator: Option<Arc<str>>,
    is_pieced: bool,
}

impl PartialFile {
    /// What is there of the file that belongs at `target`, created empty where nothing of `url` is.
    pub(crate) async fn open(target: &Utf8Path, url: &Url) -> Result<Self, FetchError> {
        let target = target.to_owned();
        let url_digest = hex(&Sha256::digest(url.as_str()).into());
        blocking(move || {
            let path = partial_path(&target);
            let disk = |source| FetchError::Disk { path: path.clone(), source };
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder).map_err(disk)?;
            }
            let mut options = File::options();
            let file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(disk)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(FetchError::Busy { path }),
                Err(TryLockError::Error(source)) => return Err(FetchError::Disk { path, source }),
            }
            let mut partial = Self {
                target,
                url_digest,
                file,
                hasher: Sha256::new(),
                len: 0,
                validator: None,
                is_pieced: false,
            };
            partial.take_up().map_err(disk)?;
            Ok(partial)
        })
        .await
    }

    /// Bytes that are there.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// What the server called the version that the bytes are of.
    pub(crate) fn validator(&self) -> Option<&str> {
        self.validator.as_deref()
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        self.hasher.clone().finalize().into()
    }

    /// Whether its bytes came with more than one answer, or may have.
    pub(crate) fn is_pieced(&self) -> bool {
        self.is_pieced
    }

    /// The same, once what it has is to be followed by a piece from another answer.
    pub(crate) fn pieced(self) -> Self {
        Self { is_pieced: self.len > 0, ..self }
    }

    /// The file with nothing in it.
    pub(crate) async fn emptied(self) -> Result<Self, FetchError> {
        if self.len == 0 {
            return Ok(self);
        }
        self.change(Self::empty).await
    }

    /// The file with more at its end.
    pub(crate) async fn with(self, bytes: Vec<u8>) -> Result<Self, FetchError> {
        if bytes.is_empty() {
            return Ok(self);
        }
        self.change(move |partial| {
            partial.file.write_all(&bytes)?;
            partial.hasher.update(&bytes);
            partial.len += bytes.len() as u64;
            Ok(())
        })
        .await
    }

    /// The file with a note of its version, for the next process.
    pub(crate) async fn remembering(self, validator: Option<Arc<str>>) -> Result<Self, FetchError> {
        self.change(move |partial| {
            partial.validator = validator;
            let validator = partial.validator.as_deref().unwrap_or_default();
            let note = format!("{}\n{validator}\n", partial.url_digest);
            fs::write(note_path(&partial.target), note)
        })
        .await
    }

    pub(crate) async fn delete(self) -> Result<(), FetchError> {
        self.change(|partial| {
            fs::remove_file(partial_path(&partial.target))?;
            remove_if_there(&note_path(&partial.target))
        })
        .await
        .map(drop)
    }

    /// Puts the whole file at its place, on disk before anyone sees it there.
    pub(crate) async fn moved_to_its_place(self) -> Result<FetchedFile, FetchError> {
        let partial = self
            .change(|partial| {
                partial.file.sync_all()?;
                fs::rename(partial_path(&partial.target), &partial.target)?;
                remove_if_there(&note_path(&partial.target))?;
                let folder = partial.target.parent().unwrap_or(Utf8Path::new("."));
                File::open(folder)?.sync_all()
            })
            .await?;
        let sha256 = partial.sha256();
        Ok(FetchedFile { sha256, size_bytes: partial.len, path: partial.target })
    }

    /// Reads what an earlier try left, if it is of the same URL.
    fn take_up(&mut self) -> io::Result<()> {
        let mut note = String::new();
        match File::open(note_path(&self.target)) {
            Ok(file) => drop(file.take(NOTE_BYTES_MAX).read_to_string(&mut note)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut lines = note.lines();
        if lines.next() != Some(self.url_digest.as_str()) {
            return self.empty();
        }
        self.validator = lines.next().filter(|line| !line.is_empty()).map(Arc::from);
        self.len = hash_rest(&mut self.file, &mut self.hasher)?;
        self.is_pieced = self.len > 0;
        Ok(())
    }

    fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = Sha256::new();
        self.len = 0;
        self.validator = None;
        self.is_pieced = false;
        Ok(())
    }

    async fn change(
        mut self,
        change: impl FnOnce(&mut Self) -> io::Result<()> + Send + 'static,
    ) -> Result<Self, FetchError> {
        blocking(move || match change(&mut self) {
            Ok(()) => Ok(self),
            Err(source) => Err(FetchError::Disk { path: partial_path(&self.target), source }),
        })
        .await
    }
}

/// The file at `target`, if it is there with this digest.
pub(crate) async fn already_there(
    target: &Utf8Path,
    expected: [u8; 32],
) -> Result<Option<FetchedFile>, FetchError> {
    let path = target.to_owned();
    blocking(move || {
        let disk = |source| FetchError::Disk { path: path.clone(), source };
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(disk)?,
        };
        let mut hasher = Sha256::new();
        let size_bytes = hash_rest(&mut file, &mut hasher).map_err(disk)?;
        let sha256: [u8; 32] = hasher.finalize().into();
        Ok((sha256 == expected).then_some(FetchedFile { path, sha256, size_bytes }))
    })
    .await
}

/// Hashes a file from where it is to its end, and gives the number of bytes.
fn hash_rest(file: &mut File, hasher: &mut Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut read = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(read),
            count => {
                hasher.update(&buffer[..count]);
                read += count as u64;
            }
        }
    }
}

/// 64 lower-case hexadecimal digits.
pub(crate) fn hex(digest: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work)
        .await
        .expect("file work does not panic, and runtimes end after their callers")
}

fn remove_if_there(path: &Utf8Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn partial_path(target: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{target}.partial"))
}

fn note_path(target: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{target}.resume"))
}
