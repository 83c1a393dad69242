use std::sync::Arc;

use adapter_host::{OutputSupport, ReplicaKey, Workloads};
use anyhow::Context as _;
use config_schema::{OpenAiPool, PoolFeature, PoolWorkload};
use engine_openai::{ApiKey, OpenAiAdapter, OpenAiConfig, SamplingDialect};
use orchestrator::{AttachedPool, PoolFacts, PoolState};

/// The key that the engine asks for, if it does.
///
/// # Errors
/// Its file cannot be read.
pub(crate) fn read_key(pool_id: &str, pool: &OpenAiPool) -> anyhow::Result<Option<String>> {
    let Some(path) = &pool.key_file else { return Ok(None) };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("pools.{pool_id}.key_file: cannot read {path}"))?;
    crate::logging::masker().register(text.trim());
    Ok(Some(text.trim().to_owned()))
}

/// An attached engine as the configuration describes it, and what is known of it before it was asked.
///
/// # Errors
/// The address is none.
pub(crate) fn attached(
    replica: &ReplicaKey,
    pool: &OpenAiPool,
    key: Option<&str>,
    idle_ms: u64,
) -> anyhow::Result<(AttachedPool, PoolFacts)> {
    let api_key = key.map(ApiKey::new);
    let config = OpenAiConfig {
        base_url: pool.url.clone(),
        api_key,
        connect_timeout_ms: pool.connect_timeout_ms,
        first_byte_timeout_ms: pool.first_byte_timeout_ms.unwrap_or(idle_ms),
        slots: pool.slots,
        ctx_max: pool.ctx,
        chunk_is_token: pool.chunk_is_token,
        strict: pool.strict,
        dialect: dialect(pool.dialect),
        output: output(pool),
        image_tokens: pool.image_tokens.unwrap_or(0),
        workloads: Workloads {
            completion: pool.workloads.contains(&PoolWorkload::Completion),
            embedding: pool.workloads.contains(&PoolWorkload::Embedding),
        },
    };
    let features = config.features();
    let adapter =
        OpenAiAdapter::new(config).with_context(|| format!("pools.{}", replica.pool_id))?;
    let own = || Arc::clone(&replica.pool_id);
    let models_of = pool.same_models_as.as_deref().map_or_else(own, Arc::from);
    let address: Arc<str> = Arc::from(pool.url.as_str());
    let facts = PoolFacts {
        replica: replica.clone(),
        state: PoolState::Backoff,
        last_error: Some("not asked yet".to_owned()),
        shortage: None,
        engine: "openai".to_owned(),
        engine_version: pool.engine_version.clone().unwrap_or_default(),
        sampler_profile: pool.sampler_profile_version.clone().unwrap_or_default(),
        in_process: false,
        is_verified: true,
        slots: pool.slots,
        address: Some(Arc::clone(&address)),
        features,
        models_of: Arc::clone(&models_of),
        models: Vec::new(),
    };
    let models = pool.models.clone();
    let attached = AttachedPool {
        replica: replica.clone(),
        adapter: Arc::new(adapter),
        models,
        models_of,
        address,
        engine: None,
        engine_version: pool.engine_version.clone(),
        sampler_profile: facts.sampler_profile.clone(),
        // Whoever wrote the configuration says what it is.
        is_verified: true,
    };
    Ok((attached, facts))
}

fn output(pool: &OpenAiPool) -> OutputSupport {
    let named = pool.features();
    let has = |feature| named.contains(&feature);
    OutputSupport {
        json_object: has(PoolFeature::JsonObject),
        json_schema: has(PoolFeature::JsonSchema),
        logprobs: has(PoolFeature::Logprobs),
        tools: has(PoolFeature::Tools),
        choices: has(PoolFeature::Choices),
        images: pool.image_tokens.is_some(),
    }
}

fn dialect(configured: config_schema::SamplingDialect) -> SamplingDialect {
    match configured {
        config_schema::SamplingDialect::Standard => SamplingDialect::Standard,
        config_schema::SamplingDialect::Vllm => SamplingDialect::Vllm,
        config_schema::SamplingDialect::LlamaCpp => SamplingDialect::LlamaCpp,
    }
}
