use std::error::Error;

use async_trait::async_trait;

use crate::{Alias, CatalogId, Entry};

/// Everything that a store keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogRecords {
    /// How many commits led to this.
    pub revision: u64,
    /// All entries, ordered by id.
    pub entries: Vec<Entry>,
    /// All aliases with the ids they point to, ordered by alias.
    pub aliases: Vec<(Alias, CatalogId)>,
}

/// One change of the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes an entry, in place of one with the same id; its aliases stay.
    Put(Box<Entry>),
    /// Removes an entry and every alias that points to it; one that does not exist is no error.
    Remove(CatalogId),
    /// Points an alias to an entry, wherever it pointed before. There has to be such an entry.
    SetAlias(Alias, CatalogId),
    /// Removes an alias; one that does not exist is no error.
    RemoveAlias(Alias),
}

/// What became of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// All of them are there.
    Done {
        /// The revision that they led to.
        revision: u64,
    },
    /// None of them is: somebody else changed the records meanwhile.
    Outdated,
}

/// Where the catalog's records are kept, by one process or by several.
#[async_trait]
pub trait CatalogStore: Send + Sync {
    /// Reads everything, as of one moment.
    ///
    /// # Errors
    /// [`StoreError`] where the records cannot be read or are damaged.
    async fn load(&self) -> Result<CatalogRecords, StoreError>;

    /// The revision now.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn revision(&self) -> Result<u64, StoreError>;

    /// Makes all changes, in order and in one transaction, if the records are still those of `revision`:
    /// what was decided on older ones is decided again. After a crash they are all there, or none is.
    ///
    /// # Errors
    /// [`StoreError`], also where an alias would dangle; nothing is changed then.
    async fn commit(&self, revision: u64, changes: Vec<Change>) -> Result<Commit, StoreError>;
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
