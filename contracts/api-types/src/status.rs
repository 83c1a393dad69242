use serde::{Deserialize, Serialize};

use crate::ModelView;

/// `GET /readyz`: whether work is taken, and which checks fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReadyView {
    pub ready: bool,
    /// Names of failing checks: `store`, `recovery`, `shutdown`.
    pub failing: Vec<String>,
}

/// `GET /v2/status`: the daemon at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusView {
    pub version: String,
    pub profile: String,
    pub ready: bool,
    pub failing: Vec<String>,
    pub models: Vec<ModelView>,
    pub pools: Vec<PoolStatus>,
    pub queue: Vec<QueueStatus>,
}

/// One pool at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolStatus {
    pub pool_id: String,
    pub engine: String,
    /// A state of ORCH-131, such as `preloading` or `ready`.
    pub state: String,
    pub slots_total: u32,
    pub slots_free: u32,
    /// True where nothing shows that the engine is what it should be: it was handed over by a file that names
    /// no process.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified: bool,
    /// What keeps the pool from being ready, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// One model's queue at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueStatus {
    pub model_id: String,
    pub interactive: u64,
    pub batch: u64,
    pub running: u64,
}
