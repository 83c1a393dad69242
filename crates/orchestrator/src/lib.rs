//! The embeddable orchestrator: admission, scheduling, task runs, recovery.
//!
//! The crate owns the ports it needs ([`Journal`], [`EventStore`], [`PromptMeter`], [`ModelDirectory`],
//! [`Clock`], [`Observer`], [`SpanSink`]) and drives the pure scheduler of `orchestrator-core`. It never reads the environment, and
//! everything it spawns ends with its owner.
//!
//! Invariants: a task that was accepted is durable, and ends once, in one terminal state with a reason;
//! an event is in the [`EventStore`] before anybody sees it; a terminal event is fsynced before anybody
//! sees it; one run at a time writes a task's log.

mod admission;
mod answers;
mod assembler;
mod attempt;
mod clock;
mod comparison;
mod draining;
mod ending;
mod erasure;
mod event_store;
mod experience;
mod generation;
mod journal;
mod live_task;
mod model;
mod observer;
mod options;
mod orchestrator;
mod pool_table;
mod pools;
mod queue_place;
mod rate;
mod record;
mod recovery;
mod refusal;
mod relay;
mod replay;
mod result;
mod retention;
mod ring;
mod run;
mod shared;
mod span;
mod subscription;
mod task_log;
mod verdict;
mod wants;
mod wire;

pub use admission::{Accepted, Submission};
pub use clock::Clock;
pub use event_store::{
    EventStore, EventStoreError, Frame, FrameKind, Region, SegmentSize, StoredFrame,
};
pub use journal::{Ended, Journal, JournalError, TaskFilter};
pub use model::{ModelDirectory, ModelFacts, ModelRefusal, PromptMeter, PromptRefusal, PromptText};
pub use observer::{Finished, Observer, Streamed, TaskLabels};
pub use options::{Options, Retention};
pub use orchestrator::{Orchestrator, Standing, Stored};
pub use pool_table::{MemoryShortage, PoolFacts, PoolModel, PoolState};
pub use pools::AttachedPool;
pub use queue_place::QueuePlace;
pub use rate::{Bucket, RateLimits};
pub use record::{
    AttemptRow, Binding, BindingKey, EndRow, Outcome, Poison, Progress, Record, TaskRow, TaskSpec,
};
pub use recovery::{RESTORED_NOTES, RecoveryError};
pub use refusal::Refusal;
pub use shared::Parts;
pub use span::{Span, SpanSink, Stage};
pub use subscription::{Subscribed, Subscription};
pub use task_log::{Delivery, Terminal};
pub use wants::LOCAL_NODE;
