use std::{io, sync::Arc};

use camino::Utf8PathBuf;
use catalog_core::{CatalogError, CatalogId, ModelDigest};
use fetch::FetchError;
use gguf::GgufError;

/// Why a model is not there.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The file, or what its links lead to, lies outside the configured roots.
    #[error(
        "{path} lies outside the configured model roots; move it there or add its folder to them"
    )]
    OutsideRoots {
        /// The path of the reference.
        path: Utf8PathBuf,
    },
    /// The file is not there or is not readable.
    #[error("cannot read the model file {path}; check the path and its permissions")]
    File {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The bytes are not what they should be. A copy in the cache is deleted, a file in place is not.
    #[error("{reference} is not to be trusted")]
    UntrustedArtifact {
        /// The model.
        reference: String,
        /// What is wrong.
        #[source]
        source: Untrusted,
    },
    /// Neither index nor hub has what the reference names.
    #[error("{reference} is not to be had: {reason}")]
    NotFound {
        /// The model.
        reference: String,
        /// What is missing.
        reason: &'static str,
    },
    /// It could not be fetched.
    #[error("{reference} (expected digest: {}) is not here and cannot be fetched", shown(.expected))]
    Fetch {
        /// The model.
        reference: String,
        /// The digest that it must have.
        expected: Option<ModelDigest>,
        /// Why not.
        #[source]
        source: Arc<FetchError>,
    },
    /// The cache cannot be written.
    #[error("cannot keep the model at {path}; check the disk and its permissions")]
    Cache {
        /// The file or folder.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Only an attached engine holds the model.
    #[error("model `{id}` has no files here; its engine holds it")]
    NoFiles {
        /// The model.
        id: CatalogId,
    },
    /// The catalog does not take it.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What is wrong with bytes.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// They have another digest.
    #[error("its digest is {actual} in place of {expected}")]
    Digest {
        /// The digest that was expected.
        expected: ModelDigest,
        /// The one that they have.
        actual: ModelDigest,
    },
    /// What was fetched has another digest than it must have.
    #[error("its bytes are not those of the digest that it must have")]
    FetchedDigest {
        /// Both digests.
        #[source]
        source: Arc<FetchError>,
    },
    /// The archive has another digest than the index says.
    #[error("its archive is not the one that the index names")]
    ArchiveDigest {
        /// Both digests.
        #[source]
        source: Arc<FetchError>,
    },
    /// The header of the model does not hold.
    #[error("its header is wrong")]
    Header {
        /// Where and how.
        #[source]
        source: GgufError,
    },
    /// The archive is damaged, or made to do harm.
    #[error("its archive is wrong: {reason}")]
    Archive {
        /// In what way.
        reason: String,
    },
    /// Larger than anything may be.
    #[error("its {size_bytes} bytes are more than the limit of {limit_bytes}")]
    TooLarge {
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// Somebody wrote to the file while it was read.
    #[error("its file changed while it was read; try again when nobody writes to it")]
    ChangedWhileRead,
}

impl ProvisionError {
    /// Whether nothing could be reached, or nothing may be.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        matches!(self, Self::Fetch { source, .. } if source.is_offline())
    }
}

fn shown(expected: &Option<ModelDigest>) -> String {
    expected.map_or_else(|| "any".to_owned(), |digest| digest.to_string())
}
