use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
};

use camino::Utf8Path;
use catalog_core::{EntryFile, FileStamp, LocalModel, ModelDigest, VerifyResult};
use gguf::Header;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{Untrusted, progress::Steps};

/// How much is read at a time, in bytes.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;

/// Size of an element of keys and values that `kv_bytes_per_token` is told for: 16 bits, what engines keep
/// them in where nobody says otherwise.
pub(crate) const KV_ELEMENT_BYTES: u64 = 2;

/// Why a file was not verified.
pub(crate) enum VerifyError {
    File(io::Error),
    Untrusted(Untrusted),
}

impl From<io::Error> for VerifyError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<Untrusted> for VerifyError {
    fn from(untrusted: Untrusted) -> Self {
        Self::Untrusted(untrusted)
    }
}

/// Reads all bytes of the file at `path`, which has no symbolic links, checks its digest, and reads its
/// header from the very file that was hashed. Blocks.
pub(crate) fn verify(
    path: &Utf8Path,
    source_ref: String,
    expected: Option<ModelDigest>,
    steps: &Steps,
) -> Result<LocalModel, VerifyError> {
    let before = FileStamp::read(path)?; // refuses pipes and devices, which opening could wait for
    let mut file = File::open(path)?;
    let seen = |done| steps.verifying(done, before.size_bytes);
    let actual = hash(&mut file, &seen, &steps.stop)?;
    check_digest(expected, actual)?;
    file.rewind()?;
    let model = describe(&mut file, path, source_ref, actual, expected.is_some());
    let unchanged = FileStamp::of(&file.metadata()?) == before && FileStamp::read(path)? == before;
    if unchanged { model } else { Err(Untrusted::ChangedWhileRead.into()) }
}

/// What the header of a file says whose digest is known. Blocks.
pub(crate) fn describe(
    file: &mut File,
    path: &Utf8Path,
    source_ref: String,
    sha256: ModelDigest,
    was_expected: bool,
) -> Result<LocalModel, VerifyError> {
    let header_error = |error| match error {
        gguf::GgufError::Io { source, .. } => VerifyError::File(source),
        source => Untrusted::Header { source }.into(),
    };
    let header = Header::read(&mut *file).map_err(header_error)?;
    let architecture = header.architecture().map_err(header_error)?.to_owned();
    let stamp = FileStamp::of(&file.metadata()?);
    Ok(LocalModel {
        source_ref,
        resolved_ref: None,
        first: EntryFile { path: path.to_owned(), sha256, stamp },
        others: Vec::new(),
        format: Some("gguf".to_owned()),
        architecture: Some(architecture),
        quant: header.quantization().map(str::to_owned),
        // Not every architecture has one.
        ctx_max: header.context_length().ok().map(u64::from),
        kv_bytes_per_token: header.kv_bytes_per_token(KV_ELEMENT_BYTES).ok(),
        verify_result: if was_expected { VerifyResult::Pass } else { VerifyResult::Warn },
    })
}

pub(crate) fn check_digest(
    expected: Option<ModelDigest>,
    actual: ModelDigest,
) -> Result<(), Untrusted> {
    match expected {
        Some(expected) if expected != actual => Err(Untrusted::Digest { expected, actual }),
        _ => Ok(()),
    }
}

/// The error of work that nobody waits for any more. Nobody sees it.
pub(crate) fn abandoned() -> io::Error {
    io::Error::other("nobody waits for this any more")
}

/// The digest of what is left of a file; `seen` is told how many bytes were read.
pub(crate) fn hash(
    file: &mut File,
    seen: &dyn Fn(u64),
    stop: &CancellationToken,
) -> io::Result<ModelDigest> {
    let mut hasher = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    let mut done = 0;
    loop {
        if stop.is_cancelled() {
            return Err(abandoned());
        }
        match file.read(&mut block)? {
            0 => return Ok(ModelDigest::new(hasher.finalize().into())),
            count => {
                hasher.update(&block[..count]);
                done += count as u64;
                seen(done);
            }
        }
    }
}
