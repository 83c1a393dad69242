use serde::{Deserialize, Serialize};

/// A model of the catalog as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelView {
    /// `sha256:…` or `remote:<pool>/<name>`.
    pub id: String,
    pub aliases: Vec<String>,
    pub source_ref: String,
    pub state: String,
    /// When it was registered; null until it is.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub created_at: Option<String>,
    /// False for models that only a remote engine holds.
    pub verified: bool,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub architecture: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub quant: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub ctx_max: Option<u32>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub size_bytes: Option<u64>,
    /// Pools that may serve it.
    pub pools: Vec<String>,
    /// Ready replicas over all pools.
    pub ready_replicas: u32,
}

/// Models, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelList {
    pub items: Vec<ModelView>,
}
