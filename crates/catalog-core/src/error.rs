use crate::{Alias, CatalogId, Distrust, StoreError};

/// Why a model cannot be used for a new task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No alias and no id of this name.
    #[error(
        "model `{model}` is not in the catalog; register it with POST /v2/catalog/models, or name its \
         source as `[models.<id>] source` in the configuration"
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
    #[error(
        "model `{id}` is out of service: {reason}; verify it again with POST /v2/catalog/models/{id}/verify"
    )]
    OutOfService {
        /// The entry.
        id: CatalogId,
        /// What changed.
        reason: String,
    },
    /// The trust policy does not let it be used.
    #[error("model `{id}` is not to be trusted: {source}")]
    Untrusted {
        /// The entry.
        id: CatalogId,
        /// What is wrong with it.
        source: Distrust,
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
    /// It is not, or not any more, what the caller wants to change.
    #[error("the entry has changed since it was read; read it again")]
    Changed,
    /// Others changed the catalog so often that this change never was up to date.
    #[error("the catalog is changed by others all the time; try again")]
    Contended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
