use std::{fmt, sync::Arc};

/// A replica's full name. Keys are ordered by node, pool and replica, which breaks ties (ORCH-118).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaKey {
    /// The machine.
    pub node: Arc<str>,
    /// The pool's configured name; unique on its node.
    pub pool: Arc<str>,
    /// The replica's name within its pool.
    pub replica: Arc<str>,
}

impl ReplicaKey {
    /// A key from its three names.
    #[must_use]
    pub fn new(
        node: impl Into<Arc<str>>,
        pool: impl Into<Arc<str>>,
        replica: impl Into<Arc<str>>,
    ) -> Self {
        Self { node: node.into(), pool: pool.into(), replica: replica.into() }
    }
}

impl fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}", self.node, self.pool, self.replica)
    }
}

/// A GPU or a part of one, such as an NVML UUID.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub Arc<str>);
