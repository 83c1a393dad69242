use serde::{Deserialize, Serialize};

/// `GET /v2/meta/version` (ORCH-252).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionView {
    /// Version of the API, equal to that of the OpenAPI document.
    pub api_version: String,
    /// Version of the daemon.
    pub version: String,
    /// Commit that it was built from; `unknown` where it was not built from a checkout.
    pub build_commit: String,
    /// When it was built; what `SOURCE_DATE_EPOCH` said where that was set.
    pub build_time: String,
}

/// `GET /v2/meta/capabilities`: what this daemon serves as it is configured and with the engines that it has
/// now (ORCH-251).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CapabilitiesView {
    /// Version of the API, equal to that of the OpenAPI document.
    pub api_version: String,
    pub profile: String,
    /// Parts of the API that are served and protections that are on, such as `openai_facade` or `tls`.
    pub features: Vec<String>,
    pub limits: LimitsView,
    /// In the order of their ids.
    pub models: Vec<ModelCapabilities>,
}

/// What a request may be, and how much is kept waiting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LimitsView {
    pub body_max_bytes: u64,
    pub header_max_bytes: u64,
    pub headers_max: u64,
    /// Text of one task.
    pub prompt_max_bytes: u64,
    pub stop_max: u64,
    pub metadata_keys_max: u64,
    /// Tasks that may wait for one model.
    pub queue_model_capacity: u64,
    /// Tasks that may wait for all models.
    pub queue_total_capacity: u64,
    /// Prompts that may wait.
    pub queue_max_bytes: u64,
    /// Longest wait.
    pub queue_max_ms: u64,
    pub subscribers_per_task: u64,
    pub subscribers_max: u64,
}

/// One model, by the pools that hold it or are told to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelCapabilities {
    pub model_id: String,
    pub aliases: Vec<String>,
    pub pools: Vec<PoolCapabilities>,
}

/// What a pool can do with a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolCapabilities {
    pub pool_id: String,
    /// A state of ORCH-131, such as `preloading` or `ready`.
    pub state: String,
    pub engine: String,
    /// Empty where neither the engine nor the configuration tells it.
    pub engine_version: String,
    /// The configuration's name of how it draws tokens; null where it gives none.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub sampler_profile_version: Option<String>,
    /// Context in tokens, prompt and answer together; null where the engine does not tell.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub ctx_max: Option<u32>,
    /// Most tokens of an answer, to the shortest prompt; null where the engine does not tell.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub max_tokens_out: Option<u32>,
    pub slots_total: u32,
    /// Whether generations run beside each other.
    pub batching: bool,
    /// Such as `completion`.
    pub workloads: Vec<String>,
    /// What the engine can: `chat`, `token_ids`, `replay`, `strict`, `json_object`, `json_schema`, `logprobs`,
    /// `tools`, `choices`, `images`, and `sampling.` with each parameter that takes effect.
    pub features: Vec<String>,
    /// For each client; null where none are set.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub rate_limits: Option<RateLimitsView>,
}

/// How much each client may ask for; null is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RateLimitsView {
    #[cfg_attr(feature = "openapi", schema(required))]
    pub requests_per_second: Option<u32>,
    pub requests_burst: u32,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub prompt_tokens_per_second: Option<u32>,
    pub prompt_tokens_burst: u32,
}
