use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use api_types::ErrorCode;

/// The codes of whoever is turned away.
const DENIALS: [ErrorCode; 4] = [
    ErrorCode::MissingToken,
    ErrorCode::BadToken,
    ErrorCode::PolicyDenied,
    ErrorCode::HostNotAllowed,
];

/// What the server counts, for metrics.
#[derive(Debug, Default)]
pub struct EdgeCounters {
    open: AtomicU64,
    refused: AtomicU64,
    panics: AtomicU64,
    denied: [AtomicU64; DENIALS.len()],
}

impl EdgeCounters {
    /// Connections that are open now.
    #[must_use]
    pub fn connections_open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections that were closed at once, because there were too many.
    #[must_use]
    pub fn connections_refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests that ended in a panic.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Requests that were turned away, by code: without a token, with a wrong one or one of too narrow a
    /// scope, or from a foreign host or origin.
    #[must_use]
    pub fn denied_by_code(&self) -> [(ErrorCode, u64); DENIALS.len()] {
        std::array::from_fn(|at| (DENIALS[at], self.denied[at].load(Ordering::Relaxed)))
    }

    /// All of [`Self::denied_by_code`].
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.denied_by_code().iter().map(|(_, count)| count).sum()
    }

    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_denied(&self, code: ErrorCode) {
        if let Some(at) = DENIALS.iter().position(|known| *known == code) {
            self.denied[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection as open until the guard is dropped.
    pub(crate) fn open(self: &Arc<Self>) -> OpenGuard {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenGuard(Arc::clone(self))
    }
}

pub(crate) struct OpenGuard(Arc<EdgeCounters>);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
