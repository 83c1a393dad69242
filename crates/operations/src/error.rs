use crate::{OperationId, StoreError};

/// Why an operation was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// One of this kind and target runs that was asked for in another way.
    #[error("operation {running} does this already in another way; wait for it or cancel it")]
    Busy { running: OperationId },
    /// As many run as may.
    #[error("{limit} operations run, as many as may; wait for one or cancel it")]
    Full { limit: usize },
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What runs operations has ended.
    #[error("operations are not run any more")]
    Closed,
}

/// Why an operation was not canceled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// There is none of this id, or none any more.
    #[error("no operation has this id")]
    Unknown,
    /// Its kind cannot be stopped half-way.
    #[error("an operation of the kind `{kind}` cannot be canceled; wait for its end")]
    NotCancelable { kind: String },
    /// What runs operations has ended.
    #[error("operations are not run any more")]
    Closed,
}
