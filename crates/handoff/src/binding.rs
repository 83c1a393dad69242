use std::sync::Arc;

use handoff_schema::HandoffFile;

use crate::{ProcessId, WorkerKey};

/// An engine to use, and what is known of it.
#[derive(Debug, Clone)]
pub struct Binding {
    pub file: Arc<HandoffFile>,
    /// The key that it asks for.
    pub key: Option<WorkerKey>,
    pub evidence: Evidence,
}

/// What shows that the engine that a file means is the one that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The named process owns the socket that is listened on.
    Socket(ProcessId),
    /// It takes the worker's own key and no other; its sockets cannot be looked at.
    Key(ProcessId),
    /// Nothing: the file names no process.
    External,
}

impl Evidence {
    /// The process that has to live.
    #[must_use]
    pub fn process(self) -> Option<ProcessId> {
        match self {
            Self::Socket(process) | Self::Key(process) => Some(process),
            Self::External => None,
        }
    }

    /// Whether anything was shown.
    #[must_use]
    pub fn is_verified(self) -> bool {
        self != Self::External
    }

    /// The name in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Socket(_) => "socket",
            Self::Key(_) => "key",
            Self::External => "external",
        }
    }
}
