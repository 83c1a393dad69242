use crate::{Alias, CatalogId, StoreError};

/// Why a model cannot be used for a new task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No alias and no id of this name.
    #[error(
        "model `{model}` is not in the catalog; name its source as `[models.<id>] source` in the configuration"
    )]
    UnknownModel {
        /// What was asked for, cut to 128 characters.
        model: String,
    },
    /// The entry takes no new tasks.
    #[error("model `{id}` is retired and takes no new tasks; use another model")]
    Retired {
        /// The entry.
        id: CatalogId,
    },
    /// The entry's file changed since it was verified.
    #[error("model `{id}` is out of service: {reason}; verify it again, a restart does so")]
    OutOfService {
        /// The entry.
        id: CatalogId,
        /// What changed.
        reason: String,
    },
}

/// Why the catalog could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The model cannot be used.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// There are as many entries as may be.
    #[error("the catalog holds its limit of {limit} models; retire and delete some")]
    TooManyModels {
        /// The limit.
        limit: usize,
    },
    /// There are as many aliases as may be.
    #[error("the catalog holds its limit of {limit} names of models; remove some")]
    TooManyAliases {
        /// The limit.
        limit: usize,
    },
    /// The alias to remove does not exist.
    #[error("no model is named `{alias}`")]
    UnknownAlias {
        /// The alias.
        alias: Alias,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
