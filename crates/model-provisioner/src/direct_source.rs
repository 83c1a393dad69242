use std::sync::Arc;

use catalog_core::{LocalModel, ModelDigest, ModelReference};
use fetch::{Credentials, FetchError, Fetcher, FileRequest};
use url::Url;

use crate::{
    ProvisionError, Untrusted,
    blocking::blocking,
    cache::Cache,
    kept_model::{KeepError, keep_verified},
    progress::Steps,
    verification::check_digest,
};

/// A model that one address gives as it is.
pub(crate) struct DirectSource<'a> {
    pub(crate) fetcher: &'a Fetcher,
    pub(crate) cache: &'a Cache,
    pub(crate) reference: &'a ModelReference,
    pub(crate) url: Url,
    /// What the file is called there.
    pub(crate) name: &'a str,
    pub(crate) credentials: Option<Credentials>,
    /// The digest that whoever asked expects.
    pub(crate) expected: Option<ModelDigest>,
    /// The digest that the source tells, where it does.
    pub(crate) told: Option<ModelDigest>,
    pub(crate) steps: &'a Steps,
}

impl DirectSource<'_> {
    /// Fetches the model, checks it, and puts it at its place in the cache.
    pub(crate) async fn obtain(self) -> Result<LocalModel, ProvisionError> {
        if let (Some(expected), Some(actual)) = (self.expected, self.told) {
            // Known before a byte was fetched.
            check_digest(Some(expected), actual).map_err(|source| self.untrusted(source))?;
        }
        let workshop = self.cache.workshop(self.reference);
        let wanted = self.expected.or(self.told);
        let request = FileRequest {
            url: self.url.clone(),
            credentials: self.credentials.clone(),
            target: workshop.join("model"),
            expected_sha256: wanted.map(|digest| *digest.as_bytes()),
            max_bytes: None,
        };
        let fetched = self.fetcher.file(request, &|now| self.steps.fetching(now)).await;
        let fetched = fetched.map_err(|source| match *source {
            FetchError::DigestMismatch { .. } => {
                self.untrusted(Untrusted::FetchedDigest { source })
            }
            _ => self.cannot_fetch(source),
        })?;
        let digest = ModelDigest::new(fetched.sha256);
        let place = self.cache.place(digest, self.name);
        let (source_ref, was_expected) = (self.reference.to_string(), self.expected.is_some());
        let kept = blocking(move || {
            let kept = keep_verified(&fetched.path, &place, source_ref, digest, was_expected);
            // A model whose header is wrong is of no use to the next try either.
            Cache::discard(&workshop).map_err(KeepError::Cache).and(kept)
        });
        kept.await.map_err(|error| match error {
            KeepError::Untrusted(source) => self.untrusted(source),
            KeepError::Cache(error) => error,
        })
    }

    fn untrusted(&self, source: Untrusted) -> ProvisionError {
        ProvisionError::UntrustedArtifact { reference: self.reference.to_string(), source }
    }

    fn cannot_fetch(&self, source: Arc<FetchError>) -> ProvisionError {
        let reference = self.reference.to_string();
        ProvisionError::Fetch { reference, expected: self.expected, source }
    }
}
