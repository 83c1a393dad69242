//! What the HTTP servers of all daemons share: the accept loop with its limits, who may come in, and how
//! errors look.
//!
//! Invariants: every answer to a request whose head could be read carries `X-Correlation-Id`, and every
//! error among them is an [`api_types::ErrorBody`], or what the [`ErrorRenderer`] makes of it, whichever layer
//! it comes from; who asks is judged before where they ask; a panic in one request is that request's 500;
//! bodies of answers are passed on as they are, neither buffered nor copied. What is spawned is owned by
//! [`serve`]'s future and ends with it.

mod access;
mod audit;
mod bind;
mod body;
mod connection;
mod control;
mod correlation;
mod cors;
mod counters;
mod edge;
mod host_rule;
mod identity;
mod options;
mod prefixed;
mod problem;
mod scope;
mod server;
mod tls;
mod token;
mod write_limit;

pub use access::{Access, Gate};
pub use bind::{BindRefused, check_bind};
pub use body::{JsonBody, problem_of_body, read_body, read_json};
pub use control::EdgeControl;
pub use correlation::CorrelationId;
pub use counters::EdgeCounters;
pub use edge::RequestContext;
pub use identity::ClientIdentity;
pub use options::{EdgeLimits, EdgeOptions, ErrorRenderer};
pub use problem::Problem;
pub use scope::{Needs, RouteNeeds, Scope, guard_routes};
pub use server::{Drained, serve};
pub use tls::{ServerTls, TlsFiles, UnfitTls};
pub use token::{BearerToken, NamedToken, TokenSet, UnfitTokens, WeakToken};
