use camino::Utf8Path;
use catalog_core::{EntryFile, LocalModel, ModelDigest};

use crate::{
    ProvisionError, Untrusted,
    cache::Cache,
    verification::{VerifyError, describe},
};

/// Why a fetched model was not kept.
pub(crate) enum KeepError {
    Untrusted(Untrusted),
    Cache(ProvisionError),
}

/// Reads the header of a fetched model whose digest is right, and only then puts it at its place. Blocks.
pub(crate) fn keep_verified(
    fetched: &Utf8Path,
    place: &Utf8Path,
    source_ref: String,
    digest: ModelDigest,
    was_expected: bool,
) -> Result<LocalModel, KeepError> {
    let cannot =
        |source| KeepError::Cache(ProvisionError::Cache { path: fetched.to_owned(), source });
    let mut file = std::fs::File::open(fetched).map_err(cannot)?;
    let model = describe(&mut file, place, source_ref, digest, was_expected);
    let model = model.map_err(|error| match error {
        VerifyError::File(source) => cannot(source),
        VerifyError::Untrusted(untrusted) => KeepError::Untrusted(untrusted),
    })?;
    Cache::keep(fetched, place).map_err(KeepError::Cache)?;
    let path = place.canonicalize_utf8().map_err(cannot)?;
    Ok(LocalModel { first: EntryFile { path, ..model.first }, ..model })
}
