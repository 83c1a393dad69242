use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;

use crate::{Alias, CatalogId, CatalogRecords, CatalogStore, Entry, EntryState, StoreError};

/// Keeps the records in memory, as long as it lives.
#[derive(Default)]
pub struct MemoryStore {
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
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
            entries: records.entries.values().cloned().collect(),
            aliases: records.aliases.clone().into_iter().collect(),
        })
    }

    async fn put(&self, entry: &Entry, aliases: &[Alias]) -> Result<(), StoreError> {
        let mut records = self.records();
        records.entries.insert(entry.id.clone(), entry.clone());
        records.aliases.extend(aliases.iter().map(|alias| (alias.clone(), entry.id.clone())));
        Ok(())
    }

    async fn set_alias(&self, alias: &Alias, id: &CatalogId) -> Result<(), StoreError> {
        let mut records = self.records();
        if !records.entries.contains_key(id) {
            return Err(StoreError::new("set an alias", "there is no such entry"));
        }
        records.aliases.insert(alias.clone(), id.clone());
        Ok(())
    }

    async fn remove_alias(&self, alias: &Alias) -> Result<(), StoreError> {
        self.records().aliases.remove(alias);
        Ok(())
    }

    async fn set_state(&self, id: &CatalogId, state: EntryState) -> Result<(), StoreError> {
        match self.records().entries.get_mut(id) {
            Some(entry) => entry.state = state,
            None => return Err(StoreError::new("change a state", "there is no such entry")),
        }
        Ok(())
    }
}
