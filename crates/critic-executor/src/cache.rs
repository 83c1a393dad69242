use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::canonical_json;
use crate::finding::CriticOutput;
use crate::input::RunInput;
use crate::plan::PlanNode;

/// What an answer depends on: the critic's name and settings, both texts, the context entries it declares, and
/// the outputs of its dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey(
    /// SHA-256.
    pub [u8; 32],
);

/// Answers from earlier runs. It is asked before admission, so a hit takes no permit, no token and no attempt.
#[async_trait]
pub trait AnswerCache: Send + Sync {
    /// The output stored under a key. Only `None` is a miss; an empty finding is a hit.
    ///
    /// # Errors
    /// Anything; it counts as a miss.
    async fn get(
        &self,
        key: &CacheKey,
    ) -> Result<Option<CriticOutput>, Box<dyn std::error::Error + Send + Sync>>;

    /// Keeps the output of a critic that answered itself.
    ///
    /// # Errors
    /// Anything; it is counted and dropped.
    async fn put(
        &self,
        key: &CacheKey,
        output: &CriticOutput,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

impl CacheKey {
    pub(crate) fn of(
        node: &PlanNode,
        input: &RunInput,
        dependencies: &[(Arc<str>, Arc<CriticOutput>)],
    ) -> Self {
        let mut hash = Sha256::new();
        let mut add = |part: Option<&[u8]>| match part {
            Some(bytes) => {
                hash.update([1]);
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
            None => hash.update([0]),
        };
        add(Some(node.spec.name.as_bytes()));
        add(node.critic_settings.as_deref().map(str::as_bytes));
        add(Some(input.input_text().as_bytes()));
        add(input.output_text().map(str::as_bytes));
        for key in &node.spec.context_keys {
            let value = input.context_value(key).map(canonical_json::to_string);
            add(Some(key.as_bytes()));
            add(value.as_deref().map(str::as_bytes));
        }
        for (name, output) in dependencies {
            add(Some(name.as_bytes()));
            let value =
                serde_json::to_value(&**output).map(|value| canonical_json::to_string(&value));
            add(value.ok().as_deref().map(str::as_bytes));
        }
        Self(hash.finalize().into())
    }
}
