use std::{
    collections::{BTreeMap, BTreeSet},
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt as _,
    sync::Arc,
    time::Duration,
};

use adapter_host::ReplicaKey;
use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use config_schema::{Config, OpenAiPool, PoolWorkload, SamplingDialect};
use handoff::{Binding, Change, Notification, Options, Outcome, Skip, Watcher};
use handoff_schema::{HandedEngine, HandoffFile};
use orchestrator::{AttachedPool, Orchestrator, PoolFacts, PoolModel, PoolState};
use orchestrator_metrics::DaemonMetrics;
use tokio::{sync::watch, task::JoinSet};

use crate::{handoff_log, handoff_probe::OpenAiProbe, models::Models, openai_pool};

/// Longest wait for a connection to an engine on this machine, in milliseconds.
const CONNECT_TIMEOUT_MS: u64 = 5_000;

/// Tasks given at once to an engine about which nobody says.
const SLOTS: u32 = 1;

/// What a reload may change for engines that files hand over.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Pools of the configuration, whose names files may not use.
    taken: BTreeSet<String>,
    /// How long an engine's tasks may run on when it goes, before they are moved.
    drain: Duration,
}

impl Terms {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            taken: config.pools.keys().cloned().collect(),
            drain: Duration::from_millis(config.scheduling.pool_drain_ms),
        }
    }
}

/// The pools of engines that somebody else starts and hands over by files.
pub(crate) struct HandoffPools {
    orchestrator: Arc<Orchestrator>,
    models: Arc<Models>,
    metrics: Arc<DaemonMetrics>,
    idle_ms: u64,
    terms: watch::Receiver<Terms>,
    /// What is used or awaited, by the names of the files.
    held: BTreeMap<String, Held>,
    /// Takes pools away; dropping it ends that.
    leaving: JoinSet<()>,
}

struct Held {
    replica: ReplicaKey,
    /// Whether an engine is attached; else one is awaited.
    is_up: bool,
}

impl HandoffPools {
    pub(crate) fn new(
        orchestrator: Arc<Orchestrator>,
        models: Arc<Models>,
        metrics: Arc<DaemonMetrics>,
        idle_ms: u64,
        terms: watch::Receiver<Terms>,
    ) -> Self {
        let (held, leaving) = (BTreeMap::new(), JoinSet::new());
        Self { orchestrator, models, metrics, idle_ms, terms, held, leaving }
    }

    /// Follows the files of a directory until it is dropped.
    pub(crate) async fn follow(mut self, dir: Utf8PathBuf) {
        let options = Options { dir: dir.clone(), notification: Notification::Wanted };
        let mut watcher = Watcher::new(options, Arc::new(OpenAiProbe));
        watcher.set_taken(self.terms.borrow_and_update().taken.clone());
        loop {
            tokio::select! {
                changes = watcher.changes() => {
                    for change in changes {
                        self.take(&dir, change);
                    }
                }
                Ok(()) = self.terms.changed() => {
                    watcher.set_taken(self.terms.borrow_and_update().taken.clone());
                }
                Some(_left) = self.leaving.join_next() => {} // a panic was reported where it happened
            }
        }
    }

    fn take(&mut self, dir: &Utf8Path, change: Change) {
        match change {
            Change::Bound { name, binding } => {
                self.metrics.handoff_file(Outcome::Bound.name());
                handoff_log::bound(&name, &binding);
                self.bind(name, &binding);
            }
            Change::Replaced { name, binding } => {
                self.metrics.handoff_file(Outcome::Replaced.name());
                handoff_log::replaced(&name, &binding);
                self.bind(name, &binding);
            }
            Change::Awaited { name, file, skip } => {
                self.metrics.handoff_file(skip.outcome.name());
                handoff_log::awaited(&name, &file, &skip);
                self.await_engine(name, &file, &skip);
            }
            Change::Gone { name, was_up } => {
                let Some(held) = self.held.remove(&name) else { return };
                if was_up {
                    self.metrics.handoff_file(Outcome::Unbound.name());
                    handoff_log::unbound(&name, &held.replica);
                }
                let pool_id = &held.replica.pool_id;
                if !self.held.values().any(|other| other.replica.pool_id == *pool_id) {
                    self.models.forget_pool(pool_id);
                }
                self.take_away(held.replica);
            }
            Change::Skipped { name, skip } => {
                self.metrics.handoff_file(skip.outcome.name());
                // What is wrong with the directory has no file's name.
                let of = if name.is_empty() { dir.as_str() } else { &name };
                handoff_log::skipped(of, &skip);
            }
        }
    }

    /// Uses an engine. It is there before the one that it replaces drains.
    fn bind(&mut self, name: String, binding: &Binding) {
        let file = &binding.file;
        let former = self.held.remove(&name);
        let awaited = former.as_ref().filter(|former| !former.is_up);
        let replica = match awaited {
            Some(awaited) => awaited.replica.clone(),
            None => self.free_replica(file),
        };
        let key = binding.key.as_ref().map(handoff::WorkerKey::reveal);
        if let Some(key) = key {
            crate::logging::masker().register(key);
        }
        let (attached, mut facts) =
            match openai_pool::attached(&replica, &pool_of(file), key, self.idle_ms) {
                Ok(attached) => attached,
                // It was asked by the same adapter just now, unless it is external.
                Err(error) => {
                    let reason = format!("{error:#}");
                    handoff_log::skipped(&name, &Skip::new(Outcome::Wrong, reason));
                    if let Some(former) = former {
                        self.take_away(former.replica);
                    }
                    return;
                }
            };
        let attached = AttachedPool {
            engine: Some(file.engine.name().to_owned()),
            is_verified: binding.evidence.is_verified(),
            ..attached
        };
        describe(&mut facts, file, attached.is_verified);
        facts.models = former.as_ref().map(|former| self.kept(former, file)).unwrap_or_default();
        self.models.await_pool(&file.pool_id);
        self.orchestrator.attach(attached, facts);
        self.held.insert(name, Held { replica, is_up: true });
        if let Some(former) = former.filter(|former| former.is_up) {
            self.take_away(former.replica);
        }
    }

    /// Shows an engine that is to come, so that tasks for it wait.
    fn await_engine(&mut self, name: String, file: &HandoffFile, skip: &Skip) {
        let former = self.held.remove(&name);
        let replica = match &former {
            Some(former) => former.replica.clone(),
            None => self.free_replica(file),
        };
        // Nothing is sent there: the adapter is made for what it says of itself.
        if let Ok((_, mut facts)) =
            openai_pool::attached(&replica, &pool_of(file), None, self.idle_ms)
        {
            describe(&mut facts, file, false);
            facts.last_error = Some(skip.reason.clone());
            self.models.await_pool(&file.pool_id);
            self.orchestrator.put_pool(facts);
            self.held.insert(name, Held { replica, is_up: false });
        }
    }

    /// A name that no former self of the replica has, which may be draining.
    fn free_replica(&self, file: &HandoffFile) -> ReplicaKey {
        let own = ReplicaKey::new(&file.pool_id, &file.replica_id);
        let others = (2_u64..)
            .map(|count| ReplicaKey::new(&file.pool_id, &format!("{}~{count}", file.replica_id)));
        let mut all = std::iter::once(own).chain(others);
        let is_free = |replica: &ReplicaKey| self.orchestrator.pool(replica).is_none();
        all.find(is_free).expect("there is no end of names")
    }

    /// The model of a former self that the next one has too: until that one was asked, tasks for it wait.
    fn kept(&self, former: &Held, file: &HandoffFile) -> Vec<PoolModel> {
        let known = self.orchestrator.pool(&former.replica);
        let models = known.iter().flat_map(|known| &known.models);
        models.filter(|model| *model.engine_name == *file.model_ref).cloned().collect()
    }

    fn take_away(&mut self, replica: ReplicaKey) {
        let orchestrator = Arc::clone(&self.orchestrator);
        let limit = self.terms.borrow().drain;
        self.leaving.spawn(async move { orchestrator.remove_pool(&replica, limit).await });
    }
}

/// Where the files are; the daemon's own directory is made where it is missing.
///
/// # Errors
/// It cannot be made.
pub(crate) fn directory(config: &Config, data_dir: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    if let Some(configured) = &config.handoff.dir {
        return Ok(configured.clone());
    }
    let own = data_dir.join("engines");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&own)
        .with_context(|| format!("cannot make the directory of handoff files, {own}"))?;
    Ok(own)
}

/// The engine as the configuration would describe it.
pub(crate) fn pool_of(file: &HandoffFile) -> OpenAiPool {
    OpenAiPool {
        url: file.url.clone(),
        slots: file.slots_total.unwrap_or(SLOTS),
        key_file: None,
        engine_version: file.engine_version.clone(),
        models: Some(vec![file.model_ref.clone()]),
        same_models_as: None,
        strict: false,
        ctx: file.ctx_max,
        chunk_is_token: false,
        dialect: match file.engine {
            HandedEngine::LlamaCpp => SamplingDialect::LlamaCpp,
            HandedEngine::Vllm | HandedEngine::Sglang => SamplingDialect::Vllm,
            HandedEngine::OpenAi => SamplingDialect::Standard,
        },
        sampler_profile_version: None,
        features: None,
        image_tokens: None,
        workloads: vec![PoolWorkload::Completion],
        connect_timeout_ms: CONNECT_TIMEOUT_MS,
        first_byte_timeout_ms: None,
    }
}

fn describe(facts: &mut PoolFacts, file: &HandoffFile, is_verified: bool) {
    facts.state = PoolState::Backoff;
    facts.engine = file.engine.name().to_owned();
    facts.is_verified = is_verified;
}
