use std::{collections::BTreeMap, sync::Arc};

use crate::{Alias, CatalogId, CatalogRecords, Change, Entry, StoreError};

/// An entry with the names that point to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedModel {
    /// The entry.
    pub entry: Arc<Entry>,
    /// Its aliases, in order.
    pub aliases: Vec<Alias>,
}

/// The records of the store in memory.
#[derive(Default)]
pub(crate) struct Index {
    pub(crate) revision: u64,
    pub(crate) entries: BTreeMap<CatalogId, Arc<Entry>>,
    pub(crate) aliases: BTreeMap<Alias, CatalogId>,
}

impl Index {
    pub(crate) fn of(records: CatalogRecords) -> Result<Self, StoreError> {
        let entries: BTreeMap<_, _> =
            records.entries.into_iter().map(|e| (e.id.clone(), Arc::new(e))).collect();
        let aliases: BTreeMap<_, _> = records.aliases.into_iter().collect();
        if aliases.values().any(|id| !entries.contains_key(id)) {
            return Err(StoreError::new("read the aliases", "an alias points to no entry"));
        }
        Ok(Self { revision: records.revision, entries, aliases })
    }

    /// The entry of a name or an id.
    pub(crate) fn find(&self, model_ref: &str) -> Option<&Arc<Entry>> {
        if let Some(id) = self.aliases.get(model_ref) {
            return self.entries.get(id);
        }
        self.entries.get(&model_ref.parse().ok()?)
    }

    pub(crate) fn listed(&self, id: &CatalogId) -> Option<ListedModel> {
        let entry = Arc::clone(self.entries.get(id)?);
        let named = self.aliases.iter().filter(|(_, target)| *target == id);
        Some(ListedModel { entry, aliases: named.map(|(alias, _)| alias.clone()).collect() })
    }

    pub(crate) fn list(&self) -> Vec<ListedModel> {
        let mut names: BTreeMap<&CatalogId, Vec<Alias>> = BTreeMap::new();
        for (alias, id) in &self.aliases {
            names.entry(id).or_default().push(alias.clone());
        }
        let listed = |(id, entry): (&CatalogId, &Arc<Entry>)| ListedModel {
            entry: Arc::clone(entry),
            aliases: names.remove(id).unwrap_or_default(),
        };
        self.entries.iter().map(listed).collect()
    }

    /// Follows changes that the store has made.
    pub(crate) fn apply(&mut self, changes: Vec<Change>, revision: u64) {
        self.revision = revision;
        for change in changes {
            match change {
                Change::Put(entry) => {
                    self.entries.insert(entry.id.clone(), Arc::new(*entry));
                }
                Change::Remove(id) => {
                    self.entries.remove(&id);
                    self.aliases.retain(|_, target| *target != id);
                }
                Change::SetAlias(alias, id) => {
                    self.aliases.insert(alias, id);
                }
                Change::RemoveAlias(alias) => {
                    self.aliases.remove(&alias);
                }
            }
        }
    }
}
