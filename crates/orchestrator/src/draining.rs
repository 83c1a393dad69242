use std::{sync::Arc, time::Duration};

use adapter_host::ReplicaKey;
use narration::{Fact, human};
use orchestrator_core::Event;
use tokio::time::Instant;

use crate::{
    live_task::LiveTask,
    pool_table::{PoolFacts, PoolState, replica_id},
    shared::Shared,
};

/// Pause between two looks whether a pool that is taken away is idle.
const LOOK: Duration = Duration::from_millis(20);

impl Shared {
    /// See [`crate::Orchestrator::remove_pool`].
    pub(crate) async fn remove_pool(self: &Arc<Self>, replica: &ReplicaKey, limit: Duration) {
        let id = replica_id(replica);
        self.unwatch(replica);
        let Some(facts) = self.pools.get(&id) else {
            return self.close_pool(replica).await;
        };
        self.put_pool(PoolFacts {
            state: PoolState::Draining,
            last_error: None,
            ..PoolFacts::clone(&facts)
        });
        let until = Instant::now() + limit;
        while self.is_busy(&id) {
            if Instant::now() >= until {
                // Looked at again and again: a pool that can go on with a task may come up late.
                self.move_tasks(&id, &facts);
            }
            tokio::time::sleep(LOOK).await;
        }
        self.pools.remove(&id);
        self.step(Event::ReplicaGone { replica: id });
        self.close_pool(replica).await;
        tracing::info!(
            event = "pool_state",
            pool_id = &*replica.pool_id,
            replica_id = &*replica.replica_id,
            state = "stopped",
            human = human(&Fact::PoolState { pool: &replica.pool_id, state: "stopped" }),
        );
    }

    fn unwatch(&self, replica: &ReplicaKey) {
        let mut watches = self.watches.lock().expect("no holder panics");
        if let Some(watched) = watches.remove(replica) {
            watched.cancel();
        }
    }

    /// Whether a slot of the replica is taken.
    fn is_busy(&self, id: &placement::ReplicaKey) -> bool {
        self.scheduler().slots(id).is_some_and(|slots| slots.busy > 0)
    }

    /// Stops the attempts there whose tasks another pool can go on with.
    fn move_tasks(&self, id: &placement::ReplicaKey, from: &PoolFacts) {
        let pools = self.pools.all();
        for live in self.all_live().iter().filter(|live| live.is_at_work_on(id)) {
            if pools.iter().any(|to| can_move(live, from, to)) {
                live.move_from(id);
            }
        }
    }

    /// Lets go of the engine.
    async fn close_pool(&self, replica: &ReplicaKey) {
        let Ok(binding) = self.host.binding(replica) else { return };
        self.host.unbind(replica);
        // An engine in this process joins its threads and gives its memory back.
        let closed = tokio::task::spawn_blocking(move || drop(binding)).await;
        if closed.is_err() {
            tracing::error!(pool_id = &*replica.pool_id, "closing the engine panicked");
        }
    }
}

/// Whether a task that runs on `from` can go on where `to` is: nothing of it was shown, or `to` takes up what
/// was in the way that `from` gave it.
fn can_move(live: &LiveTask, from: &PoolFacts, to: &PoolFacts) -> bool {
    let spec = &live.spec;
    // What the pool may turn out to serve is not counted on.
    let serves = to.model(&spec.model_id).is_some()
        && !matches!(to.state, PoolState::Draining | PoolState::Failed);
    if !serves || !to.fits(spec) {
        return false;
    }
    // The first event says that the task started.
    let is_begun = live.log.last_event() > 1;
    let by_replay = from.features.replay && to.features.replay && !spec.output.is_constrained();
    let is_same_engine = from.engine == to.engine && from.engine_version == to.engine_version;
    let by_repetition = from.features.strict && to.features.strict && is_same_engine;
    let is_same_profile = from.sampler_profile == to.sampler_profile;
    !is_begun || is_same_profile && (by_replay || by_repetition)
}
