use std::{sync::Arc, time::Duration};

use adapter_host::{EngineAdapter, EngineModel, Props, ReplicaKey};
use narration::{Fact, human};
use orchestrator_core::{Event, ModelId};
use tokio_util::sync::CancellationToken;

use crate::{
    pool_table::{PoolFacts, PoolState, replica_id},
    shared::Shared,
};

/// Pause between two looks at an attached engine that answers.
const LOOK_READY: Duration = Duration::from_secs(5);

/// Pause between two looks at one that does not.
const LOOK_BACKOFF: Duration = Duration::from_secs(1);

/// Pause between two looks for tasks that no pool can serve any more (ORCH-026).
const LOOK_UNSERVABLE: Duration = Duration::from_secs(2);

/// Longest wait for an attached engine to say what it is.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// An engine that somebody else runs.
pub struct AttachedPool {
    pub replica: ReplicaKey,
    pub adapter: Arc<dyn EngineAdapter>,
    /// The only models to use, by the engine's names; `None` uses all that the engine tells of.
    pub models: Option<Vec<String>>,
    /// The pool under whose name its models are known; another one than its own where both hold the same.
    pub models_of: Arc<str>,
    /// What kind of engine it is, where that is known better than by its protocol.
    pub engine: Option<String>,
    /// The engine's version, where the engine itself does not tell it.
    pub engine_version: Option<String>,
    /// The name of how it draws tokens; empty where it has none.
    pub sampler_profile: String,
    /// As [`PoolFacts::is_verified`].
    pub is_verified: bool,
    /// Where the engine is.
    pub address: Arc<str>,
}

impl Shared {
    /// Takes in what is known of a pool now.
    pub(crate) fn put_pool(self: &Arc<Self>, facts: PoolFacts) {
        let is_closing = self.closing.is_cancelled();
        let replica = if is_closing { facts.closed_replica() } else { facts.replica() };
        let former = self.pools.get(&replica.replica.key);
        if former.as_ref().is_none_or(|former| former.state != facts.state) {
            tracing::info!(
                event = "pool_state",
                pool_id = &*facts.replica.pool_id,
                replica_id = &*facts.replica.replica_id,
                state = facts.state.name(),
                reason = facts.last_error,
                human = human(&Fact::PoolState {
                    pool: &facts.replica.pool_id,
                    state: facts.state.name(),
                }),
            );
        }
        if former.as_deref() == Some(&facts) {
            return;
        }
        self.pools.put(facts);
        self.step(Event::ReplicaChanged(replica));
    }

    /// An engine cannot be reached: nothing is placed on it until it answers again.
    pub(crate) fn pool_lost(self: &Arc<Self>, replica: &ReplicaKey, cause: &str) {
        self.change_pool(replica, |known| {
            let is_up = !matches!(known.state, PoolState::Failed | PoolState::Draining);
            let last_error = Some(cause.to_owned());
            is_up.then(|| PoolFacts { state: PoolState::Backoff, last_error, ..known.clone() })
        });
    }

    /// An engine in this process computes on although it was told to stop.
    pub(crate) fn pool_stuck(self: &Arc<Self>, replica: &ReplicaKey) {
        self.change_pool(replica, |known| {
            let state = match known.state {
                PoolState::Draining => PoolState::Draining,
                _ => PoolState::Failed,
            };
            let last_error =
                Some("the engine did not stop when told to; restart the daemon".to_owned());
            Some(PoolFacts { state, last_error, ..known.clone() })
        });
    }

    /// Changes what is known of a pool that is there; what is gone stays gone.
    fn change_pool(
        self: &Arc<Self>,
        replica: &ReplicaKey,
        change: impl FnOnce(&PoolFacts) -> Option<PoolFacts>,
    ) {
        let known = self.pools.get(&replica_id(replica));
        if let Some(facts) = known.and_then(|known| change(&known)) {
            self.put_pool(facts);
        }
    }

    /// Keeps an eye on an attached engine until the pool is taken away.
    pub(crate) fn watch(self: &Arc<Self>, pool: AttachedPool) {
        let watched = CancellationToken::new();
        let mut watches = self.watches.lock().expect("no holder panics");
        let former = watches.insert(pool.replica.clone(), watched.clone());
        drop(watches);
        if let Some(former) = former {
            former.cancel();
        }
        let watch = Arc::clone(self).watch_attached(pool, watched.clone());
        self.spawn(async move { watched.run_until_cancelled(watch).await.unwrap_or_default() });
    }

    /// Looks what an attached engine serves, and whether it answers.
    async fn watch_attached(self: Arc<Self>, pool: AttachedPool, watched: CancellationToken) {
        loop {
            let props = tokio::time::timeout(LOOK_TIMEOUT, pool.adapter.props()).await;
            let look_again = match props {
                Ok(Ok(props)) => {
                    let facts = self.facts(&pool, props).await;
                    // Another thread may take the pool away at this moment.
                    let watches = self.watches.lock().expect("no holder panics");
                    if watched.is_cancelled() {
                        return;
                    }
                    self.put_pool(facts);
                    drop(watches);
                    LOOK_READY
                }
                Ok(Err(error)) => self.attached_is_gone(&pool, &error.to_string()),
                Err(_elapsed) => self.attached_is_gone(&pool, "the engine does not answer"),
            };
            tokio::time::sleep(look_again).await;
        }
    }

    fn attached_is_gone(self: &Arc<Self>, pool: &AttachedPool, cause: &str) -> Duration {
        self.pool_lost(&pool.replica, cause);
        LOOK_BACKOFF
    }

    /// Ends the queued tasks of models that no pool serves and none will, until the orchestrator ends.
    pub(crate) async fn watch_unservable(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_UNSERVABLE).await;
            let pools = self.pools.all();
            let may_come = |id: &str| pools.iter().any(|pool| pool.may_serve(id));
            let waiting: Vec<ModelId> = self.scheduler().models().cloned().collect();
            for model in waiting.into_iter().filter(|model| !may_come(&model.0)) {
                self.step(Event::ModelUnservable { model });
            }
        }
    }

    async fn facts(&self, pool: &AttachedPool, props: Props) -> PoolFacts {
        let offered = match &pool.models {
            None => props.models,
            Some(names) => names
                .iter()
                .map(|name| {
                    let known = props.models.iter().find(|model| model.name == *name);
                    let unknown = || EngineModel { name: name.clone(), ctx_max: None };
                    known.cloned().unwrap_or_else(unknown)
                })
                .collect(),
        };
        PoolFacts {
            models: self.models.attach(&pool.models_of, &offered).await,
            replica: pool.replica.clone(),
            state: PoolState::Ready,
            last_error: None,
            shortage: None,
            engine: pool.engine.clone().unwrap_or(props.engine),
            engine_version: pool.engine_version.clone().unwrap_or(props.engine_version),
            sampler_profile: pool.sampler_profile.clone(),
            in_process: false,
            is_verified: pool.is_verified,
            slots: props.slots,
            address: Some(Arc::clone(&pool.address)),
            features: props.features,
            models_of: Arc::clone(&pool.models_of),
        }
    }
}
