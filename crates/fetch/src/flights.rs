use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio::sync::watch;

/// Work that runs once however many ask for it. All who ask at the same time share its outcome and see
/// its progress; it is polled by them, so it ends with the last who waits for it.
pub struct Flights<K, T: Clone, P> {
    // Held to look up and to begin a flight, never while it runs. Entries of ended flights are dropped
    // by the next one to join, so there are at most as many as there are callers.
    running: Mutex<HashMap<K, Flight<T, P>>>,
}

struct Flight<T: Clone, P> {
    outcome: WeakShared<BoxFuture<'static, T>>,
    progress: watch::Receiver<P>,
}

impl<K, T: Clone, P> Default for Flights<K, T, P> {
    fn default() -> Self {
        Self { running: Mutex::default() }
    }
}

impl<K, T, P> Flights<K, T, P>
where
    K: Eq + Hash,
    T: Clone + Send + Sync + 'static,
    P: Clone + Send + Sync + 'static,
{
    /// The outcome of the flight of `key`: of the one that is under way, or of the one that `start`
    /// begins. `seen` gets the progress at hand, then each change that it is fast enough to see.
    pub async fn join(
        &self,
        key: K,
        first_progress: P,
        start: impl FnOnce(watch::Sender<P>) -> BoxFuture<'static, T>,
        seen: &(dyn Fn(P) + Send + Sync),
    ) -> T {
        let (mut outcome, mut progress) = self.board(key, first_progress, start);
        let mut more = true;
        seen(progress.borrow_and_update().clone());
        loop {
            tokio::select! {
                biased;
                changed = progress.changed(), if more => match changed {
                    Ok(()) => {
                        let now = progress.borrow_and_update().clone();
                        seen(now);
                    }
                    Err(_no_sender) => more = false,
                },
                outcome = &mut outcome => return outcome,
            }
        }
    }

    fn board(
        &self,
        key: K,
        first_progress: P,
        start: impl FnOnce(watch::Sender<P>) -> BoxFuture<'static, T>,
    ) -> (Shared<BoxFuture<'static, T>>, watch::Receiver<P>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, flight| flight.outcome.upgrade().is_some());
        if let Some(flight) = running.get(&key)
            && let Some(outcome) = flight.outcome.upgrade()
        {
            return (outcome, flight.progress.clone());
        }
        let (sender, progress) = watch::channel(first_progress);
        let outcome = start(sender).shared();
        if let Some(weak) = outcome.downgrade() {
            running.insert(key, Flight { outcome: weak, progress: progress.clone() });
        }
        (outcome, progress)
    }
}
