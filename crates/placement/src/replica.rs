use std::sync::Arc;

use crate::{Filter, ReplicaKey};

/// One engine instance of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    pub key: ReplicaKey,
    pub state: ReplicaState,
    /// Models that it runs without loading anything.
    pub models: Vec<ReadyModel>,
    /// Generations it runs at once.
    pub slots: u32,
    /// Open leases together with the attempts that it reports beyond them (ORCH-125).
    pub busy: u32,
    /// Whether its slots are kept for a task that runs there alone.
    pub is_kept: bool,
}

/// A model that a replica holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyModel {
    pub model: Arc<str>,
    /// Context in tokens, where it is known.
    pub ctx_tokens: Option<u64>,
    /// Whether it is known that what answers is what it should be: by a digest that the project checked
    /// itself, or because somebody vouches for the engine.
    pub is_verified: bool,
}

/// What a replica is up to, as far as placement cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplicaState {
    Ready,
    /// It is being prepared, backs off or stopped; it may come back by itself.
    NotReady,
    /// It will not come back by itself.
    Failed,
    Draining,
    /// It makes room for another model.
    SwapPending,
    CircuitOpen,
}

impl Replica {
    /// A ready, idle replica that holds one model of any context.
    #[must_use]
    pub fn ready(key: ReplicaKey, model: impl Into<Arc<str>>, slots: u32) -> Self {
        let model = ReadyModel { model: model.into(), ctx_tokens: None, is_verified: true };
        let state = ReplicaState::Ready;
        Self { key, state, models: vec![model], slots, busy: 0, is_kept: false }
    }

    pub(crate) fn model(&self, model: &Arc<str>) -> Option<&ReadyModel> {
        // Names are mostly shared, so that most comparisons are of addresses.
        let is_it = |one: &&ReadyModel| Arc::ptr_eq(&one.model, model) || one.model == *model;
        self.models.iter().find(is_it)
    }
}

impl ReplicaState {
    /// The filter that it fails; `None` where it runs work.
    pub(crate) fn failed(self) -> Option<Filter> {
        match self {
            Self::Ready => None,
            Self::NotReady | Self::Failed => Some(Filter::PoolNotReady),
            Self::Draining => Some(Filter::Draining),
            Self::SwapPending => Some(Filter::SwapPending),
            Self::CircuitOpen => Some(Filter::CircuitOpen),
        }
    }
}
