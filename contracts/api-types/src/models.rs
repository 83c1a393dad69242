use serde::{Deserialize, Serialize};

/// A model of the catalog as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelView {
    /// `sha256:…` or `remote:<pool>/<name>`.
    pub id: String,
    pub aliases: Vec<String>,
    pub source_ref: String,
    pub state: String,
    /// When it was registered; null until it is.
    pub created_at: Option<String>,
    /// False for models that only a remote engine holds.
    pub verified: bool,
    pub architecture: Option<String>,
    pub quant: Option<String>,
    pub ctx_max: Option<u32>,
    pub size_bytes: Option<u64>,
    /// Pools that may serve it.
    pub pools: Vec<String>,
    /// Ready replicas over all pools.
    pub ready_replicas: u32,
}

/// Models, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelList {
    pub items: Vec<ModelView>,
}
