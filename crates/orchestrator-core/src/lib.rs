//! The pure scheduler: which task is admitted, which runs next and where, and when a task has waited or
//! run too long.
//!
//! [`Scheduler::step`] takes an event and the time and answers with actions; there is no clock, I/O,
//! task, lock or randomness in here, and equal inputs give equal outputs.
//!
//! Invariants ([`Scheduler::check_invariants`]): a live task is in exactly one place; a slot belongs to at
//! most one lease; no task waits for a slot that it could use.

mod action;
mod calibration;
mod event;
mod experience;
mod forecast;
mod id;
mod id_hash;
mod lane;
mod limits;
mod model_queue;
mod order_tree;
mod queued_work;
mod rate;
mod replica_table;
mod scheduler;
mod service_times;
mod slab;
mod slot_queue;
mod strategies;
mod task;
mod task_state;
mod timers;
mod wait_watch;
mod wanting;

pub use action::{Action, EndedBy, QueueLimit};
pub use event::{Event, Next, Offer, Replica, Restored};
pub use experience::{Experience, Waits};
pub use forecast::{Ahead, Forecast};
pub use id::{Class, Identity, Lease, ModelId, TaskId};
pub use limits::{Limits, ModelLimits, WaitObjective, WhenFull};
pub use scheduler::{BACK_OFF_MS_MAX, Depth, Scheduler, Slots, Violation};
pub use service_times::{ServiceSample, Work};
pub use strategies::Strategies;
pub use task_state::TaskState;
