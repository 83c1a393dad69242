use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
};

use adapter_host::{Features, Needs, ReplicaKey};
use api_types::{Determinism, Workload};
use orchestrator_core::Replica;
use placement::{ReadyModel, ReplicaState};

use crate::{
    TaskSpec,
    wants::{self, LOCAL_NODE},
};

/// The states of a pool that this build knows (ORCH-131).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolState {
    /// Its engine or its model is being brought here.
    Provisioning,
    /// The model is being loaded.
    Preloading,
    /// It runs work.
    Ready,
    /// It was taken away: it gets no new work, and what runs on it may finish.
    Draining,
    /// Its engine does not answer; it is asked again.
    Backoff,
    /// It will not come up by itself.
    Failed,
}

impl PoolState {
    /// The name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Preloading => "preloading",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Backoff => "backoff",
            Self::Failed => "failed",
        }
    }
}

/// What is known of a replica of a pool. A pool of the configuration has one; of what is handed over by files
/// it may have several, which are of one kind. While a changed replica replaces one, the former drains beside it
/// under the same name of the pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolFacts {
    pub replica: ReplicaKey,
    pub state: PoolState,
    /// What keeps it from being ready, for people.
    pub last_error: Option<String>,
    /// Why its model will never be loaded, where it needs more memory than the pool has.
    pub shortage: Option<MemoryShortage>,
    pub engine: String,
    /// Empty where nobody tells.
    pub engine_version: String,
    /// The name of how it draws tokens; empty where it has none.
    pub sampler_profile: String,
    /// Whether the engine computes inside this process.
    pub in_process: bool,
    /// Whether it is known that what answers is what it should be: by a digest that was checked here, by the
    /// configuration, or by a proof.
    pub is_verified: bool,
    pub slots: u32,
    /// Where its engine is, if somebody else runs it: a pool that replaces this one and is there too has no
    /// slots that this one still uses.
    pub address: Option<Arc<str>>,
    pub features: Features,
    /// The pool under whose name its models are known; its own, unless another one holds the same.
    pub models_of: Arc<str>,
    /// Models that it may serve.
    pub models: Vec<PoolModel>,
}

/// More memory than there is (ORCH-026).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShortage {
    /// What the model needs.
    pub needed_bytes: u64,
    /// What it may take.
    pub available_bytes: u64,
}

/// A model that a pool may serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolModel {
    /// Catalog id.
    pub id: Arc<str>,
    /// The engine's own name of it.
    pub engine_name: Arc<str>,
    /// Context of the pool for it, in tokens.
    pub ctx_max: Option<u32>,
}

impl PoolFacts {
    pub(crate) fn model(&self, id: &str) -> Option<&PoolModel> {
        self.models.iter().find(|model| &*model.id == id)
    }

    /// Whether the pool serves the model, or may turn out to once it is up.
    pub(crate) fn may_serve(&self, id: &str) -> bool {
        let is_known = self.model(id).is_some();
        match self.state {
            PoolState::Failed if self.shortage.is_some() => false,
            PoolState::Ready | PoolState::Failed | PoolState::Preloading => is_known,
            PoolState::Draining => false,
            PoolState::Provisioning | PoolState::Backoff if self.in_process => {
                is_known || (self.models.is_empty() && id.starts_with("sha256:"))
            }
            PoolState::Provisioning | PoolState::Backoff => {
                let own = id.strip_prefix("remote:").and_then(|rest| rest.split_once('/'));
                is_known || own.is_some_and(|(pool, _)| pool == &*self.models_of)
            }
        }
    }

    /// Whether it does this kind of work.
    pub(crate) fn does(&self, workload: Workload) -> bool {
        match workload {
            Workload::Completion => self.features.workloads.completion,
            Workload::Embedding => self.features.workloads.embedding,
            Workload::Rerank => false,
        }
    }

    /// Whether its tokens are drawn as the task asks.
    pub(crate) fn draws_by(&self, profile: Option<&str>) -> bool {
        profile.is_none_or(|profile| profile == self.sampler_profile)
    }

    /// Whether it has what the task needs.
    pub(crate) fn fits(&self, spec: &TaskSpec) -> bool {
        let tokens = u64::from(spec.prompt_tokens.unwrap_or(0)) + u64::from(spec.max_tokens);
        let ctx_max = self.model(&spec.model_id).and_then(|model| model.ctx_max);
        self.does(spec.workload)
            && self.draws_by(spec.sampler_profile_version.as_deref())
            && self.features.missing(&spec.needs).is_none()
            && (self.features.strict || spec.determinism != Determinism::Strict)
            && (self.features.chat || self.features.token_ids || spec.messages.is_none())
            // Without a count of the prompt the engine itself has the last word.
            && (spec.prompt_tokens.is_none() || ctx_max.is_none_or(|max| tokens <= max.into()))
    }

    /// The replica as the scheduler sees it.
    pub(crate) fn replica(&self) -> Replica {
        let key = replica_id(&self.replica);
        let models = self.models.iter().map(|model| ReadyModel {
            model: Arc::clone(&model.id),
            ctx_tokens: model.ctx_max.map(u64::from),
            is_verified: self.is_verified,
        });
        let pool = placement::Pool {
            engine: self.engine.as_str().into(),
            engine_version: self.engine_version.as_str().into(),
            sampler_profile: self.sampler_profile.as_str().into(),
            workloads: wants::workloads(self.features.workloads),
            features: wants::features(&self.features),
            ..placement::Pool::new(Arc::clone(&key.node), Arc::clone(&key.pool))
        };
        let replica = placement::Replica {
            key,
            state: match self.state {
                PoolState::Ready => ReplicaState::Ready,
                PoolState::Provisioning | PoolState::Preloading | PoolState::Backoff => {
                    ReplicaState::NotReady
                }
                PoolState::Draining => ReplicaState::Draining,
                PoolState::Failed => ReplicaState::Failed,
            },
            models: models.collect(),
            slots: self.slots,
            busy: 0,
            is_kept: false,
        };
        // Pools of different names share no slots: each has those that it was given.
        let server = self.address.as_ref();
        let server = server.map(|address| format!("{} {address}", self.replica.pool_id).into());
        Replica { pool, replica, server }
    }

    /// The replica for a scheduler that is to start nothing more there.
    pub(crate) fn closed_replica(&self) -> Replica {
        let mut replica = self.replica();
        replica.replica.state = ReplicaState::Draining;
        replica
    }
}

pub(crate) fn replica_id(key: &ReplicaKey) -> placement::ReplicaKey {
    placement::ReplicaKey::new(LOCAL_NODE, Arc::clone(&key.pool_id), Arc::clone(&key.replica_id))
}

/// All pools, by the scheduler's name of their replica.
#[derive(Default)]
pub(crate) struct PoolTable {
    pools: RwLock<BTreeMap<placement::ReplicaKey, Arc<PoolFacts>>>,
}

impl PoolTable {
    pub(crate) fn put(&self, facts: PoolFacts) {
        let id = replica_id(&facts.replica);
        self.pools.write().expect("no holder panics").insert(id, Arc::new(facts));
    }

    pub(crate) fn get(&self, id: &placement::ReplicaKey) -> Option<Arc<PoolFacts>> {
        self.pools.read().expect("no holder panics").get(id).cloned()
    }

    pub(crate) fn remove(&self, id: &placement::ReplicaKey) {
        self.pools.write().expect("no holder panics").remove(id);
    }

    pub(crate) fn all(&self) -> Vec<Arc<PoolFacts>> {
        self.pools.read().expect("no holder panics").values().cloned().collect()
    }

    /// Pools that may serve a model. Those that were taken away may not.
    pub(crate) fn serving(&self, model_id: &str) -> Vec<Arc<PoolFacts>> {
        let mut pools = self.all();
        let stays = |pool: &PoolFacts| pool.state != PoolState::Draining;
        pools.retain(|pool| stays(pool) && pool.model(model_id).is_some());
        pools
    }
}

/// The API path of the first field that no single one of `pools` honours together with the others.
pub(crate) fn missing_feature(pools: &[Arc<PoolFacts>], needs: &Needs) -> Option<String> {
    let mut missing = None;
    for pool in pools {
        missing = Some(pool.features.missing(needs)?);
    }
    missing
}
