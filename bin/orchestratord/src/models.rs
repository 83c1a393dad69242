use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, RwLock},
};

use adapter_host::EngineModel;
use api_types::{MessageRequest, ModelView, PreparationStep, PreparationView, StepStatus};
use async_trait::async_trait;
use catalog_core::{
    Alias, Catalog, CatalogError, CatalogId, Entry, EntryState, ModelDigest, ResolveError,
    TakenAlias, TrustPolicy,
};
use config_schema::{BaseStrategy, Config, Model, Pool, Trust};
use orchestrator::{
    ModelDirectory, ModelFacts, ModelRefusal, PoolModel, PromptMeter, PromptRefusal, PromptText,
};
use prompt::{PromptError, PromptModel};
use tokio::sync::Notify;

use crate::{fetches::Fetches, placing, view::instant};

/// Prompts longer than this are rendered on a thread of their own, so that they hold nobody up.
const INLINE_PROMPT_BYTES: usize = 16 * 1024;

/// Answer length for models that no section of the configuration speaks of.
const MAX_TOKENS_DEFAULT: u32 = 1024;

/// The models of the configuration and the catalog, as admission asks for them.
pub(crate) struct Models {
    catalog: Arc<Catalog>,
    setup: RwLock<Arc<Setup>>,
    fetches: Fetches,
    /// Fires when a model was registered or verified, so that pools that lack one look again.
    registered: Notify,
    /// Attached pools that have not told their models yet.
    unheard: Mutex<BTreeSet<String>>,
    prompts: RwLock<HashMap<String, Arc<PromptModel>>>,
    now_ms: model_provisioner::WallClock,
}

/// What the configuration says of models.
struct Setup {
    models: BTreeMap<String, Arc<ConfiguredModel>>,
    /// Further names, and which model each means.
    aliases: BTreeMap<String, String>,
    default_model: Option<String>,
    /// What `session-sticky` of a model chooses by without a session.
    base: BaseStrategy,
}

struct ConfiguredModel {
    model: Model,
    digest: Option<ModelDigest>,
    state: Arc<Mutex<Preparation>>,
}

/// How far a configured model is.
#[derive(Debug, Clone)]
pub(crate) enum Preparation {
    /// Its bytes are on their way.
    Fetching { bytes_done: u64, bytes_total: Option<u64>, estimated_ms: Option<u64> },
    /// Its bytes are here; the engine reads them, which takes so long if it is as fast as before.
    Loading { estimated_ms: Option<u64> },
    /// It answers.
    Ready,
    /// It is not to be had now.
    Failed { reason: String },
}

impl Models {
    pub(crate) fn new(
        catalog: Arc<Catalog>,
        config: &Config,
        now_ms: model_provisioner::WallClock,
    ) -> Self {
        let is_attached = |pool: &Pool| matches!(pool, Pool::OpenAi(_));
        let unheard = config.pools.iter().filter(|(_, pool)| is_attached(pool));
        let unheard = unheard.map(|(id, _)| id.clone());
        Self {
            catalog,
            setup: RwLock::new(Arc::new(Setup::new(config, None))),
            fetches: Fetches::default(),
            registered: Notify::new(),
            unheard: Mutex::new(unheard.collect()),
            prompts: RwLock::default(),
            now_ms,
        }
    }

    /// Takes over what a configuration says of models, their names and whom to trust. Pools stay as they
    /// are: what they hold they go on with. The names of the configuration are given anew, wherever they
    /// were moved meanwhile.
    ///
    /// # Errors
    /// A name could not be given.
    pub(crate) async fn apply(&self, config: &Config) -> Result<(), CatalogError> {
        self.catalog.set_trust(trust_policy(&config.catalog));
        let setup = Setup::new(config, Some(&self.setup()));
        *self.setup.write().expect("no holder panics") = Arc::new(setup);
        self.give_names(TakenAlias::Move).await
    }

    /// Points the configuration's names to those of their models that are here.
    async fn give_names(&self, taken: TakenAlias) -> Result<(), CatalogError> {
        for (name, id) in self.setup().names(&self.catalog) {
            let Ok(alias) = name.parse::<Alias>() else { continue };
            let now = self.catalog.find(&name);
            let is_free = now.is_none() || taken == TakenAlias::Move;
            if is_free && now.is_none_or(|now| now.id != id) {
                self.catalog.set_alias(alias, &id).await?;
            }
        }
        Ok(())
    }

    /// Gives the names of the configuration that waited for their model.
    pub(crate) async fn give_free_names(&self) {
        if let Err(error) = self.give_names(TakenAlias::Keep).await {
            tracing::error!(error = %error, "names of the configuration cannot be given");
        }
    }

    /// Says that somebody registered or verified a model: names that waited for it are given, and pools that
    /// lack one look again.
    pub(crate) async fn registered(&self) {
        self.give_free_names().await;
        self.registered.notify_waiters();
    }

    /// Waits until a model was registered or verified.
    pub(crate) async fn registration(&self) {
        self.registered.notified().await;
    }

    /// Models that operations fetch now.
    pub(crate) fn fetches(&self) -> &Fetches {
        &self.fetches
    }

    /// The id in `[models]` under which the configuration asks for a model, if it does.
    pub(crate) fn configured_as(&self, id: &CatalogId) -> Option<String> {
        self.setup().model_of(id, &self.catalog).map(|(name, _)| name.to_owned())
    }

    fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup.read().expect("no holder panics"))
    }

    /// The digest that the configuration pins for a model.
    pub(crate) fn pinned(&self, model: &str) -> Option<ModelDigest> {
        self.setup().models.get(model).and_then(|configured| configured.digest)
    }

    /// Says how far a configured model is.
    pub(crate) fn note(&self, model: &str, preparation: Preparation) {
        if let Some(configured) = self.setup().models.get(model) {
            *configured.state.lock().expect("no holder panics") = preparation;
        }
    }

    /// Says that a pool before another server is there, which has not told its models yet.
    pub(crate) fn await_pool(&self, pool_id: &str) {
        self.unheard.lock().expect("no holder panics").insert(pool_id.to_owned());
    }

    /// Says that a pool is gone: its models are waited for no more.
    pub(crate) fn forget_pool(&self, pool_id: &str) {
        self.unheard.lock().expect("no holder panics").remove(pool_id);
    }

    /// Frees a model's tokenizer and template.
    pub(crate) fn forget_prompts(&self, model_id: &str) {
        self.prompts.write().expect("no holder panics").remove(model_id);
    }

    /// Makes a model's own tokenizer and template available.
    pub(crate) fn put_prompts(&self, model_id: &str, prompts: Arc<PromptModel>) {
        self.prompts.write().expect("no holder panics").insert(model_id.to_owned(), prompts);
    }

    /// A name that stands for nothing known: it may be a model of a pool that has not answered yet.
    fn unknown(&self, model: String) -> ModelRefusal {
        let unheard = self.unheard.lock().expect("no holder panics");
        if unheard.is_empty() {
            return ModelRefusal::Unknown(model);
        }
        let pools: Vec<&str> = unheard.iter().map(String::as_str).collect();
        let missing = format!(
            "nothing known has this name, and pool {} has not told its models yet",
            pools.join(", ")
        );
        ModelRefusal::NotAvailable { model, missing, retriable: true }
    }

    fn facts_of(&self, entry: &Entry) -> ModelFacts {
        let setup = self.setup();
        let configured = setup.model_of(&entry.id, &self.catalog).map(|(_, model)| model);
        let own_ctx = entry.ctx_max.and_then(|ctx| u32::try_from(ctx).ok());
        let limit = configured.and_then(|configured| configured.model.ctx_max);
        ModelFacts {
            id: entry.id.to_string().into(),
            digest: entry.id.digest().map(|digest| digest.to_string().into()),
            ctx_max: own_ctx.into_iter().chain(limit).min(),
            max_tokens_default: configured
                .map_or(MAX_TOKENS_DEFAULT, |configured| configured.model.max_tokens_default),
            preparation: configured.map(ConfiguredModel::view).unwrap_or_default(),
            queue_capacity: configured.and_then(|configured| configured.queue_capacity()),
            strategy: configured.and_then(|configured| configured.strategy(setup.base)),
        }
    }

    /// The model that `model_ref` will mean once it is here.
    fn awaited(&self, model_ref: &str, model: String) -> Result<ModelFacts, ModelRefusal> {
        let setup = self.setup();
        let configured = setup.named(model_ref);
        let digest = configured.and_then(|(_, configured)| configured.digest);
        let fetch = digest.and_then(|digest| self.fetches.find(&digest.to_string()));
        let Some(fetch) = fetch.or_else(|| self.fetches.find(model_ref)) else {
            return match configured {
                Some((name, configured)) => configured.unregistered(name, setup.base),
                None => Err(self.unknown(model)),
            };
        };
        let Some(digest) = fetch.digest.or(digest) else {
            return Err(ModelRefusal::NotAvailable {
                model,
                missing: "it is being fetched, and its digest is not known before".to_owned(),
                retriable: true,
            });
        };
        let limits = configured.map(|(_, configured)| &configured.model);
        let warm_up = step("warm_up", "pool_warmup", StepStatus::Pending);
        Ok(ModelFacts {
            id: digest.to_string().into(),
            digest: Some(digest.to_string().into()),
            ctx_max: limits.and_then(|model| model.ctx_max),
            max_tokens_default: limits.map_or(MAX_TOKENS_DEFAULT, |model| model.max_tokens_default),
            preparation: PreparationView { steps: vec![fetch.step(), warm_up] },
            queue_capacity: configured.and_then(|(_, configured)| configured.queue_capacity()),
            strategy: configured.and_then(|(_, configured)| configured.strategy(setup.base)),
        })
    }
}

impl Setup {
    fn new(config: &Config, former: Option<&Self>) -> Self {
        let configured = config.models.iter().map(|(id, model)| {
            let digest = model.sha256.as_deref().and_then(|hex| ModelDigest::from_hex(hex).ok());
            let same = former
                .and_then(|former| former.models.get(id))
                .filter(|former| former.model.source == model.source && former.digest == digest);
            let fetching =
                Preparation::Fetching { bytes_done: 0, bytes_total: None, estimated_ms: None };
            let state = same
                .map_or_else(|| Arc::new(Mutex::new(fetching)), |former| Arc::clone(&former.state));
            (id.clone(), Arc::new(ConfiguredModel { model: model.clone(), digest, state }))
        });
        Self {
            models: configured.collect(),
            aliases: config.aliases.clone(),
            default_model: config.catalog.default_model.clone(),
            base: config.placement.base,
        }
    }

    /// The configured model that a name or id means, if it means one.
    fn named(&self, model_ref: &str) -> Option<(&str, &ConfiguredModel)> {
        let target = self.aliases.get(model_ref).map_or(model_ref, String::as_str);
        let by_name = |(id, configured): &(&String, &Arc<ConfiguredModel>)| {
            id.as_str() == target
                || configured.model.aliases.iter().any(|alias| alias == target)
                || configured.digest.is_some_and(|digest| digest.to_string() == target)
        };
        self.models.iter().find(by_name).map(|(id, configured)| (id.as_str(), &**configured))
    }

    fn model_of(&self, id: &CatalogId, catalog: &Catalog) -> Option<(&str, &ConfiguredModel)> {
        let found = self.models.iter().find(|(name, configured)| {
            let by_digest = configured.digest.is_some() && configured.digest == id.digest();
            by_digest || catalog.find(name).is_some_and(|entry| entry.id == *id)
        });
        found.map(|(name, configured)| (name.as_str(), &**configured))
    }

    /// All names of the configuration whose models are here, with what they are to point to.
    fn names(&self, catalog: &Catalog) -> Vec<(String, CatalogId)> {
        let mut names = BTreeMap::new();
        for (id, configured) in &self.models {
            let by_digest =
                configured.digest.and_then(|digest| catalog.get(&CatalogId::Digest(digest)));
            let entry = by_digest.or_else(|| match configured.digest {
                Some(_) => None,
                None => catalog.from_source(&configured.model.source).pop(),
            });
            let Some(entry) = entry else { continue };
            for name in std::iter::once(id).chain(&configured.model.aliases) {
                names.insert(name.clone(), entry.id.clone());
            }
        }
        for (alias, target) in &self.aliases {
            let id = names.get(target).cloned();
            if let Some(id) = id.or_else(|| Some(catalog.find(target)?.id.clone())) {
                names.insert(alias.clone(), id);
            }
        }
        names.into_iter().collect()
    }
}

/// Whom the configuration trusts.
fn trust_policy(catalog: &config_schema::Catalog) -> TrustPolicy {
    TrustPolicy {
        is_strict: catalog.trust == Trust::Strict,
        allowed_sources: catalog.allowed_sources.clone(),
        require_digest: catalog.require_digest,
        require_signature: catalog.require_signature,
    }
}

fn step(id: &str, kind: &str, status: StepStatus) -> PreparationStep {
    PreparationStep {
        id: id.to_owned(),
        kind: kind.to_owned(),
        status,
        estimated_ms: None,
        bytes_total: None,
        bytes_done: None,
    }
}

impl ConfiguredModel {
    /// How many of its tasks may wait, where it says.
    fn queue_capacity(&self) -> Option<u64> {
        self.model.queue_capacity.map(u64::from)
    }

    /// How its replicas are chosen, where it says.
    fn strategy(&self, base: BaseStrategy) -> Option<placement::Strategy> {
        self.model.strategy.map(|chosen| placing::strategy(chosen, base))
    }

    fn view(&self) -> PreparationView {
        let steps = match &*self.state.lock().expect("no holder panics") {
            Preparation::Ready => Vec::new(),
            Preparation::Fetching { bytes_done, bytes_total, estimated_ms } => vec![
                PreparationStep {
                    bytes_done: Some(*bytes_done),
                    bytes_total: *bytes_total,
                    estimated_ms: *estimated_ms,
                    ..step("fetch", "model_fetch", StepStatus::Running)
                },
                step("warm_up", "pool_warmup", StepStatus::Pending),
            ],
            Preparation::Loading { estimated_ms } => vec![
                step("fetch", "model_fetch", StepStatus::Completed),
                PreparationStep {
                    estimated_ms: *estimated_ms,
                    ..step("warm_up", "pool_warmup", StepStatus::Running)
                },
            ],
            Preparation::Failed { .. } => vec![
                step("fetch", "model_fetch", StepStatus::Failed),
                step("warm_up", "pool_warmup", StepStatus::Pending),
            ],
        };
        PreparationView { steps }
    }

    /// The model while its catalog entry is not there.
    fn unregistered(&self, name: &str, base: BaseStrategy) -> Result<ModelFacts, ModelRefusal> {
        let not_available = |missing: String| ModelRefusal::NotAvailable {
            model: name.to_owned(),
            missing,
            retriable: true,
        };
        if let Preparation::Failed { reason } = &*self.state.lock().expect("no holder panics") {
            return Err(not_available(reason.clone()));
        }
        let Some(digest) = self.digest else {
            return Err(not_available("its file is being read for the first time".to_owned()));
        };
        Ok(ModelFacts {
            id: digest.to_string().into(),
            digest: Some(digest.to_string().into()),
            ctx_max: self.model.ctx_max,
            max_tokens_default: self.model.max_tokens_default,
            preparation: self.view(),
            queue_capacity: self.queue_capacity(),
            strategy: self.strategy(base),
        })
    }
}

#[async_trait]
impl ModelDirectory for Models {
    fn resolve(&self, model_ref: &str) -> Result<ModelFacts, ModelRefusal> {
        match self.catalog.resolve(model_ref) {
            Ok(entry) => Ok(self.facts_of(&entry)),
            Err(ResolveError::UnknownModel { model }) => self.awaited(model_ref, model),
            Err(ResolveError::Retired { id }) => Err(ModelRefusal::Retired(id.to_string())),
            Err(ResolveError::Untrusted { id, source }) => {
                Err(ModelRefusal::Untrusted { model: id.to_string(), reason: source.to_string() })
            }
            Err(ResolveError::OutOfService { id, reason }) => Err(ModelRefusal::NotAvailable {
                model: id.to_string(),
                missing: reason,
                retriable: false,
            }),
        }
    }

    fn default_model(&self) -> Option<String> {
        self.setup().default_model.clone()
    }

    async fn attach(&self, pool_id: &str, models: &[EngineModel]) -> Vec<PoolModel> {
        let mut attached = Vec::new();
        let mut is_news = false;
        for model in models {
            let ctx_max = model.ctx_max.map(u64::from);
            let entry = match Entry::remote(pool_id, &model.name, ctx_max, (self.now_ms)()) {
                Ok(entry) => entry,
                Err(error) => {
                    tracing::warn!(pool_id, model = model.name, %error, "the model is left out");
                    continue;
                }
            };
            let id = entry.id.clone();
            // A name that an alias cannot be, or that is taken, is reached by its id.
            let alias: Vec<Alias> = model.name.parse().into_iter().collect();
            // Where pools share a model, each caps its context for itself.
            let is_known = self.catalog.get(&id).is_some_and(|known| known.ctx_max >= ctx_max);
            is_news |= !is_known;
            if !is_known
                && let Err(error) = self.catalog.register(entry, &alias, TakenAlias::Keep).await
            {
                tracing::warn!(pool_id, model = model.name, %error, "the model is left out");
                continue;
            }
            attached.push(PoolModel {
                id: id.to_string().into(),
                engine_name: model.name.as_str().into(),
                ctx_max: model.ctx_max,
            });
        }
        if is_news {
            self.give_free_names().await;
        }
        // Only now: until its names stand in the catalog, a name that is not known may be one of them.
        self.unheard.lock().expect("no holder panics").remove(pool_id);
        attached
    }

    fn list(&self) -> Vec<ModelView> {
        let mut views: Vec<ModelView> = self
            .catalog
            .list()
            .into_iter()
            .map(|listed| ModelView {
                id: listed.entry.id.to_string(),
                aliases: listed.aliases.iter().map(ToString::to_string).collect(),
                source_ref: listed.entry.source_ref.clone(),
                state: match listed.entry.state {
                    EntryState::Active => "Active".to_owned(),
                    EntryState::Retired => "Retired".to_owned(),
                },
                created_at: Some(instant(listed.entry.created_at_ms)),
                verified: listed.entry.id.digest().is_some(),
                architecture: listed.entry.architecture.clone(),
                quant: listed.entry.quant.clone(),
                ctx_max: listed.entry.ctx_max.and_then(|ctx| u32::try_from(ctx).ok()),
                size_bytes: listed.entry.id.digest().map(|_| listed.entry.size_bytes),
                pools: Vec::new(),
                ready_replicas: 0,
            })
            .collect();
        for (name, configured) in &self.setup().models {
            let Some(digest) = configured.digest else { continue };
            if self.catalog.get(&CatalogId::Digest(digest)).is_none() {
                views.push(ModelView {
                    id: digest.to_string(),
                    aliases: std::iter::once(name)
                        .chain(&configured.model.aliases)
                        .cloned()
                        .collect(),
                    source_ref: configured.model.source.clone(),
                    state: "Active".to_owned(),
                    created_at: None,
                    verified: false,
                    architecture: None,
                    quant: None,
                    ctx_max: configured.model.ctx_max,
                    size_bytes: None,
                    pools: Vec::new(),
                    ready_replicas: 0,
                });
            }
        }
        views.sort_by(|one, other| one.id.cmp(&other.id));
        views
    }
}

#[async_trait]
impl PromptMeter for Models {
    async fn render(
        &self,
        model_id: &str,
        prompt: PromptText<'_>,
    ) -> Result<Option<Arc<[u32]>>, PromptRefusal> {
        let model = self.prompts.read().expect("no holder panics").get(model_id).cloned();
        let Some(model) = model else { return Ok(None) };
        let (bytes, owned) = match prompt {
            PromptText::Text(text) => (text.len(), OwnedPrompt::Text(text.to_owned())),
            PromptText::Messages(messages) => {
                let bytes = messages.iter().map(MessageRequest::bytes).sum();
                let message = |message: &MessageRequest| {
                    prompt::ChatMessage::new(&message.role, message.content.text())
                };
                (bytes, OwnedPrompt::Messages(messages.iter().map(message).collect()))
            }
        };
        let render = move || render(&model, &owned);
        let rendered = if bytes <= INLINE_PROMPT_BYTES {
            render()
        } else {
            tokio::task::spawn_blocking(render).await.unwrap_or_else(|_panic| {
                Err(PromptRefusal::Refused("rendering it failed".to_owned()))
            })
        };
        rendered.map(|ids| Some(ids.into()))
    }
}

enum OwnedPrompt {
    Text(String),
    Messages(Vec<prompt::ChatMessage>),
}

fn render(model: &PromptModel, prompt: &OwnedPrompt) -> Result<Vec<u32>, PromptRefusal> {
    match prompt {
        OwnedPrompt::Text(text) => Ok(model.encode_prompt(text)),
        OwnedPrompt::Messages(messages) => {
            let text = model.render_chat(messages, true).map_err(|error| match error {
                PromptError::NoTemplate => PromptRefusal::NoTemplate,
                other => PromptRefusal::Refused(other.to_string()),
            })?;
            Ok(model.encode_prompt(&text))
        }
    }
}
