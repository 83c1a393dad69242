use std::sync::Arc;

use adapter_host::{AdapterError, Attempt, AttemptId, EngineAdapter, EngineStream, Props};
use async_trait::async_trait;
use handoff_schema::HandoffFile;

/// An engine that says of itself what kind its handoff file says it is: its protocol cannot.
pub(crate) struct HandedEngine {
    adapter: Arc<dyn EngineAdapter>,
    engine: &'static str,
}

impl HandedEngine {
    pub(crate) fn new(adapter: Arc<dyn EngineAdapter>, file: &HandoffFile) -> Self {
        Self { adapter, engine: file.engine.name() }
    }
}

#[async_trait]
impl EngineAdapter for HandedEngine {
    async fn health(&self) -> Result<(), AdapterError> {
        self.adapter.health().await
    }

    async fn props(&self) -> Result<Props, AdapterError> {
        let props = self.adapter.props().await?;
        Ok(Props { engine: self.engine.to_owned(), ..props })
    }

    async fn submit(&self, attempt: Attempt) -> Result<EngineStream, AdapterError> {
        self.adapter.submit(attempt).await
    }

    async fn abort(&self, attempt: AttemptId) -> Result<(), AdapterError> {
        self.adapter.abort(attempt).await
    }
}
