//! Typed client of the native API that reconnects and resumes.
//!
//! A [`Client`] hands tasks in, follows their events and asks how things stand. It outlives the daemon: while
//! that is away, restarts or asks for time, requests are repeated and streams resumed, within the bounds of
//! [`ClientConfig`].
//!
//! Invariants: a task is handed in under an idempotency key, so that repeating the request never makes two
//! of it; an [`EventStream`] hands out each stored event once and in order, or fails with a
//! [`StreamFault`]; every wait on the daemon is bounded; only what the error itself calls transient is tried
//! again.

mod answer;
mod catalog;
mod client;
mod config;
mod error;
mod event_stream;
mod patience;
mod position;
mod task_event;
mod task_query;
mod token;

pub use catalog::{Added, Deleted};
pub use client::{Client, Submitted};
pub use config::ClientConfig;
pub use error::{ClientError, Loss, StreamFault};
pub use event_stream::{EventStream, Update};
pub use task_event::{EventBody, TaskEvent};
pub use task_query::TaskQuery;
pub use token::Token;
