//! Long-running work that outlives the request that asked for it: fetches, verifications, and whatever else
//! takes longer than an answer may.
//!
//! An operation is `running` until it has `succeeded`, `failed` or was `canceled`; nothing leaves those three
//! but by being forgotten. [`Ledger`] is that state machine, without I/O; [`Operations`] drives it over an
//! [`OperationStore`] and runs the work of each [`OperationKind`].
//!
//! Invariants: an operation is in the store before anybody is told of it, and its end before anybody sees
//! it; at most one runs for a kind and target; how many run and how many are kept is bounded; one that the
//! last process left running is taken up again or fails, with a reason; what runs ends with the
//! [`Operations`] that started it.
//!
//! The feature `testing` adds a store in memory and the contract suite for stores.

mod error;
mod kind;
mod ledger;
mod operations;
mod record;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod throughput;

pub use error::{BeginError, CancelError};
pub use kind::{Job, OperationKind};
pub use ledger::{Admission, Ledger, Limits, Refused};
pub use operations::{Operations, OperationsOptions, Parts, WallClock};
pub use record::{NewOperation, OperationId, OperationRecord, OperationState, Outcome, Progress};
pub use store::{OperationStore, StoreError};
pub use throughput::Throughput;
