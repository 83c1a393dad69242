//! Engines that somebody else started and handed over by a file in a directory: which of them to use, which
//! to leave alone and why, and which to let go.
//!
//! A [`Watcher`] looks at the directory, at the processes that its files name, and through the port
//! [`EngineProbe`] at their engines; [`Bindings`] decides what that means, as a state machine without I/O. What
//! is to be done comes out as [`Change`]s.
//!
//! Invariants: nothing is used that the files of the directory do not say, or that somebody other than the
//! daemon's user and root could have written there; a file that names a process is used only while that process
//! lives and is shown to be the one that answers; what is wrong with one file touches no other.

#[cfg(not(unix))]
compile_error!("handoff needs a Unix file system, whose files have owners and modes");

mod binding;
mod bindings;
mod engine_probe;
mod folder;
mod listeners;
mod notifier;
mod process;
mod proof;
mod safe_file;
mod skip;
mod watcher;

pub use binding::{Binding, Evidence};
pub use bindings::{Bindings, Change, Seen, Sighting, Stamp};
pub use engine_probe::{EngineProbe, OfferedModel, Unanswered, WorkerKey};
pub use listeners::{Listener, listeners_for, parse_listeners};
pub use process::ProcessId;
pub use skip::{Outcome, Skip};
pub use watcher::{Notification, Options, Watcher};
