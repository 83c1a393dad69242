use std::{cmp::Ordering, sync::Arc};

use crate::{DeviceId, DeviceMemory, Node, Pool, Replica, ReplicaKey};

/// What placement knows of the cluster. However it was put together, equal contents stand in equal order.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    version: u64,
    /// In order of ids.
    nodes: Vec<Node>,
    /// In order of nodes and ids.
    pools: Vec<Placed>,
}

/// A pool with what is looked up for it.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) pool: Pool,
    /// In order of names.
    pub(crate) replicas: Vec<Replica>,
    /// Of the device with the least free memory in its mask, in bytes; `None` where one is not known.
    pub(crate) free_bytes: Option<u64>,
}

/// What something was to be put on is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unplaced {
    /// No such node; put it first.
    UnknownNode(Arc<str>),
    /// No such pool on the node; put it first.
    UnknownPool(Arc<str>),
}

impl std::fmt::Display for Unplaced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownNode(id) => write!(f, "node `{id}` is not in the snapshot; put it first"),
            Self::UnknownPool(id) => write!(f, "pool `{id}` is not in the snapshot; put it first"),
        }
    }
}

impl std::error::Error for Unplaced {}

impl Snapshot {
    /// Grows on every change of topology or readiness; not with slots that are taken or memory that is used
    /// (ORCH-125).
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Adds a node, or replaces what was known of it.
    pub fn put_node(&mut self, mut node: Node) {
        node.devices.sort_by(|one, other| one.id.cmp(&other.id));
        let id = Arc::clone(&node.id);
        let changed = match self.nodes.binary_search_by(|one| one.id.cmp(&id)) {
            Ok(at) => {
                let former = std::mem::replace(&mut self.nodes[at], node);
                let now = &self.nodes[at];
                let ids = |node: &Node| node.devices.iter().map(|one| one.id.clone()).collect();
                let (before, after): (Vec<_>, Vec<_>) = (ids(&former), ids(now));
                (former.is_online, former.is_stale) != (now.is_online, now.is_stale)
                    || before != after
            }
            Err(at) => {
                self.nodes.insert(at, node);
                true
            }
        };
        self.version += u64::from(changed);
        self.refresh_memory(&id);
    }

    /// Removes a node with its pools.
    pub fn remove_node(&mut self, id: &str) {
        if let Ok(at) = self.nodes.binary_search_by(|one| (*one.id).cmp(id)) {
            self.nodes.remove(at);
            self.pools.retain(|placed| *placed.pool.node != *id);
            self.version += 1;
        }
    }

    /// What is known of a device's memory now. Ignored for devices that the node does not have.
    pub fn set_memory(&mut self, node: &Arc<str>, device: &DeviceId, memory: Option<DeviceMemory>) {
        let Ok(at) = self.nodes.binary_search_by(|one| one.id.cmp(node)) else { return };
        if let Some(known) = self.nodes[at].devices.iter_mut().find(|one| one.id == *device) {
            known.memory = memory;
            self.refresh_memory(node);
        }
    }

    /// Adds a pool, or replaces what was known of it; its replicas stay.
    ///
    /// # Errors
    /// Its node is not there.
    pub fn put_pool(&mut self, pool: Pool) -> Result<(), Unplaced> {
        let Some(node) = self.node(&pool.node) else {
            return Err(Unplaced::UnknownNode(pool.node));
        };
        let free_bytes = least_free(node, &pool);
        match self.find_pool(&pool.node, &pool.id) {
            Ok(at) => {
                let placed = &mut self.pools[at];
                self.version += u64::from(placed.pool != pool);
                placed.pool = pool;
                placed.free_bytes = free_bytes;
            }
            Err(at) => {
                self.pools.insert(at, Placed { pool, replicas: Vec::new(), free_bytes });
                self.version += 1;
            }
        }
        Ok(())
    }

    /// Removes a pool with its replicas.
    pub fn remove_pool(&mut self, node: &str, id: &str) {
        if let Ok(at) = self.find_pool(node, id) {
            self.pools.remove(at);
            self.version += 1;
        }
    }

    /// Adds a replica, or replaces what was known of it.
    ///
    /// # Errors
    /// Its pool is not there.
    pub fn put_replica(&mut self, replica: Replica) -> Result<(), Unplaced> {
        let Ok(at) = self.find_pool(&replica.key.node, &replica.key.pool) else {
            return Err(Unplaced::UnknownPool(replica.key.pool));
        };
        let replicas = &mut self.pools[at].replicas;
        match replicas.binary_search_by(|one| one.key.replica.cmp(&replica.key.replica)) {
            Ok(at) => {
                let former = std::mem::replace(&mut replicas[at], replica);
                let now = &replicas[at];
                let same = former.state == now.state
                    && former.slots == now.slots
                    && former.models == now.models;
                self.version += u64::from(!same);
            }
            Err(at) => {
                replicas.insert(at, replica);
                self.version += 1;
            }
        }
        Ok(())
    }

    /// Removes a replica; its pool stays.
    pub fn remove_replica(&mut self, key: &ReplicaKey) {
        if let Some((pool, replica)) = self.find(key) {
            self.pools[pool].replicas.remove(replica);
            self.version += 1;
        }
    }

    /// What is known of a replica.
    #[must_use]
    pub fn replica(&self, key: &ReplicaKey) -> Option<&Replica> {
        let (pool, replica) = self.find(key)?;
        Some(&self.pools[pool].replicas[replica])
    }

    /// Says how many slots of a replica are taken: open leases together with the attempts that it reports
    /// beyond them. Ignored for a replica that is not there.
    pub fn set_busy(&mut self, key: &ReplicaKey, busy: u32) {
        if let Some((pool, replica)) = self.find(key) {
            self.pools[pool].replicas[replica].busy = busy;
        }
    }

    /// Says whether a replica's free slots are kept for a task that runs there alone. Ignored for a replica
    /// that is not there.
    pub fn set_kept(&mut self, key: &ReplicaKey, is_kept: bool) {
        if let Some((pool, replica)) = self.find(key) {
            self.pools[pool].replicas[replica].is_kept = is_kept;
        }
    }

    /// All replicas in order of keys.
    pub fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.pools.iter().flat_map(|placed| &placed.replicas)
    }

    pub(crate) fn pools(&self) -> &[Placed] {
        &self.pools
    }

    pub(crate) fn node(&self, id: &Arc<str>) -> Option<&Node> {
        let at = self.nodes.binary_search_by(|one| one.id.cmp(id)).ok()?;
        Some(&self.nodes[at])
    }

    /// Every place to judge, in order: the replicas of each pool, or the pool itself where it has none.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Placed, Option<&Replica>)> + Clone {
        self.pools.iter().flat_map(|placed| {
            let empty = placed.replicas.is_empty().then_some((placed, None));
            let replicas = placed.replicas.iter().map(move |replica| (placed, Some(replica)));
            replicas.chain(empty)
        })
    }

    fn find_pool(&self, node: &str, id: &str) -> Result<usize, usize> {
        self.pools.binary_search_by(|placed| {
            let by_node = (*placed.pool.node).cmp(node);
            if by_node == Ordering::Equal { (*placed.pool.id).cmp(id) } else { by_node }
        })
    }

    fn find(&self, key: &ReplicaKey) -> Option<(usize, usize)> {
        let pool = self.find_pool(&key.node, &key.pool).ok()?;
        let replicas = &self.pools[pool].replicas;
        let replica = replicas.binary_search_by(|one| one.key.replica.cmp(&key.replica)).ok()?;
        Some((pool, replica))
    }

    fn refresh_memory(&mut self, id: &Arc<str>) {
        let Ok(at) = self.nodes.binary_search_by(|one| one.id.cmp(id)) else { return };
        let node = &self.nodes[at];
        for placed in self.pools.iter_mut().filter(|placed| placed.pool.node == *id) {
            placed.free_bytes = least_free(node, &placed.pool);
        }
    }
}

fn least_free(node: &Node, pool: &Pool) -> Option<u64> {
    let free = pool.devices.iter().map(|device| node.free_bytes(&device.id));
    free.collect::<Option<Vec<u64>>>()?.into_iter().min()
}
