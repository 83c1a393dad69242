use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use adapter_host::ReplicaKey;
use config_schema::{Config, OpenAiPool, Pool};
use orchestrator::{PoolFacts, PoolModel, PoolState};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    announce::announce,
    embedded_pool::{EmbeddedPool, Workshop},
    models::Preparation,
    openai_pool,
};

/// The pools of the configuration, brought up and taken away as it changes. What is unchanged is not touched.
///
/// A pool that changes is replaced by one with the same name and the next number as its replica. One that
/// stands before another server takes over at once, and its former self finishes what it runs. One that
/// computes in this process is loaded when its former self is closed, so that memory never holds both.
pub(crate) struct Pools {
    workshop: Arc<Workshop>,
    /// Where the daemon listens, for telling how to try a model.
    url: String,
    held: BTreeMap<String, Held>,
    /// Number of each pool's next replica. Names stay here when their pools are gone, so that a number is
    /// never used twice while something of the former one may be left.
    next_replica: BTreeMap<String, u64>,
    /// What fires when a pool that was taken away is closed.
    leaving: BTreeMap<String, Vec<CancellationToken>>,
    /// Brings pools up and takes them away; dropping it ends that.
    work: JoinSet<()>,
}

/// A pool as it was brought up.
struct Held {
    setup: Setup,
    replica: ReplicaKey,
    /// What loads its model, where that is done here.
    loading: Option<AbortHandle>,
}

/// Everything that a pool is made of: pools with equal setups need not be replaced by each other.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Setup {
    Embedded(EmbeddedPool),
    Attached {
        pool: OpenAiPool,
        /// What its key file held.
        key: Option<String>,
        idle_ms: u64,
    },
}

/// What a change of the configuration did to pools, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolChanges {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) replaced: Vec<String>,
}

impl Setup {
    /// A pool as the configuration describes it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(id: &str, pool: &Pool, config: &Config) -> anyhow::Result<Self> {
        let setup = match pool {
            Pool::Candle(candle) => Self::Embedded(EmbeddedPool::new(id, candle, config)?),
            Pool::OpenAi(openai) => Self::Attached {
                key: openai_pool::read_key(id, openai)?,
                pool: openai.clone(),
                idle_ms: config.scheduling.idle_ms,
            },
        };
        if let Self::Attached { pool, key, idle_ms } = &setup {
            openai_pool::attached(&ReplicaKey::new(id, "0"), pool, key.as_deref(), *idle_ms)?;
        }
        Ok(setup)
    }

    /// Whether it holds the same file as `pool`.
    fn has_model_of(&self, pool: &EmbeddedPool) -> bool {
        match self {
            Self::Embedded(own) => {
                own.model.source == pool.model.source && own.model.sha256 == pool.model.sha256
            }
            Self::Attached { .. } => false,
        }
    }

    /// All pools of a configuration.
    ///
    /// # Errors
    /// What is wrong with the first one that cannot be.
    pub(crate) fn all(config: &Config) -> anyhow::Result<BTreeMap<String, Self>> {
        let pools = config.pools.iter();
        pools.map(|(id, pool)| Ok((id.clone(), Self::new(id, pool, config)?))).collect()
    }
}

impl Pools {
    pub(crate) fn new(workshop: Arc<Workshop>, url: String) -> Self {
        Self {
            workshop,
            url,
            held: BTreeMap::new(),
            next_replica: BTreeMap::new(),
            leaving: BTreeMap::new(),
            work: JoinSet::new(),
        }
    }

    /// Makes the pools those of `wanted`. What goes has `limit` before its tasks are moved. Returns at once;
    /// the rest is done beside.
    pub(crate) fn become_as(
        &mut self,
        mut wanted: BTreeMap<String, Setup>,
        limit: Duration,
    ) -> PoolChanges {
        while self.work.try_join_next().is_some() {} // a panic was reported where it happened
        self.leaving.retain(|_, gone| {
            gone.retain(|gone| !gone.is_cancelled());
            !gone.is_empty()
        });
        let mut changes = PoolChanges::default();
        let ids: BTreeSet<String> = self.held.keys().chain(wanted.keys()).cloned().collect();
        for id in ids {
            let setup = wanted.remove(&id);
            if self.held.get(&id).map(|held| &held.setup) == setup.as_ref() {
                continue;
            }
            let former = self.held.remove(&id);
            let list = match (&former, &setup) {
                (Some(_), Some(_)) => &mut changes.replaced,
                (None, _) => &mut changes.added,
                (Some(_), None) => &mut changes.removed,
            };
            list.push(id.clone());
            let gone = CancellationToken::new();
            if let Some(former) = &former {
                former.stop_loading();
                self.leaving.entry(id.clone()).or_default().push(gone.clone());
            }
            // What comes is known before what goes is gone: tasks that wait for it go on waiting.
            match setup {
                Some(setup) => self.open(&id, setup, former.as_ref()),
                None => self.workshop.models.forget_pool(&id),
            }
            if let Some(former) = former {
                self.take_away(former, gone, limit);
            }
        }
        changes
    }

    /// Loads no more models; what is open stays so.
    pub(crate) fn stop_loading(&self) {
        self.held.values().for_each(Held::stop_loading);
    }

    fn open(&mut self, id: &str, setup: Setup, former: Option<&Held>) {
        let next = self.next_replica.entry(id.to_owned()).or_default();
        let replica = ReplicaKey::new(id, &next.to_string());
        *next += 1;
        let known = former.and_then(|former| self.workshop.orchestrator.pool(&former.replica));
        let mut loading = None;
        match &setup {
            Setup::Embedded(pool) => {
                let pool = EmbeddedPool { replica: replica.clone(), ..pool.clone() };
                let is_same_model = former.is_some_and(|former| former.setup.has_model_of(&pool));
                loading = Some(self.load(id, pool, known.filter(|_| is_same_model)));
            }
            Setup::Attached { pool, key, idle_ms } => {
                match openai_pool::attached(&replica, pool, key.as_deref(), *idle_ms) {
                    Ok((attached, mut facts)) => {
                        facts.models = known.map(|known| kept(&known, pool)).unwrap_or_default();
                        self.workshop.models.await_pool(id);
                        self.workshop.orchestrator.attach(attached, facts);
                    }
                    // It was checked when its setup was made.
                    Err(error) => tracing::error!(
                        event = "pool_unfit",
                        pool_id = id,
                        error = format!("{error:#}")
                    ),
                }
            }
        }
        self.held.insert(id.to_owned(), Held { setup, replica, loading });
    }

    /// Brings up a pool in this process once nothing of its former selves is left. `known` is what was known
    /// of the last one where that had the same model.
    fn load(&mut self, id: &str, pool: EmbeddedPool, known: Option<Arc<PoolFacts>>) -> AbortHandle {
        let workshop = Arc::clone(&self.workshop);
        let mut facts = pool.facts(PoolState::Provisioning, &workshop.models);
        let awaited = self.leaving.get(id).cloned().unwrap_or_default();
        if !awaited.is_empty() {
            facts.last_error = Some("waits until its former self is closed".to_owned());
            workshop.models.note(&pool.model_name, Preparation::Loading { estimated_ms: None });
        }
        if let Some(known) = known.filter(|_| facts.models.is_empty()) {
            facts.models.clone_from(&known.models);
        }
        workshop.orchestrator.put_pool(facts);
        let url = self.url.clone();
        self.work.spawn(async move {
            for gone in awaited {
                gone.cancelled().await;
            }
            workshop.bring_up(pool, |model| announce(&how_to_try(&url, model))).await;
        })
    }

    /// Takes a pool away beside everything else; `gone` fires when nothing of it is left.
    fn take_away(&mut self, former: Held, gone: CancellationToken, limit: Duration) {
        let workshop = Arc::clone(&self.workshop);
        self.work.spawn(async move {
            let orchestrator = &workshop.orchestrator;
            let held = orchestrator.pool(&former.replica);
            orchestrator.remove_pool(&former.replica, limit).await;
            for model in held.iter().flat_map(|held| &held.models) {
                let is_in_process = |pool: &Arc<PoolFacts>| pool.in_process;
                if !orchestrator.pools_of(&model.id).iter().any(is_in_process) {
                    workshop.models.forget_prompts(&model.id);
                }
            }
            gone.cancel();
        });
    }
}

impl Held {
    fn stop_loading(&self) {
        if let Some(loading) = &self.loading {
            loading.abort();
        }
    }
}

/// Models of a pool before another server that it is told to use, or may be: until that one was asked, tasks
/// for them are taken on.
fn kept(known: &PoolFacts, pool: &OpenAiPool) -> Vec<PoolModel> {
    let is_used = |model: &&PoolModel| {
        let mut names = pool.models.iter().flatten();
        pool.models.is_none() || names.any(|name| **name == *model.engine_name)
    };
    known.models.iter().filter(is_used).cloned().collect()
}

fn how_to_try(url: &str, model: &str) -> String {
    format!(
        "model {model} is ready; try it:\n  curl {url}/v1/chat/completions -H 'Content-Type: \
         application/json' \\\n    -d '{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \
         \"content\": \"Name three colors.\"}}]}}'"
    )
}
