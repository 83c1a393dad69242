use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::catch::{catch, catch_unwind};

/// When a cleanup callback runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CleanupWhen {
    /// Only if what registered it was cancelled, dropped or timed out.
    OnCancel,
    /// However it ended.
    Always,
}

pub(crate) type Callback = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Callbacks in the order of registration.
#[derive(Default)]
pub(crate) struct CleanupStack {
    state: Mutex<Callbacks>,
}

#[derive(Default)]
struct Callbacks {
    waiting: Vec<(CleanupWhen, Callback)>,
    is_taken: bool,
}

impl CleanupStack {
    /// Adds a callback; false if the stack was taken already.
    pub(crate) fn push<F, Fut>(&self, when: CleanupWhen, callback: F) -> bool
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_taken {
            return false;
        }
        state.waiting.push((when, Box::new(move || Box::pin(callback()))));
        true
    }

    /// Takes the callbacks that are to run, last registered first. Later registrations are refused.
    pub(crate) fn take(&self, was_cancelled: bool) -> Vec<Callback> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_taken = true;
        let waiting = std::mem::take(&mut state.waiting);
        let wanted = |when| when == CleanupWhen::Always || was_cancelled;
        waiting
            .into_iter()
            .rev()
            .filter(|(when, _)| wanted(*when))
            .map(|(_, callback)| callback)
            .collect()
    }
}

/// Runs callbacks one after the other, all together within a limit. Returns how many panicked or were cut off.
pub(crate) async fn run_all(callbacks: Vec<Callback>, limit: Duration) -> usize {
    let deadline = Instant::now() + limit;
    let mut failed = 0;
    for callback in callbacks {
        let called = catch(callback);
        let ended = match called {
            Ok(future) => matches!(timeout_at(deadline, catch_unwind(future)).await, Ok(Ok(()))),
            Err(_panic) => false,
        };
        failed += usize::from(!ended);
    }
    failed
}
