use std::error::Error;

use async_trait::async_trait;

use crate::{Alias, CatalogId, Entry, EntryState};

/// Everything that a store keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogRecords {
    /// All entries, ordered by id.
    pub entries: Vec<Entry>,
    /// All aliases with the ids they point to, ordered by alias.
    pub aliases: Vec<(Alias, CatalogId)>,
}

/// Where the catalog's records are kept. Each call is one transaction: it is wholly there after a crash,
/// or not at all. [`Catalog`](crate::Catalog) makes one call at a time.
#[async_trait]
pub trait CatalogStore: Send + Sync {
    /// Reads everything.
    ///
    /// # Errors
    /// [`StoreError`] where the records cannot be read or are damaged.
    async fn load(&self) -> Result<CatalogRecords, StoreError>;

    /// Writes `entry`, in place of one with the same id, and points `aliases` to it, wherever they
    /// pointed before; other aliases stay.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    async fn put(&self, entry: &Entry, aliases: &[Alias]) -> Result<(), StoreError>;

    /// Points an alias to an entry.
    ///
    /// # Errors
    /// [`StoreError`], also where there is no such entry.
    async fn set_alias(&self, alias: &Alias, id: &CatalogId) -> Result<(), StoreError>;

    /// Removes an alias; one that does not exist is no error.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn remove_alias(&self, alias: &Alias) -> Result<(), StoreError>;

    /// Changes the state of an entry.
    ///
    /// # Errors
    /// [`StoreError`], also where there is no such entry.
    async fn set_state(&self, id: &CatalogId, state: EntryState) -> Result<(), StoreError>;
}

/// A store failed.
#[derive(Debug, thiserror::Error)]
#[error("the catalog's store failed to {action}; check the data directory and its disk")]
pub struct StoreError {
    /// What it was about to do.
    pub action: &'static str,
    /// Why it failed.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// An error from what was attempted and why it failed.
    pub fn new(action: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { action, source: source.into() }
    }
}
