use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What the server counts, for metrics.
#[derive(Debug, Default)]
pub struct EdgeCounters {
    open: AtomicU64,
    refused: AtomicU64,
    panics: AtomicU64,
    denied: AtomicU64,
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

    /// Requests without a valid token, or from a foreign host or origin.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_denied(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
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
