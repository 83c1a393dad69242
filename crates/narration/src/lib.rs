//! What a daemon tells of itself.
//!
//! - [`human`] puts what happened into one sentence of at most [`HUMAN_CHARS_MAX`] characters, with names in
//!   place of opaque ids. It adds to the fields of a log event and never replaces them.
//! - [`TraceContext`] is the W3C trace that ties together what several processes do for one request.
//! - [`Masker`] takes secrets out of text that leaves the daemon. It is the last line of defence: what is known
//!   to be secret is not to get as far as a log event.
//! - [`LogLines`] writes events as one masked line each, with the fields of the spans around them
//!   (feature `lines`).
//!
//! Nothing here reads a clock or the environment, or installs a global.

mod fact;
#[cfg(feature = "lines")]
mod fields;
#[cfg(feature = "lines")]
mod log_lines;
mod masker;
mod trace_context;

pub use fact::{Fact, HUMAN_CHARS_MAX, human};
#[cfg(feature = "lines")]
pub use log_lines::{LineForm, LogLines};
pub use masker::Masker;
pub use trace_context::TraceContext;
