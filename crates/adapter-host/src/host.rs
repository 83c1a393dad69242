use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, RwLock},
    task::{Context, Poll},
};

use futures_core::Stream;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{AdapterError, Attempt, EngineAdapter, EngineEvent, EngineStream, StopSignal};

/// One replica of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReplicaKey {
    /// The pool's configured name.
    pub pool_id: Arc<str>,
    /// The replica's name within its pool.
    pub replica_id: Arc<str>,
}

impl ReplicaKey {
    /// A key from its two names.
    #[must_use]
    pub fn new(pool_id: &str, replica_id: &str) -> Self {
        Self { pool_id: pool_id.into(), replica_id: replica_id.into() }
    }
}

impl fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.pool_id, self.replica_id)
    }
}

/// No adapter is bound for a replica.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no adapter is bound for replica `{0}`")]
pub struct UnknownReplica(pub ReplicaKey);

/// Routes work to the adapter of a replica. Cheap to clone; clones share their bindings.
#[derive(Clone, Default)]
pub struct AdapterHost {
    // Held only to look up or change a binding, never during a call of an adapter.
    bindings: Arc<RwLock<HashMap<ReplicaKey, Binding>>>,
}

/// An adapter and the life of its binding.
#[derive(Clone)]
pub struct Binding {
    adapter: Arc<dyn EngineAdapter>,
    unbound: CancellationToken,
}

impl AdapterHost {
    /// Binds `adapter` to `replica` in one step; streams of an adapter bound before end as lost.
    pub fn bind(&self, replica: ReplicaKey, adapter: Arc<dyn EngineAdapter>) {
        let binding = Binding { adapter, unbound: CancellationToken::new() };
        let former = self.bindings.write().expect("no holder panics").insert(replica, binding);
        if let Some(former) = former {
            former.unbound.cancel();
        }
    }

    /// Removes a binding; its open streams end as lost. Unknown replicas are ignored.
    pub fn unbind(&self, replica: &ReplicaKey) {
        if let Some(former) = self.bindings.write().expect("no holder panics").remove(replica) {
            former.unbound.cancel();
        }
    }

    /// The binding of a replica.
    ///
    /// # Errors
    /// [`UnknownReplica`] where none is bound.
    pub fn binding(&self, replica: &ReplicaKey) -> Result<Binding, UnknownReplica> {
        let bindings = self.bindings.read().expect("no holder panics");
        bindings.get(replica).cloned().ok_or_else(|| UnknownReplica(replica.clone()))
    }
}

impl Binding {
    /// The adapter itself, for everything but [`Self::submit`].
    #[must_use]
    pub fn adapter(&self) -> &Arc<dyn EngineAdapter> {
        &self.adapter
    }

    /// Submits an attempt; its stream ends with [`AdapterError::Lost`] when the replica is unbound.
    ///
    /// # Errors
    /// As [`EngineAdapter::submit`].
    pub async fn submit(&self, attempt: Attempt) -> Result<BoundStream, AdapterError> {
        let unbound = std::pin::pin!(self.unbound.cancelled());
        let submit = self.adapter.submit(attempt);
        let submitted = std::pin::pin!(submit);
        match futures_util::future::select(submitted, unbound).await {
            futures_util::future::Either::Left((stream, _)) => {
                let unbound = StopSignal::new(self.unbound.clone());
                Ok(BoundStream { stream: Some(stream?), unbound })
            }
            futures_util::future::Either::Right(((), _)) => Err(unbound_error()),
        }
    }
}

fn unbound_error() -> AdapterError {
    AdapterError::Lost { reason: "the replica was unbound".to_owned() }
}

/// The stream of an attempt, which ends with [`AdapterError::Lost`] when its replica is unbound.
pub struct BoundStream {
    stream: Option<EngineStream>,
    unbound: StopSignal,
}

impl Stream for BoundStream {
    type Item = Result<EngineEvent, AdapterError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = self.stream.as_mut() else { return Poll::Ready(None) };
        match stream.as_mut().poll_next(cx) {
            Poll::Ready(item) => Poll::Ready(item),
            Poll::Pending => {
                std::task::ready!(self.unbound.poll(cx));
                self.stream = None; // dropping it stops the engine
                Poll::Ready(Some(Err(unbound_error())))
            }
        }
    }
}
