use std::fmt;

use async_trait::async_trait;
use handoff_schema::HandoffFile;

/// What the watcher asks of engines, and nothing more.
#[async_trait]
pub trait EngineProbe: Send + Sync {
    /// The models that the engine at the file's address offers to whoever has this key.
    ///
    /// # Errors
    /// Why there is no list.
    async fn models(
        &self,
        file: &HandoffFile,
        key: Option<&WorkerKey>,
    ) -> Result<Vec<OfferedModel>, Unanswered>;
}

/// A model that an engine offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedModel {
    pub name: String,
    /// Context in tokens, where the engine tells it.
    pub ctx_max: Option<u32>,
}

/// Why an engine did not tell its models.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It does not take the key, or wants one.
    #[error("the engine does not accept the key")]
    KeyRefused,
    /// It may answer later.
    #[error("{reason}")]
    Silent { reason: String },
}

/// A worker's own key. Its debug form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct WorkerKey(String);

impl WorkerKey {
    /// A key as its file has it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The key, for the header that carries it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for WorkerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkerKey")
    }
}
