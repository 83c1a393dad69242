use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use adapter_host::{AdapterHost, EngineAdapter as _, ReplicaKey};
use anyhow::{Context as _, anyhow};
use camino::Utf8Path;
use catalog_core::{Alias, Catalog, Entry, ModelReference};
use config_schema::{CandlePool, Config, Model};
use engine_candle::{CandleConfig, CandleEngine, Vocabulary};
use model_provisioner::{Progress, ProvisionError, Provisioner, WallClock};
use narration::{Fact, human};
use orchestrator::{MemoryShortage, Orchestrator, PoolFacts, PoolModel, PoolState};
use orchestrator_metrics::DaemonMetrics;
use prompt::PromptModel;

use crate::{
    announce::announce,
    catalog_work::Meter,
    models::{Models, Preparation},
    progress_line::ProgressLine,
};

/// Pause before a model that could not be had is tried again: first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// A pool whose engine computes in this process.
#[derive(Clone)]
pub(crate) struct EmbeddedPool {
    pub(crate) replica: ReplicaKey,
    pub(crate) model_name: String,
    pub(crate) model: Model,
    pub(crate) pool: CandlePool,
}

impl EmbeddedPool {
    /// The pool as the configuration describes it.
    ///
    /// # Errors
    /// It does not say which one model the pool holds.
    pub(crate) fn new(pool_id: &str, pool: &CandlePool, config: &Config) -> anyhow::Result<Self> {
        let all: Vec<String> = config.models.keys().cloned().collect();
        let names = pool.models.as_ref().unwrap_or(&all);
        let [name] = names.as_slice() else {
            return Err(anyhow!(
                "pools.{pool_id}.models: name the one model that this pool holds; configured are: {}",
                all.join(", ")
            ));
        };
        let model = config.models.get(name).context("the configuration names this model")?;
        check_version(pool).with_context(|| format!("pools.{pool_id}.engine_version"))?;
        Ok(Self {
            replica: ReplicaKey::new(pool_id, "0"),
            model_name: name.clone(),
            model: model.clone(),
            pool: pool.clone(),
        })
    }

    /// What is known of the pool before its model is here.
    pub(crate) fn facts(&self, state: PoolState, models: &Models) -> PoolFacts {
        let id = models.pinned(&self.model_name).map(|digest| digest.to_string());
        PoolFacts {
            replica: self.replica.clone(),
            state,
            last_error: None,
            shortage: None,
            engine: "candle".to_owned(),
            engine_version: engine_candle::version(),
            sampler_profile: self.pool.sampler_profile_version.clone().unwrap_or_default(),
            in_process: true,
            is_verified: true,
            slots: 1,
            address: None,
            features: engine_candle::FEATURES,
            models_of: Arc::clone(&self.replica.pool_id),
            models: id.into_iter().map(|id| self.pool_model(&id, None)).collect(),
        }
    }

    /// Most tokens of context that the engine is asked for.
    fn ctx_max(&self) -> u32 {
        let engine_default = CandleConfig::new(String::new(), NonZeroUsize::MIN).ctx_max;
        let of_model = self.model.ctx_max.map_or(engine_default, |max| max.min(engine_default));
        self.pool.ctx.unwrap_or(of_model)
    }

    /// Whether the pool may take the memory that its model needs.
    ///
    /// # Errors
    /// It may not; or the file holds no model that the engine computes.
    fn check_memory(&self, header: &gguf::Header) -> anyhow::Result<()> {
        let Some(available_bytes) = self.pool.memory_bytes else { return Ok(()) };
        let needed_bytes = engine_candle::memory_bytes(header, self.ctx_max())?;
        if needed_bytes > available_bytes {
            return Err(TooLarge(MemoryShortage { needed_bytes, available_bytes }).into());
        }
        Ok(())
    }

    fn pool_model(&self, id: &str, ctx_max: Option<u32>) -> PoolModel {
        let configured = self.pool.ctx.into_iter().chain(self.model.ctx_max);
        PoolModel {
            id: id.into(),
            engine_name: self.model_name.as_str().into(),
            ctx_max: ctx_max.into_iter().chain(configured).min(),
        }
    }
}

/// The model needs more memory than the pool may take.
#[derive(Debug, thiserror::Error)]
#[error(
    "the model needs {} bytes of memory for weights and context, and the pool's memory_bytes is {}; grant \
     more, or set a smaller ctx",
    .0.needed_bytes, .0.available_bytes
)]
struct TooLarge(MemoryShortage);

/// Whether this build has the engine that the pool asks for.
///
/// # Errors
/// It has another version.
pub(crate) fn check_version(pool: &CandlePool) -> anyhow::Result<()> {
    let own = engine_candle::version();
    let is_other = pool.engine_version.as_ref().is_some_and(|wanted| *wanted != own);
    anyhow::ensure!(!is_other, "this build's engine has version {own:?}; give that, or no version");
    Ok(())
}

/// Whether one may go on in place of the other: names and limits of requests are not the engine's.
impl PartialEq for EmbeddedPool {
    fn eq(&self, other: &Self) -> bool {
        let engine = |pool: &Self| {
            let profile = pool.pool.sampler_profile_version.clone();
            let memory_bytes = pool.pool.memory_bytes;
            (pool.pool.threads, pool.pool.ctx, memory_bytes, pool.model.ctx_max, profile)
        };
        self.model_name == other.model_name
            && self.model.source == other.model.source
            && self.model.sha256 == other.model.sha256
            && engine(self) == engine(other)
    }
}

impl Eq for EmbeddedPool {}

/// What an embedded pool is brought up with.
pub(crate) struct Workshop {
    pub(crate) orchestrator: Arc<Orchestrator>,
    pub(crate) host: AdapterHost,
    pub(crate) models: Arc<Models>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) provisioner: Provisioner,
    pub(crate) metrics: Arc<DaemonMetrics>,
    pub(crate) now_ms: WallClock,
}

impl Workshop {
    /// Fetches a pool's model where it is missing, loads it, and opens the pool; tries again for as long
    /// as it takes. `on_ready` is called once.
    pub(crate) async fn bring_up(&self, pool: EmbeddedPool, on_ready: impl FnOnce(&str)) {
        let mut pause = RETRY.0;
        loop {
            match self.try_bring_up(&pool).await {
                Ok(()) => return on_ready(&pool.model_name),
                Err(error) => {
                    let reason = format!("{error:#}");
                    tracing::error!(
                        event = "model_unavailable",
                        model = pool.model_name,
                        source = pool.model.source,
                        error = reason,
                        retry_in_s = pause.as_secs(),
                        human = human(&Fact::NotToBeHad {
                            model: &pool.model_name,
                            retry_in_s: pause.as_secs(),
                        }),
                    );
                    announce(&how_to_mend(&pool, &reason, pause));
                    self.models
                        .note(&pool.model_name, Preparation::Failed { reason: reason.clone() });
                    // Only another configuration changes what it may take.
                    let shortage = error.downcast_ref().map(|TooLarge(shortage)| *shortage);
                    let last_error = Some(reason);
                    if shortage.is_some() {
                        let facts = self.known(&pool, PoolState::Failed);
                        self.orchestrator.put_pool(PoolFacts { last_error, shortage, ..facts });
                        return;
                    }
                    let facts = pool.facts(PoolState::Backoff, &self.models);
                    self.orchestrator.put_pool(PoolFacts { last_error, ..facts });
                }
            }
            // A model that somebody brought here meanwhile may be the one.
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY.1),
                () = self.models.registration() => {}
            }
        }
    }

    /// What is known of a pool, with the models that were known of it before.
    fn known(&self, pool: &EmbeddedPool, state: PoolState) -> PoolFacts {
        let mut facts = pool.facts(state, &self.models);
        let former = self.orchestrator.pool(&pool.replica);
        if let Some(former) = former.filter(|_| facts.models.is_empty()) {
            facts.models.clone_from(&former.models);
        }
        facts
    }

    async fn try_bring_up(&self, pool: &EmbeddedPool) -> anyhow::Result<()> {
        self.orchestrator.put_pool(pool.facts(PoolState::Provisioning, &self.models));
        let provisioned = self.provision(pool).await;
        match &provisioned {
            Ok(_) => self.metrics.model_verified(true),
            Err(error) if is_untrusted(error) => self.metrics.model_verified(false),
            Err(_) => {}
        }
        let entry = provisioned?;
        let human = human(&Fact::Verified { model: &pool.model_name });
        tracing::info!(event = "model_here", model = pool.model_name, model_id = %entry.id, human);
        self.models.note(&pool.model_name, Preparation::Loading { estimated_ms: None });
        let id = entry.id.to_string();
        let loading = PoolFacts {
            models: vec![pool.pool_model(&id, None)],
            ..pool.facts(PoolState::Preloading, &self.models)
        };
        self.orchestrator.put_pool(loading.clone());
        let path = entry.files.first().context("a local model has a file")?.path.clone();
        self.catalog.recheck_unchanged(&entry.id).await?;
        let header = read_header(&path).await?;
        pool.check_memory(&header)?;
        let prompts = prompts_of(header).await?;
        self.models.put_prompts(&id, Arc::clone(&prompts));
        let engine = self.load(pool, &path, prompts, &entry).await?;
        let props = engine.props().await.context("the engine does not say what it is")?;
        let ctx_max = props.models.first().and_then(|model| model.ctx_max);
        self.host.bind(pool.replica.clone(), Arc::new(engine));
        self.models.note(&pool.model_name, Preparation::Ready);
        self.orchestrator.put_pool(PoolFacts {
            state: PoolState::Ready,
            engine: props.engine,
            engine_version: props.engine_version,
            slots: props.slots,
            features: props.features,
            models: vec![pool.pool_model(&id, ctx_max)],
            ..loading
        });
        Ok(())
    }

    async fn provision(&self, pool: &EmbeddedPool) -> anyhow::Result<Arc<Entry>> {
        let reference: ModelReference = pool.model.source.parse()?;
        let names = std::iter::once(&pool.model_name).chain(&pool.model.aliases);
        let aliases: Vec<Alias> = names.map(|name| name.parse()).collect::<Result<_, _>>()?;
        let expected = self.models.pinned(&pool.model_name);
        // By its digest it may be here although its source is gone.
        if let Some(entry) = self.provisioner.look_up(&reference, expected).await? {
            for alias in aliases {
                if self.catalog.find(alias.as_str()).is_none_or(|named| named.id != entry.id) {
                    self.catalog.set_alias(alias, &entry.id).await?;
                }
            }
            self.models.give_free_names().await;
            return Ok(entry);
        }
        // Nothing is fetched that may not be used.
        self.catalog.trust().check(&reference.to_string(), expected.is_some(), &[])?;
        let line = ProgressLine::new(&pool.model_name);
        let meter = Meter::default();
        let progress = |progress: Progress| {
            line.show(&progress);
            let measured = meter.read(progress, (self.now_ms)());
            let fetching = Preparation::Fetching {
                bytes_done: measured.bytes_done.unwrap_or_default(),
                bytes_total: measured.bytes_total,
                estimated_ms: measured.estimated_ms,
            };
            self.models.note(&pool.model_name, fetching);
        };
        let ensured = self.provisioner.ensure(&reference, expected, &aliases, &progress).await;
        line.finish();
        let entry = ensured?;
        self.models.give_free_names().await;
        Ok(entry)
    }

    async fn load(
        &self,
        pool: &EmbeddedPool,
        path: &Utf8Path,
        prompts: Arc<PromptModel>,
        entry: &Entry,
    ) -> anyhow::Result<CandleEngine> {
        let configured = pool.pool.threads.and_then(|threads| usize::try_from(threads).ok());
        let threads = configured
            .and_then(NonZeroUsize::new)
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN);
        let mut config = CandleConfig::new(pool.model_name.clone(), threads);
        config.ctx_max = pool.ctx_max();
        CandleEngine::load(path.to_owned(), Arc::new(PromptVocabulary(prompts)), config, |_| {})
            .await
            .with_context(|| format!("cannot load {}", entry.id))
    }
}

/// Whether the bytes were there and were not what they should be.
fn is_untrusted(error: &anyhow::Error) -> bool {
    let provisioning = error.downcast_ref::<Arc<ProvisionError>>().map(|error| &**error);
    matches!(provisioning, Some(ProvisionError::UntrustedArtifact { .. }))
}

fn how_to_mend(pool: &EmbeddedPool, reason: &str, pause: Duration) -> String {
    let name = &pool.model_name;
    format!(
        "model {name} is not to be had: {reason}\n  It is tried again in {} s. To use a file that is here \
         already, put into the configuration:\n  [models.{name}]\n  source = \"file:/path/to/model.gguf\"",
        pause.as_secs()
    )
}

/// Reads what a model's file says of it.
async fn read_header(path: &Utf8Path) -> anyhow::Result<gguf::Header> {
    let path = path.to_owned();
    let read = move || -> anyhow::Result<gguf::Header> {
        let mut file = std::fs::File::open(&path).with_context(|| format!("cannot open {path}"))?;
        Ok(gguf::Header::read(&mut file)?)
    };
    tokio::task::spawn_blocking(read).await.context("reading the model's header failed")?
}

/// Makes a model's tokenizer and template from its header.
async fn prompts_of(header: gguf::Header) -> anyhow::Result<Arc<PromptModel>> {
    let make = move || Ok(Arc::new(PromptModel::from_gguf(&header)?));
    tokio::task::spawn_blocking(make).await.context("reading the model's tokenizer failed")?
}

/// The model's own tokenizer tells the engine what its tokens stand for.
struct PromptVocabulary(Arc<PromptModel>);

impl Vocabulary for PromptVocabulary {
    fn token_bytes(&self, id: u32) -> &[u8] {
        self.0.token_bytes(id).unwrap_or_default()
    }

    fn ends_generation(&self, id: u32) -> bool {
        self.0.is_end_of_generation(id)
    }
}
