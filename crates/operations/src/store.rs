use std::error::Error;

use async_trait::async_trait;

use crate::{OperationId, OperationRecord};

/// Where operations are kept. Each call is one transaction: wholly there after a crash, or not at all.
#[async_trait]
pub trait OperationStore: Send + Sync {
    /// Reads all operations, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] where they cannot be read or are damaged.
    async fn load(&self) -> Result<Vec<OperationRecord>, StoreError>;

    /// Writes an operation, in place of one with the same id.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    async fn put(&self, record: &OperationRecord) -> Result<(), StoreError>;

    /// Removes operations; those that are not there are no error.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is removed then.
    async fn remove(&self, ids: &[OperationId]) -> Result<(), StoreError>;
}

/// A store failed.
#[derive(Debug, thiserror::Error)]
#[error("the store of operations failed to {action}; check the data directory and its disk")]
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
