use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;

use crate::{Alias, CatalogId, CatalogRecords, CatalogStore, Change, Commit, Entry, StoreError};

/// Keeps the records in memory, as long as it lives.
#[derive(Default)]
pub struct MemoryStore {
    records: Mutex<Records>,
}

#[derive(Clone, Default)]
struct Records {
    revision: u64,
    entries: BTreeMap<CatalogId, Entry>,
    aliases: BTreeMap<Alias, CatalogId>,
}

impl MemoryStore {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().expect("no holder panics")
    }
}

#[async_trait]
impl CatalogStore for MemoryStore {
    async fn load(&self) -> Result<CatalogRecords, StoreError> {
        let records = self.records();
        Ok(CatalogRecords {
            revision: records.revision,
            entries: records.entries.values().cloned().collect(),
            aliases: records.aliases.clone().into_iter().collect(),
        })
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        Ok(self.records().revision)
    }

    async fn commit(&self, revision: u64, changes: Vec<Change>) -> Result<Commit, StoreError> {
        let mut records = self.records();
        if records.revision != revision {
            return Ok(Commit::Outdated);
        }
        let mut next = records.clone();
        for change in changes {
            match change {
                Change::Put(entry) => {
                    next.entries.insert(entry.id.clone(), *entry);
                }
                Change::Remove(id) => {
                    next.entries.remove(&id);
                    next.aliases.retain(|_, target| *target != id);
                }
                Change::SetAlias(alias, id) => {
                    if !next.entries.contains_key(&id) {
                        return Err(StoreError::new("set an alias", "there is no such entry"));
                    }
                    next.aliases.insert(alias, id);
                }
                Change::RemoveAlias(alias) => {
                    next.aliases.remove(&alias);
                }
            }
        }
        next.revision += 1;
        *records = next;
        Ok(Commit::Done { revision: revision + 1 })
    }
}
