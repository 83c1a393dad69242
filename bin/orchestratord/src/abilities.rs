use adapter_host::{Features, Workloads};
use api_types::{
    CapabilitiesView, LimitsView, ModelCapabilities, PoolCapabilities, RateLimitsView, limits,
};
use config_schema::Config;
use orchestrator::{Orchestrator, PoolFacts};

use crate::openapi::API_VERSION;

/// What the configuration says of the daemon's abilities.
#[derive(Debug, Clone)]
pub(crate) struct Abilities {
    profile: &'static str,
    features: Vec<String>,
    limits: LimitsView,
    rate_limits: Option<RateLimitsView>,
}

impl Abilities {
    pub(crate) fn of(config: &Config) -> Self {
        let optional = [
            ("tokens", config.auth.is_required()),
            ("tls", config.tls.cert.is_some()),
            ("cors", !config.cors.allowed_origins.is_empty()),
        ];
        let always = ["openai_facade", "idempotency", "event_resume", "failover"];
        let optional = optional.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name);
        let rates = &config.limits;
        let limit = |per_second: u32| (per_second > 0).then_some(per_second);
        let has_rates = rates.requests_per_second > 0 || rates.prompt_tokens_per_second > 0;
        Self {
            profile: config.profile.name(),
            features: always.into_iter().chain(optional).map(str::to_owned).collect(),
            limits: limits_view(config),
            rate_limits: has_rates.then(|| RateLimitsView {
                requests_per_second: limit(rates.requests_per_second),
                requests_burst: rates.requests_burst,
                prompt_tokens_per_second: limit(rates.prompt_tokens_per_second),
                prompt_tokens_burst: rates.prompt_tokens_burst,
            }),
        }
    }

    /// Together with what the engines have told.
    pub(crate) fn view(&self, orchestrator: &Orchestrator) -> CapabilitiesView {
        let mut models: Vec<ModelCapabilities> = Vec::new();
        for model in orchestrator.standing().models {
            let pools = orchestrator.pools_of(&model.id);
            let pools = pools.iter().map(|pool| self.pool(pool, &model.id)).collect();
            models.push(ModelCapabilities { model_id: model.id, aliases: model.aliases, pools });
        }
        models.sort_by(|one, other| one.model_id.cmp(&other.model_id));
        CapabilitiesView {
            api_version: API_VERSION.to_owned(),
            profile: self.profile.to_owned(),
            features: self.features.clone(),
            limits: self.limits.clone(),
            models,
        }
    }

    fn pool(&self, pool: &PoolFacts, model_id: &str) -> PoolCapabilities {
        let model = pool.models.iter().find(|model| &*model.id == model_id);
        let ctx_max = model.and_then(|model| model.ctx_max);
        PoolCapabilities {
            pool_id: pool.replica.pool_id.to_string(),
            state: pool.state.name().to_owned(),
            engine: pool.engine.clone(),
            engine_version: pool.engine_version.clone(),
            sampler_profile_version: Some(pool.sampler_profile.clone())
                .filter(|profile| !profile.is_empty()),
            ctx_max,
            max_tokens_out: ctx_max.map(|ctx_max| ctx_max.saturating_sub(1)),
            slots_total: pool.slots,
            batching: pool.slots > 1,
            workloads: workloads(pool.features.workloads),
            features: names(&pool.features),
            rate_limits: self.rate_limits.clone(),
        }
    }
}

fn limits_view(config: &Config) -> LimitsView {
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let (server, queue, stream) = (&config.server, &config.queue, &config.stream);
    LimitsView {
        body_max_bytes: server.body_max_bytes,
        header_max_bytes: wide(server.header_max_bytes),
        headers_max: wide(server.headers_max),
        prompt_max_bytes: wide(limits::PROMPT_BYTES_MAX),
        stop_max: wide(limits::STOP_MAX),
        metadata_keys_max: wide(limits::METADATA_KEYS_MAX),
        queue_model_capacity: queue.model_capacity.into(),
        queue_total_capacity: queue.total_capacity.into(),
        queue_max_bytes: queue.bytes_max,
        queue_max_ms: queue.queue_max_ms,
        subscribers_per_task: wide(stream.subscribers_per_task),
        subscribers_max: wide(stream.subscribers_max),
    }
}

/// Kinds of work, by the names that a task's `workload` has.
fn workloads(served: Workloads) -> Vec<String> {
    let Workloads { completion, embedding } = served;
    let all = [("completion", completion), ("embedding", embedding)];
    all.into_iter().filter(|(_, can)| *can).map(|(name, _)| name.to_owned()).collect()
}

/// What an engine can, by name.
fn names(features: &Features) -> Vec<String> {
    let Features {
        token_ids,
        chat,
        replay,
        strict,
        sampling,
        output,
        image_tokens: _,
        workloads: _,
    } = features;
    let all = [
        ("chat", *chat),
        ("token_ids", *token_ids),
        ("replay", *replay),
        ("strict", *strict),
        ("json_object", output.json_object),
        ("json_schema", output.json_schema),
        ("logprobs", output.logprobs),
        ("tools", output.tools),
        ("choices", output.choices),
        ("images", output.images),
        ("sampling.temperature", sampling.temperature),
        ("sampling.top_p", sampling.top_p),
        ("sampling.top_k", sampling.top_k),
        ("sampling.min_p", sampling.min_p),
        ("sampling.repeat_penalty", sampling.repeat_penalty),
        ("sampling.presence_penalty", sampling.presence_penalty),
        ("sampling.frequency_penalty", sampling.frequency_penalty),
        ("sampling.seed", sampling.seed),
    ];
    all.into_iter().filter(|(_, can)| *can).map(|(name, _)| name.to_owned()).collect()
}
