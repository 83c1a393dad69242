use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;

use crate::{OperationId, OperationRecord, OperationStore, StoreError};

/// Keeps operations in memory, as long as it lives.
#[derive(Default)]
pub struct MemoryStore {
    records: Mutex<BTreeMap<OperationId, OperationRecord>>,
    is_broken: AtomicBool,
}

impl MemoryStore {
    /// Lets all writes fail from now on, or succeed again.
    pub fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::SeqCst);
    }

    fn check(&self, action: &'static str) -> Result<(), StoreError> {
        match self.is_broken.load(Ordering::SeqCst) {
            true => Err(StoreError::new(action, "it was told to fail")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl OperationStore for MemoryStore {
    async fn load(&self) -> Result<Vec<OperationRecord>, StoreError> {
        Ok(self.records.lock().expect("no holder panics").values().cloned().collect())
    }

    async fn put(&self, record: &OperationRecord) -> Result<(), StoreError> {
        self.check("keep an operation")?;
        self.records.lock().expect("no holder panics").insert(record.id, record.clone());
        Ok(())
    }

    async fn remove(&self, ids: &[OperationId]) -> Result<(), StoreError> {
        self.check("remove operations")?;
        let mut records = self.records.lock().expect("no holder panics");
        records.retain(|id, _| !ids.contains(id));
        Ok(())
    }
}
