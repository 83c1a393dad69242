//! What the HTTP servers of all daemons share: the accept loop with its limits, who may come in, and how
//! errors look.
//!
//! Invariants: every answer to a request whose head could be read carries `X-Correlation-Id`, and every
//! error among them is an [`api_types::ErrorBody`], or what the [`ErrorRenderer`] makes of it, whichever layer
//! it comes from; who asks is judged before where they ask; a panic in one request is that request's 500;
//! bodies of answers are passed on as they are, neither buffered nor copied. What is spawned is owned by
//! [`serve`]'s future and ends with it.

mod access;
mod body;
mod connection;
mod correlation;
mod counters;
mod edge;
mod host_rule;
mod options;
mod prefixed;
mod problem;
mod server;
mod write_limit;

pub use access::{Access, BearerToken, BindRefused, WeakToken, check_bind};
pub use body::{JsonBody, problem_of_body, read_body, read_json};
pub use correlation::CorrelationId;
pub use counters::EdgeCounters;
pub use edge::{ClientIdentity, RequestContext};
pub use options::{EdgeLimits, EdgeOptions, ErrorRenderer};
pub use problem::Problem;
pub use server::{Drained, serve};
