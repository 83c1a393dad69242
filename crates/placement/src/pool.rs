use std::sync::Arc;

use crate::DeviceId;

/// A named place on a node: an engine on some devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub node: Arc<str>,
    pub id: Arc<str>,
    pub engine: Arc<str>,
    /// Empty where nobody tells.
    pub engine_version: Arc<str>,
    /// Empty where it has none.
    pub sampler_profile: Arc<str>,
    pub workloads: Workloads,
    pub features: Features,
    /// Its device mask; empty on the processor.
    pub devices: Vec<DeviceShare>,
    /// Models that it may load.
    pub loadable: Vec<LoadableModel>,
    /// Memory that the configuration grants it, in bytes, where it does.
    pub memory_bytes: Option<u64>,
}

/// A device of a mask, and how much of a model it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceShare {
    pub id: DeviceId,
    /// Its part of a split model, out of the sum over the mask.
    pub ratio: u32,
}

/// A model that a pool may load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadableModel {
    pub model: Arc<str>,
    /// Memory that it will need over all devices, in bytes.
    pub needed_bytes: u64,
    /// Context that it would have, in tokens, where that is known.
    pub ctx_tokens: Option<u64>,
    pub is_verified: bool,
}

/// Kinds of work, as a set of bits whose meaning is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Workloads(pub u8);

impl Workloads {
    /// The kind that a [`Request`](crate::Request) has and a [`Pool`] does where nothing else is said.
    pub const DEFAULT: Self = Self(1);

    pub(crate) fn has(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

/// Abilities of an engine, as a set of bits whose meaning is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub struct Features(pub u64);

impl Features {
    pub(crate) fn has(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    pub(crate) fn has_any(self, wanted: Self) -> bool {
        self.0 & wanted.0 != 0
    }
}

impl Pool {
    /// A pool on the processor that does [`Workloads::DEFAULT`] without any feature, and loads nothing.
    #[must_use]
    pub fn new(node: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        let none: Arc<str> = Arc::from("");
        Self {
            node: node.into(),
            id: id.into(),
            engine: Arc::clone(&none),
            engine_version: Arc::clone(&none),
            sampler_profile: none,
            workloads: Workloads::DEFAULT,
            features: Features::default(),
            devices: Vec::new(),
            loadable: Vec::new(),
            memory_bytes: None,
        }
    }
}
