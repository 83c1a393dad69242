use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{runtime::Handle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cleanup::{CleanupStack, CleanupWhen, run_all},
    executor::RunCanceller,
    status::CancelReason,
};

/// Partial results kept for one id; further ones are refused.
const PARTIAL_RESULTS_MAX: usize = 1000;

/// What runs under an id and can be cancelled by it from anywhere in the process. Clones share everything.
///
/// An entry lives exactly as long as its [`RegistryGuard`], so that the registry holds no more than what runs.
///
/// ```
/// use critic_executor::{CancelReason, CancellationRegistry};
///
/// let registry = CancellationRegistry::new();
/// let guard = registry.register("order 7").unwrap();
/// assert!(registry.register("order 7").is_err());
/// assert!(registry.cancel("order 7", CancelReason::User("the customer left".into())));
/// assert!(guard.token().is_cancelled());
/// drop(guard);
/// assert!(!registry.cancel("order 7", CancelReason::Shutdown));
/// ```
#[derive(Clone, Default)]
pub struct CancellationRegistry {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    entries: Mutex<HashMap<Arc<str>, Arc<Entry>>>,
    /// Cleanups of entries whose guards were dropped.
    cleanups: TaskTracker,
}

struct Entry {
    canceller: RunCanceller,
    created: Instant,
    cleanups: CleanupStack,
    state: Mutex<EntryState>,
}

#[derive(Default)]
struct EntryState {
    cancelled_at: Option<Instant>,
    partial: Vec<(Arc<str>, Value)>,
}

/// An id is in use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{id}` is running already; ids are used once at a time")]
pub struct DuplicateId {
    /// The id.
    pub id: Arc<str>,
}

/// What is known of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelMetadata {
    /// When it was registered.
    pub created: Instant,
    /// When it was cancelled, and why, if it was. The first reason stays.
    pub cancelled: Option<(Instant, CancelReason)>,
}

impl CancellationRegistry {
    /// Without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers an id until the guard is dropped.
    ///
    /// # Errors
    /// An id that is in use.
    pub fn register(&self, id: impl Into<Arc<str>>) -> Result<RegistryGuard, DuplicateId> {
        let id = id.into();
        let mut entries = self.entries();
        if entries.contains_key(&id) {
            return Err(DuplicateId { id });
        }
        let entry = Arc::new(Entry {
            canceller: RunCanceller::new(),
            created: Instant::now(),
            cleanups: CleanupStack::default(),
            state: Mutex::default(),
        });
        entries.insert(Arc::clone(&id), Arc::clone(&entry));
        Ok(RegistryGuard {
            registry: self.clone(),
            id,
            entry,
            handle: Handle::try_current().ok(),
            cleanup_limit: CLEANUP_LIMIT,
        })
    }

    /// Cancels what runs under an id. False if nothing does, or if it was cancelled before.
    pub fn cancel(&self, id: &str, reason: CancelReason) -> bool {
        self.entry(id).is_some_and(|entry| entry.cancel(reason))
    }

    /// Whether what runs under an id was cancelled. False for an unknown one.
    #[must_use]
    pub fn is_cancelled(&self, id: &str) -> bool {
        self.entry(id).is_some_and(|entry| entry.canceller.reason().is_some())
    }

    /// What is known of an id.
    #[must_use]
    pub fn metadata(&self, id: &str) -> Option<CancelMetadata> {
        let entry = self.entry(id)?;
        let cancelled_at = entry.state().cancelled_at;
        let cancelled = cancelled_at.zip(entry.canceller.reason().cloned());
        Some(CancelMetadata { created: entry.created, cancelled })
    }

    /// What has come of it so far, in the order in which it came.
    #[must_use]
    pub fn partial_results(&self, id: &str) -> Vec<(Arc<str>, Value)> {
        self.entry(id).map(|entry| entry.state().partial.clone()).unwrap_or_default()
    }

    /// Registers something to do once what runs under an id has ended. False, and the callback is dropped, if
    /// nothing runs under it.
    pub fn on_cleanup<F, Fut>(&self, id: &str, when: CleanupWhen, callback: F) -> bool
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.entry(id).is_some_and(|entry| entry.cleanups.push(when, callback))
    }

    /// The ids in use, in no promised order.
    #[must_use]
    pub fn ids(&self) -> Vec<Arc<str>> {
        self.entries().keys().cloned().collect()
    }

    /// How many ids are in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether no id is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// Cleanups of ended entries that are still running.
    #[must_use]
    pub fn cleanups_running(&self) -> usize {
        self.shared.cleanups.len()
    }

    fn entry(&self, id: &str) -> Option<Arc<Entry>> {
        self.entries().get(id).cloned()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Entry>>> {
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CancellationRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationRegistry").field("ids", &self.ids()).finish_non_exhaustive()
    }
}

impl Entry {
    fn cancel(&self, reason: CancelReason) -> bool {
        self.state().cancelled_at.get_or_insert_with(Instant::now);
        self.canceller.cancel(reason)
    }

    fn state(&self) -> MutexGuard<'_, EntryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longest time of all cleanups of an entry together, unless its owner sets another.
const CLEANUP_LIMIT: Duration = Duration::from_millis(100);

/// Keeps an id registered. With its drop the id is free again, and the cleanups run on the runtime that the id was
/// registered in; one registered outside a runtime has none, and its cleanups are dropped.
pub struct RegistryGuard {
    registry: CancellationRegistry,
    id: Arc<str>,
    entry: Arc<Entry>,
    handle: Option<Handle>,
    cleanup_limit: Duration,
}

impl RegistryGuard {
    /// The id.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Cancelled when the id is.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.entry.canceller.token()
    }

    /// Cancels it. False if it was cancelled before.
    pub fn cancel(&self, reason: CancelReason) -> bool {
        self.entry.cancel(reason)
    }

    /// Why it was cancelled, if it was.
    #[must_use]
    pub fn reason(&self) -> Option<CancelReason> {
        self.entry.canceller.reason().cloned()
    }

    /// Cancels it, and is cancelled with it.
    pub(crate) fn canceller(&self) -> &RunCanceller {
        &self.entry.canceller
    }

    /// Shows what has come of it so far. False once there are a thousand of them.
    pub fn put_partial(&self, name: impl Into<Arc<str>>, value: impl Into<Value>) -> bool {
        let mut state = self.entry.state();
        let has_room = state.partial.len() < PARTIAL_RESULTS_MAX;
        if has_room {
            state.partial.push((name.into(), value.into()));
        }
        has_room
    }

    /// Gives the cleanups another time than 100 ms together.
    #[must_use]
    pub fn with_cleanup_limit(mut self, limit: Duration) -> Self {
        self.cleanup_limit = limit;
        self
    }
}

impl Drop for RegistryGuard {
    fn drop(&mut self) {
        self.registry.entries().remove(&self.id);
        let callbacks = self.entry.cleanups.take(self.reason().is_some());
        if let Some(handle) = self.handle.as_ref().filter(|_| !callbacks.is_empty()) {
            let limit = self.cleanup_limit;
            let cleanup = async move {
                let _failed = run_all(callbacks, limit).await;
            };
            drop(self.registry.shared.cleanups.spawn_on(cleanup, handle));
        }
    }
}

/// The guard of something that is cancelled unless it ends in order.
pub(crate) struct Registration {
    guard: RegistryGuard,
    has_ended: bool,
}

impl Registration {
    pub(crate) fn new(guard: RegistryGuard) -> Self {
        Self { guard, has_ended: false }
    }

    pub(crate) fn guard(&self) -> &RegistryGuard {
        &self.guard
    }

    /// It ended; what ended it early counts as a cancellation for those who clean up.
    pub(crate) fn end(&mut self, early: Option<CancelReason>) {
        self.has_ended = true;
        if let Some(reason) = early {
            self.guard.cancel(reason);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if !self.has_ended {
            self.guard.cancel(CancelReason::CallerDropped);
        }
    }
}

impl fmt::Debug for RegistryGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryGuard").field("id", &self.id).finish_non_exhaustive()
    }
}
