//! The pure scheduler: which task is admitted, which runs next and where, and when a task has waited or
//! run too long.
//!
//! [`Scheduler::step`] takes an event and the time and answers with actions; there is no clock, I/O,
//! task, lock or randomness in here, and equal inputs give equal outputs.

mod action;
mod event;
mod id;

pub use action::{Action, EndedBy, QueueLimit};
pub use event::{Event, Next, Offer, Replica, Restored};
pub use id::{Class, Identity, Lease, ModelId, ReplicaId, TaskId};
