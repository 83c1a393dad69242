use adapter_host::{AdapterError, ReplicaKey};
use async_trait::async_trait;
use handoff::{EngineProbe, OfferedModel, Unanswered, WorkerKey};
use handoff_schema::HandoffFile;

use crate::{handoff_pools::pool_of, openai_pool};

/// How long an engine that is asked what it is may stay silent, in milliseconds.
const ANSWER_MS: u64 = 2_000;

/// Asks engines that are handed over as those of the configuration are asked.
pub(crate) struct OpenAiProbe;

#[async_trait]
impl EngineProbe for OpenAiProbe {
    async fn models(
        &self,
        file: &HandoffFile,
        key: Option<&WorkerKey>,
    ) -> Result<Vec<OfferedModel>, Unanswered> {
        let silent = |reason: String| Unanswered::Silent { reason };
        // What the engine itself tells, uncapped.
        let pool = config_schema::OpenAiPool { ctx: None, ..pool_of(file) };
        let replica = ReplicaKey::new(&file.pool_id, &file.replica_id);
        let key = key.map(WorkerKey::reveal);
        let (attached, _) = openai_pool::attached(&replica, &pool, key, ANSWER_MS)
            .map_err(|error| silent(format!("{error:#}")))?;
        let props = attached.adapter.props().await.map_err(|error| match error {
            AdapterError::Unauthorized => Unanswered::KeyRefused,
            other => silent(other.to_string()),
        })?;
        let models = props.models.into_iter();
        Ok(models.map(|model| OfferedModel { name: model.name, ctx_max: model.ctx_max }).collect())
    }
}
