use std::{
    fs::File,
    io::{Read as _, Write as _},
};

use camino::Utf8Path;
use catalog_core::ModelDigest;
use sha2::{Digest as _, Sha256};
use zip::{ZipArchive, result::ZipError};

use crate::{
    ProvisionError, Untrusted,
    kept_model::KeepError,
    progress::Steps,
    verification::{BLOCK_BYTES, abandoned},
};

/// How many times larger than its packed form a model may be. Weights hardly shrink at all; what grows
/// more than this was made to fill the disk.
const EXPANSION_MAX: u64 = 100;

/// Why a member was not taken out.
pub(crate) enum MemberError {
    Missing,
    Untrusted(Untrusted),
    Cache(ProvisionError),
}

impl From<KeepError> for MemberError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Untrusted(untrusted) => Self::Untrusted(untrusted),
            KeepError::Cache(error) => Self::Cache(error),
        }
    }
}

impl From<Untrusted> for MemberError {
    fn from(untrusted: Untrusted) -> Self {
        Self::Untrusted(untrusted)
    }
}

/// Takes one member out of the zip archive at `archive` to the file `to`, and gives its digest. Blocks.
pub(crate) fn take_out(
    archive: &Utf8Path,
    member: &str,
    to: &Utf8Path,
    max_bytes: u64,
    steps: &Steps,
) -> Result<ModelDigest, MemberError> {
    let disk = |path: &Utf8Path| {
        let path = path.to_owned();
        move |source| MemberError::Cache(ProvisionError::Cache { path, source })
    };
    let opened = File::open(archive).map_err(disk(archive))?;
    let mut zip = ZipArchive::new(opened).map_err(|error| wrong(&error))?;
    let index = zip.index_for_name(member).ok_or(MemberError::Missing)?;
    let mut packed = zip.by_index(index).map_err(|error| wrong(&error))?;
    let size_bytes = packed.size();
    if !packed.is_file() {
        return Err(Untrusted::Archive { reason: "the member is no file".to_owned() }.into());
    }
    if size_bytes > max_bytes {
        return Err(Untrusted::TooLarge { size_bytes, limit_bytes: max_bytes }.into());
    }
    let room = packed.compressed_size().saturating_mul(EXPANSION_MAX);
    if size_bytes > room.saturating_add(BLOCK_BYTES as u64) {
        let reason = format!("the member grows more than {EXPANSION_MAX} times");
        return Err(Untrusted::Archive { reason }.into());
    }

    let mut file = File::create(to).map_err(disk(to))?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    let mut done = 0;
    loop {
        if steps.stop.is_cancelled() {
            return Err(disk(to)(abandoned()));
        }
        // Checks the sum of the member, too, when it comes to its end.
        let count = packed
            .read(&mut block)
            .map_err(|error| Untrusted::Archive { reason: error.to_string() })?;
        if count == 0 {
            break;
        }
        done += count as u64;
        if done > size_bytes {
            let reason = "the member is larger than it says".to_owned();
            return Err(Untrusted::Archive { reason }.into());
        }
        hasher.update(&block[..count]);
        file.write_all(&block[..count]).map_err(disk(to))?;
        steps.verifying(done, size_bytes);
    }
    if done < size_bytes {
        return Err(Untrusted::Archive { reason: "the member is cut off".to_owned() }.into());
    }
    file.sync_all().map_err(disk(to))?;
    make_read_only(&file).map_err(disk(to))?;
    Ok(ModelDigest::new(hasher.finalize().into()))
}

fn wrong(error: &ZipError) -> MemberError {
    MemberError::Untrusted(Untrusted::Archive { reason: error.to_string() })
}

/// A model in the cache is never written to again.
fn make_read_only(file: &File) -> std::io::Result<()> {
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)
}
