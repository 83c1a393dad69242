use std::collections::BTreeMap;

use crate::{
    Lease, ReplicaId,
    model_queue::ModelQueue,
    slab::{Key, Slab},
    task::Task,
};

/// Replicas and who holds their slots.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaTable {
    pub(crate) replicas: Slab<ReplicaSlots>,
    pub(crate) by_id: BTreeMap<ReplicaId, Key<ReplicaSlots>>,
    pub(crate) leases: BTreeMap<Lease, Held>,
    last_lease: u64,
}

/// One replica.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaSlots {
    pub(crate) id: ReplicaId,
    /// Empty, like `slots`, once the replica is gone.
    pub(crate) models: Vec<Key<ModelQueue>>,
    pub(crate) slots: u32,
    /// Leases that are not released.
    pub(crate) busy: u32,
    /// The lease that wants nothing else here.
    pub(crate) alone: Option<Lease>,
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
            last_lease: 0,
        }
    }

    /// The record of `id`, made if there is none.
    pub(crate) fn announced(&mut self, id: &ReplicaId) -> Key<ReplicaSlots> {
        if let Some(&replica) = self.by_id.get(id) {
            self.replicas[replica].is_announced = true;
            return replica;
        }
        let replica = self.replicas.insert(ReplicaSlots {
            id: id.clone(),
            models: Vec::new(),
            slots: 0,
            busy: 0,
            alone: None,
            is_announced: true,
        });
        self.by_id.insert(id.clone(), replica);
        replica
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
        Some(replica)
    }

    /// Drops the record of a replica that is gone and holds no lease.
    pub(crate) fn forget_if_gone(&mut self, replica: Key<ReplicaSlots>) {
        let slots = &self.replicas[replica];
        if !slots.is_announced && slots.busy == 0 {
            let slots = self.replicas.remove(replica);
            self.by_id.remove(&slots.id);
        }
    }
}
