use std::{collections::BTreeMap, sync::Arc};

use placement::{Node, ReplicaKey, ReplicaState, Snapshot};

use crate::{
    Lease, Replica,
    model_queue::ModelQueue,
    slab::{Key, Slab},
    task::Task,
};

/// Replicas and who holds their slots.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaTable {
    pub(crate) replicas: Slab<ReplicaSlots>,
    pub(crate) by_id: BTreeMap<ReplicaKey, Key<ReplicaSlots>>,
    pub(crate) leases: BTreeMap<Lease, Held>,
    /// What placement decides by: the replicas that are there, with their slots that are taken.
    pub(crate) snapshot: Snapshot,
    /// Replicas that empty for a task that wants one to itself.
    pub(crate) emptying: Vec<Key<ReplicaSlots>>,
    /// Replicas before each server that was named.
    servers: BTreeMap<Arc<str>, Vec<Key<ReplicaSlots>>>,
    last_lease: u64,
}

/// One replica.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaSlots {
    pub(crate) id: ReplicaKey,
    /// Empty, like `slots`, once the replica is gone.
    pub(crate) models: Vec<Key<ModelQueue>>,
    /// Open ones: none where it takes no work.
    pub(crate) slots: u32,
    /// Leases that are not released.
    pub(crate) busy: u32,
    /// The lease that wants nothing else here.
    pub(crate) alone: Option<Lease>,
    /// What its slots are those of, where that is not itself.
    server: Option<Arc<str>>,
    /// False once it is gone: it stays until its leases are released.
    pub(crate) is_announced: bool,
}

/// What a lease stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) replica: Key<ReplicaSlots>,
    /// When it was given.
    pub(crate) since_ms: u64,
    /// `None` once the task is over or waits again.
    pub(crate) task: Option<Key<Task>>,
}

impl ReplicaTable {
    pub(crate) fn new() -> Self {
        Self {
            replicas: Slab::new(),
            by_id: BTreeMap::new(),
            leases: BTreeMap::new(),
            snapshot: Snapshot::default(),
            emptying: Vec::new(),
            servers: BTreeMap::new(),
            last_lease: 0,
        }
    }

    /// Takes in what is known of a replica, and gives its record, made if there is none.
    pub(crate) fn announce(&mut self, change: &Replica) -> Key<ReplicaSlots> {
        let Replica { pool, replica, server } = change;
        let id = &replica.key;
        let key = self.by_id.get(id).copied().unwrap_or_else(|| {
            let key = self.replicas.insert(ReplicaSlots {
                id: id.clone(),
                models: Vec::new(),
                slots: 0,
                busy: 0,
                alone: None,
                server: None,
                is_announced: true,
            });
            self.by_id.insert(id.clone(), key);
            key
        });
        let slots = &mut self.replicas[key];
        slots.is_announced = true;
        slots.slots = if replica.state == ReplicaState::Ready { replica.slots } else { 0 };
        // Every node that announces something is online in this build.
        self.snapshot.put_node(Node::online(id.node.clone()));
        self.snapshot.put_pool(pool.clone()).expect("its node was put just now");
        self.snapshot.put_replica(replica.clone()).expect("its pool was put just now");
        if self.replicas[key].server != *server {
            self.leave_server(key);
            if let Some(server) = server {
                self.servers.entry(Arc::clone(server)).or_default().push(key);
            }
            self.replicas[key].server.clone_from(server);
        }
        self.refresh(key);
        key
    }

    /// The replica is gone: nothing is placed there any more. Its leases stay.
    pub(crate) fn withdraw(&mut self, replica: Key<ReplicaSlots>) {
        let slots = &mut self.replicas[replica];
        slots.slots = 0;
        slots.is_announced = false;
        let ReplicaKey { node, pool, .. } = &slots.id;
        self.snapshot.remove_replica(&slots.id);
        let is_sibling = |one: &placement::Replica| one.key.node == *node && one.key.pool == *pool;
        if !self.snapshot.replicas().any(is_sibling) {
            self.snapshot.remove_pool(node, pool);
        }
        self.forget_if_gone(replica);
    }

    pub(crate) fn lease(
        &mut self,
        replica: Key<ReplicaSlots>,
        task: Key<Task>,
        alone: bool,
        since_ms: u64,
    ) -> Lease {
        self.last_lease += 1;
        let lease = Lease(self.last_lease);
        self.leases.insert(lease, Held { replica, since_ms, task: Some(task) });
        let slots = &mut self.replicas[replica];
        slots.busy += 1;
        if alone {
            slots.alone = Some(lease);
        }
        self.refresh(replica);
        lease
    }

    /// The lease no longer belongs to a task; its slot stays busy.
    pub(crate) fn orphan(&mut self, lease: Lease) {
        if let Some(held) = self.leases.get_mut(&lease) {
            held.task = None;
        }
    }

    /// Frees the lease's slot and names its replica; `None` where nobody holds it.
    pub(crate) fn release(&mut self, lease: Lease) -> Option<Key<ReplicaSlots>> {
        let Held { replica, .. } = self.leases.remove(&lease)?;
        let slots = &mut self.replicas[replica];
        slots.busy -= 1;
        if slots.alone == Some(lease) {
            slots.alone = None;
        }
        self.refresh(replica);
        Some(replica)
    }

    /// Drops the record of a replica that is gone and holds no lease.
    pub(crate) fn forget_if_gone(&mut self, replica: Key<ReplicaSlots>) {
        let slots = &self.replicas[replica];
        if !slots.is_announced && slots.busy == 0 {
            self.leave_server(replica);
            let slots = self.replicas.remove(replica);
            self.by_id.remove(&slots.id);
            self.emptying.retain(|other| *other != replica);
        }
    }

    /// Lets exactly these replicas empty.
    pub(crate) fn set_emptying(&mut self, emptying: Vec<Key<ReplicaSlots>>) {
        if emptying == self.emptying {
            return;
        }
        let former = std::mem::replace(&mut self.emptying, emptying);
        let changed: Vec<_> = former.iter().chain(&self.emptying).copied().collect();
        for replica in changed {
            self.refresh(replica);
        }
    }

    /// Whether something can start there that does not want the replica to itself.
    pub(crate) fn has_slot(&self, replica: Key<ReplicaSlots>) -> bool {
        self.occupied(replica) < self.replicas[replica].slots && !self.is_kept(replica)
    }

    /// Slots that are taken where `replica` stands, by itself or by others before the same server.
    pub(crate) fn occupied(&self, replica: Key<ReplicaSlots>) -> u32 {
        self.beside(&replica).iter().map(|one| self.replicas[*one].busy).sum()
    }

    /// The replicas before the same server, `replica` itself among them.
    pub(crate) fn beside<'a>(&'a self, replica: &'a Key<ReplicaSlots>) -> &'a [Key<ReplicaSlots>] {
        let server = self.replicas[*replica].server.as_ref();
        let beside = server.and_then(|server| self.servers.get(server));
        beside.map_or(std::slice::from_ref(replica), Vec::as_slice)
    }

    /// Whether its slots are kept for a task that runs alone.
    fn is_kept(&self, replica: Key<ReplicaSlots>) -> bool {
        let is_alone = |one: &Key<ReplicaSlots>| self.replicas[*one].alone.is_some();
        self.emptying.contains(&replica) || self.beside(&replica).iter().any(is_alone)
    }

    /// It stands before no server that was named, from now on.
    fn leave_server(&mut self, replica: Key<ReplicaSlots>) {
        let Some(server) = self.replicas[replica].server.take() else { return };
        if let Some(beside) = self.servers.get_mut(&server) {
            beside.retain(|other| *other != replica);
            let left = beside.clone();
            if left.is_empty() {
                self.servers.remove(&server);
            }
            left.into_iter().for_each(|other| self.refresh(other));
        }
    }

    /// Tells the snapshot which slots are taken, there and before the same server.
    fn refresh(&mut self, replica: Key<ReplicaSlots>) {
        if self.replicas.get(replica).is_none() {
            return;
        }
        let occupied = self.occupied(replica);
        for at in 0..self.beside(&replica).len() {
            let one = self.beside(&replica)[at];
            let is_kept = self.is_kept(one);
            let id = &self.replicas[one].id;
            self.snapshot.set_busy(id, occupied);
            self.snapshot.set_kept(id, is_kept);
        }
    }
}
