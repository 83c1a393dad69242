use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cleanup::{self, CleanupStack, CleanupWhen};
use crate::finding::CriticOutput;
use crate::input::RunInput;
use crate::status::Status;

/// What one attempt of a critic may see and do. Clones are cheap and share everything.
///
/// There is no way from here to the output of a critic that this one does not depend on.
#[derive(Clone)]
pub struct CriticContext {
    shared: Arc<AttemptShared>,
}

/// What all attempts of a run share.
pub(crate) struct RunScope {
    pub(crate) input: Arc<RunInput>,
    pub(crate) run_id: Arc<str>,
    pub(crate) token: CancellationToken,
    /// Goes with the last attempt, so that somebody can wait for it.
    pub(crate) _left: Option<DropGuard>,
}

/// Who settles an attempt: its own end or the run's decision to stop it, whichever comes first.
#[derive(Debug, Default)]
pub(crate) struct Claim {
    is_taken: AtomicBool,
    is_detached: AtomicBool,
}

impl Claim {
    /// True for the first who asks.
    pub(crate) fn take(&self) -> bool {
        !self.is_taken.swap(true, Ordering::SeqCst)
    }

    /// Notes that the admission counts the attempt as detached.
    pub(crate) fn detach(&self) {
        self.is_detached.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.is_detached.load(Ordering::SeqCst)
    }
}

/// What an attempt, its context and the executor share.
pub(crate) struct AttemptShared {
    pub(crate) run: Arc<RunScope>,
    /// The outputs of declared dependencies that answered, in the order of declaration.
    pub(crate) dependencies: Box<[(Arc<str>, Arc<CriticOutput>)]>,
    pub(crate) critic: Arc<str>,
    pub(crate) attempt: u32,
    pub(crate) deadline: Instant,
    /// What a fallback stands in for.
    pub(crate) failure: Option<Status>,
    pub(crate) claim: Claim,
    pub(crate) cancelled: AtomicBool,
    pub(crate) token: OnceLock<CancellationToken>,
    pub(crate) cleanups: CleanupStack,
}

impl AttemptShared {
    /// Tells the attempt to stop.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Most critics never ask for their token, so it is made on demand.
    fn token(&self) -> &CancellationToken {
        let token = self.token.get_or_init(|| self.run.token.child_token());
        // The canceller sets the flag before it looks for a token, so one of the two sees the other.
        if self.is_cancelled() {
            token.cancel();
        }
        token
    }
}

impl CriticContext {
    pub(crate) fn new(shared: Arc<AttemptShared>) -> Self {
        Self { shared }
    }

    /// A context outside any run, for the tests of critics: attempt 1 of critic `critic` in run `standalone`,
    /// no dependencies, ten seconds to go, a token that nobody cancels.
    pub fn standalone(input: impl Into<Arc<RunInput>>) -> Self {
        Self::new(Arc::new(AttemptShared {
            run: Arc::new(RunScope {
                input: input.into(),
                run_id: "standalone".into(),
                token: CancellationToken::new(),
                _left: None,
            }),
            dependencies: Box::default(),
            critic: "critic".into(),
            attempt: 1,
            deadline: Instant::now() + Duration::from_secs(10),
            failure: None,
            claim: Claim::default(),
            cancelled: AtomicBool::new(false),
            token: OnceLock::new(),
            cleanups: CleanupStack::default(),
        }))
    }

    /// The same context with the output of one more dependency. For the tests of critics.
    #[must_use]
    pub fn with_dependency(self, name: impl Into<Arc<str>>, output: CriticOutput) -> Self {
        let mut dependencies = self.shared.dependencies.to_vec();
        dependencies.push((name.into(), Arc::new(output)));
        self.changed(|shared| shared.dependencies = dependencies.into())
    }

    /// The same context in another attempt, counted from 1. For the tests of critics.
    #[must_use]
    pub fn with_attempt(self, attempt: u32) -> Self {
        self.changed(|shared| shared.attempt = attempt)
    }

    /// The same context with so much time to go. For the tests of critics.
    #[must_use]
    pub fn with_remaining(self, remaining: Duration) -> Self {
        self.changed(|shared| shared.deadline = Instant::now() + remaining)
    }

    /// Ends the attempt as the executor would: cancels its token if it `was_cancelled`, then runs its cleanups
    /// within `limit`. Returns how many of them panicked or were cut off. For the tests of critics.
    pub async fn end_standalone(&self, was_cancelled: bool, limit: Duration) -> usize {
        if was_cancelled {
            self.shared.cancel();
        }
        cleanup::run_all(self.shared.cleanups.take(was_cancelled), limit).await
    }

    /// The same context as a fallback sees it, after the critic itself ended so. For the tests of fallbacks.
    #[must_use]
    pub fn with_failure(self, status: Status) -> Self {
        self.changed(|shared| shared.failure = Some(status))
    }

    /// A fresh context with one thing changed; the token and the cleanups stay behind.
    fn changed(self, change: impl FnOnce(&mut AttemptShared)) -> Self {
        let old = &self.shared;
        let mut shared = AttemptShared {
            run: Arc::clone(&old.run),
            dependencies: old.dependencies.clone(),
            critic: Arc::clone(&old.critic),
            attempt: old.attempt,
            deadline: old.deadline,
            failure: old.failure.clone(),
            claim: Claim::default(),
            cancelled: AtomicBool::new(old.is_cancelled()),
            token: OnceLock::new(),
            cleanups: CleanupStack::default(),
        };
        change(&mut shared);
        Self::new(Arc::new(shared))
    }

    /// The text that went into the model.
    #[must_use]
    pub fn input(&self) -> &str {
        self.shared.run.input.input_text()
    }

    /// The text that came out of the model, if the run judges one.
    #[must_use]
    pub fn output(&self) -> Option<&str> {
        self.shared.run.input.output_text()
    }

    /// The whole input of the run: both texts, the context map and the risk level.
    #[must_use]
    pub fn run_input(&self) -> &Arc<RunInput> {
        &self.shared.run.input
    }

    /// The output of a critic that this one declares as a dependency. `None` if it is not declared, or is only
    /// ordered before this one and gave no answer.
    #[must_use]
    pub fn dependency(&self, name: &str) -> Option<&CriticOutput> {
        self.dependencies().find(|(known, _)| *known == name).map(|(_, output)| output)
    }

    /// All declared dependencies that answered, in the order of declaration.
    pub fn dependencies(&self) -> impl Iterator<Item = (&str, &CriticOutput)> {
        self.shared.dependencies.iter().map(|(name, output)| (&**name, &**output))
    }

    /// The id of the run.
    #[must_use]
    pub fn run_id(&self) -> &str {
        &self.shared.run.run_id
    }

    /// The name under which this critic is in the plan.
    #[must_use]
    pub fn critic_name(&self) -> &str {
        &self.shared.critic
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.shared.attempt
    }

    /// In a fallback, how the critic itself ended; `None` in a critic.
    #[must_use]
    pub fn failure(&self) -> Option<&Status> {
        self.shared.failure.as_ref()
    }

    /// When this attempt is out of time: the nearest of the attempt's, critic's, stage's and run's deadlines.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.shared.deadline
    }

    /// The time to the deadline, zero once it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.shared.deadline.saturating_duration_since(Instant::now())
    }

    /// The token of this attempt, cancelled when the attempt is to stop. Cancelling it stops nothing else.
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        self.shared.token().clone()
    }

    /// Whether the attempt is to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.is_cancelled() || self.shared.run.token.is_cancelled()
    }

    /// Registers something to do once this attempt has ended, last registered first. It runs exactly once, also
    /// when the run was dropped, within the executor's cleanup limit, and never in the caller's time.
    ///
    /// Returns false, and drops the callback, if the attempt has ended already.
    ///
    /// ```
    /// use critic_executor::{CleanupWhen, CriticContext, CriticOutput};
    ///
    /// let critic = |ctx: CriticContext| async move {
    ///     ctx.on_cleanup(CleanupWhen::OnCancel, || async { /* tell the server to stop */ });
    ///     Ok(CriticOutput::clean())
    /// };
    /// # let _: Box<dyn critic_executor::Critic> = Box::new(critic);
    /// ```
    pub fn on_cleanup<F, Fut>(&self, when: CleanupWhen, callback: F) -> bool
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.shared.cleanups.push(when, callback)
    }
}

impl fmt::Debug for CriticContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CriticContext")
            .field("run_id", &self.shared.run.run_id)
            .field("critic", &self.shared.critic)
            .field("attempt", &self.shared.attempt)
            .finish_non_exhaustive()
    }
}
