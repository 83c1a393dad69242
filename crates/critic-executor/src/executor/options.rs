use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cleanup::{CleanupStack, CleanupWhen};
use crate::registry::{Registration, RegistryGuard};
use crate::status::CancelReason;

/// Cancels the run that was given it, from anywhere. Clones cancel the same run.
///
/// ```
/// use critic_executor::{CancelReason, RunCanceller};
///
/// let canceller = RunCanceller::new();
/// assert!(canceller.cancel(CancelReason::User("the page was closed".into())));
/// assert!(!canceller.cancel(CancelReason::Shutdown), "the first reason wins");
/// ```
#[derive(Clone, Default)]
pub struct RunCanceller {
    shared: Arc<CancellerShared>,
}

#[derive(Default)]
struct CancellerShared {
    reason: OnceLock<CancelReason>,
    token: CancellationToken,
}

impl RunCanceller {
    /// A canceller that has not cancelled anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels the run; false if somebody has done so before.
    pub fn cancel(&self, reason: CancelReason) -> bool {
        let is_first = self.shared.reason.set(reason).is_ok();
        if is_first {
            self.shared.token.cancel();
        }
        is_first
    }

    /// Why the run was cancelled, if it was.
    #[must_use]
    pub fn reason(&self) -> Option<&CancelReason> {
        self.shared.reason.get()
    }

    /// A token that is cancelled with the run.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.shared.token.clone()
    }
}

impl fmt::Debug for RunCanceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunCanceller").field("reason", &self.reason()).finish()
    }
}

/// What one run does differently.
#[derive(Default)]
pub struct RunOptions {
    pub(crate) run_id: Option<Arc<str>>,
    pub(crate) seed: u64,
    pub(crate) is_ungated: bool,
    pub(crate) canceller: Option<RunCanceller>,
    pub(crate) registration: Option<Registration>,
    pub(crate) cleanups: CleanupStack,
    /// Dropped once no attempt of the run is left.
    pub(crate) left: Option<DropGuard>,
}

impl RunOptions {
    /// Nothing different: a generated id, seed 0, gates on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the id of the run.
    #[must_use]
    pub fn run_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.run_id = Some(id.into());
        self
    }

    /// Sets where random numbers come from. Runs of the same seed wait the same delays.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Takes every gate as true, to measure what gates save.
    #[must_use]
    pub fn without_gating(mut self) -> Self {
        self.is_ungated = true;
        self
    }

    /// Lets somebody else cancel the run.
    #[must_use]
    pub fn canceller(mut self, canceller: &RunCanceller) -> Self {
        self.canceller = Some(canceller.clone());
        self
    }

    /// Runs under a registered id, by which the registry cancels the run; the entry goes with the run. It
    /// replaces a run id and a canceller given before.
    ///
    /// ```
    /// use critic_executor::{CancellationRegistry, RunOptions};
    ///
    /// let registry = CancellationRegistry::new();
    /// let options = RunOptions::new().registered(registry.register("order 7").unwrap());
    /// assert_eq!(registry.len(), 1);
    /// drop(options); // or a run that has ended
    /// assert!(registry.is_empty());
    /// ```
    #[must_use]
    pub fn registered(mut self, guard: RegistryGuard) -> Self {
        self.run_id = Some(Arc::clone(guard.id()));
        self.canceller = Some(guard.canceller().clone());
        self.registration = Some(Registration::new(guard));
        self
    }

    /// Registers something to do after the run, last registered first, also if its future is dropped.
    #[must_use]
    pub fn on_cleanup<F, Fut>(self, when: CleanupWhen, callback: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.cleanups.push(when, callback);
        self
    }
}
