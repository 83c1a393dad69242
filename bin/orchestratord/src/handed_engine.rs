use std::sync::Arc;

use adapter_host::{AdapterError, Attempt, AttemptId, EngineAdapter, EngineStream, Props};
use async_trait::async_trait;
use handoff_schema::HandoffFile;

/// An engine that tells of itself what its handoff file says: its protocol cannot.
pub(crate) struct HandedEngine {
    adapter: Arc<dyn EngineAdapter>,
    engine: String,
    engine_version: String,
}

impl HandedEngine {
    pub(crate) fn new(adapter: Arc<dyn EngineAdapter>, file: &HandoffFile) -> Self {
        Self {
            adapter,
            engine: file.engine.name().to_owned(),
            engine_version: file.engine_version.clone().unwrap_or_default(),
        }
    }
}

#[async_trait]
impl EngineAdapter for HandedEngine {
    async fn health(&self) -> Result<(), AdapterError> {
        self.adapter.health().await
    }

    async fn props(&self) -> Result<Props, AdapterError> {
        let props = self.adapter.props().await?;
        let (engine, engine_version) = (self.engine.clone(), self.engine_version.clone());
        Ok(Props { engine, engine_version, ..props })
    }

    async fn submit(&self, attempt: Attempt) -> Result<EngineStream, AdapterError> {
        self.adapter.submit(attempt).await
    }

    async fn abort(&self, attempt: AttemptId) -> Result<(), AdapterError> {
        self.adapter.abort(attempt).await
    }
}
