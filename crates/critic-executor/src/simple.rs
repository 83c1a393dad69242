use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};

use crate::critic::Critic;
use crate::executor::{Executor, ExecutorSettings, RunError};
use crate::hooks::{HookDelivery, Hooks};
use crate::input::RunInput;
use crate::plan::ExecutionPlan;
use crate::plan::error::PlanErrors;
use crate::report::RunReport;
use crate::spec::CriticSpec;

/// Why a [`SimpleOrchestrator`] could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimpleError {
    /// Its critics make no plan: a name is empty or given twice, or the timeout is zero.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
    /// The run could not start.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A call that blocks its thread was made from within a runtime.
    #[error("`run_blocking` would block a thread of the runtime it is called in; await `run`")]
    InsideRuntime,
    /// No runtime could be made to run in.
    #[error("no runtime could be started: {0}")]
    Runtime(#[source] io::Error),
}

/// The small case: some critics, one timeout, everything at once. Each critic is isolated from the others: its
/// error, panic or timeout is its own, and fails closed.
///
/// ```
/// use std::time::Duration;
/// use critic_executor::{CriticContext, Finding, RunInput, SimpleOrchestrator, Verdict};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let report = SimpleOrchestrator::new()
///     .timeout(Duration::from_secs(10))
///     .critic("length", |ctx: CriticContext| async move {
///         Ok(Finding::new(if ctx.input().len() > 4_000 { 0.7 } else { 0.0 }).into())
///     })
///     .run(RunInput::new("a short text")).await?;
/// assert_eq!(report.decision().verdict, Verdict::Allow);
/// # Ok::<(), critic_executor::SimpleError>(())
/// # }).unwrap();
/// ```
///
/// When it is outgrown, [`SimpleOrchestrator::into_plan`] gives a plan of the same critics, which any
/// [`Executor`] runs.
#[derive(Clone, Default)]
pub struct SimpleOrchestrator {
    critics: Vec<CriticSpec>,
    timeout: Option<Duration>,
    hooks: Vec<(Arc<dyn Hooks>, HookDelivery)>,
    ready: OnceLock<(ExecutionPlan, Executor)>,
}

impl SimpleOrchestrator {
    /// Nothing to run yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long a run may take, 30 seconds if it is not set. What has not answered by then is missing.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self.changed()
    }

    /// Adds a critic: a closure that takes a [`CriticContext`](crate::CriticContext), or any [`Critic`].
    #[must_use]
    pub fn critic(mut self, name: impl Into<Arc<str>>, critic: impl Critic + 'static) -> Self {
        self.critics.push(CriticSpec::new(name, critic).no_attempt_timeout());
        self.changed()
    }

    /// Adds a critic, and another one that is asked where the first fails or panics before the timeout.
    #[must_use]
    pub fn critic_with_fallback(
        mut self,
        name: impl Into<Arc<str>>,
        critic: impl Critic + 'static,
        fallback: impl Critic + 'static,
    ) -> Self {
        let spec = CriticSpec::new(name, critic).no_attempt_timeout().fallback(fallback);
        self.critics.push(spec);
        self.changed()
    }

    /// Adds hooks that watch the runs.
    #[must_use]
    pub fn hooks(mut self, hooks: Arc<dyn Hooks>, delivery: HookDelivery) -> Self {
        self.hooks.push((hooks, delivery));
        self.changed()
    }

    /// Forgets what was made of earlier settings.
    fn changed(mut self) -> Self {
        self.ready = OnceLock::new();
        self
    }

    /// Runs all critics over an input at once. Must be awaited within a tokio runtime with time enabled.
    ///
    /// Dropping the future cancels all of them.
    ///
    /// # Errors
    /// The critics make no plan, or the run could not start; whatever happens later is in the report.
    pub async fn run(&self, input: impl Into<Arc<RunInput>>) -> Result<RunReport, SimpleError> {
        let (plan, executor) = match self.ready.get() {
            Some(ready) => ready,
            None => {
                let made = (self.clone().into_plan()?, self.executor());
                self.ready.get_or_init(|| made)
            }
        };
        Ok(Box::pin(executor.run(plan, input)).await?)
    }

    /// Runs all critics over an input and blocks the thread until they have ended, in a runtime of its own. For
    /// callers that are not async.
    ///
    /// ```
    /// use critic_executor::{CriticContext, CriticOutput, RunInput, SimpleOrchestrator};
    ///
    /// let fine = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
    /// let report = SimpleOrchestrator::new().critic("fine", fine).run_blocking(RunInput::new("text"))?;
    /// assert!(report.critic("fine").is_some());
    /// # Ok::<(), critic_executor::SimpleError>(())
    /// ```
    ///
    /// # Errors
    /// As [`SimpleOrchestrator::run`]; also if it is called within a runtime, or none could be started.
    pub fn run_blocking(&self, input: impl Into<Arc<RunInput>>) -> Result<RunReport, SimpleError> {
        if Handle::try_current().is_ok() {
            return Err(SimpleError::InsideRuntime);
        }
        let plan = self.clone().into_plan()?;
        let executor = self.executor();
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(SimpleError::Runtime)?;
        let report = runtime.block_on(async {
            let report = Box::pin(executor.run(&plan, input)).await;
            // Cleanups go on after the report and would end with the runtime.
            let settings = executor.settings();
            let tracker = &executor.shared.tracker;
            tracker.close();
            let limit = settings.grace + settings.cleanup_limit;
            let ended = tokio::time::timeout(limit, tracker.wait()).await;
            drop(ended);
            report
        });
        // A blocking call that never returns must not hold the caller.
        runtime.shutdown_background();
        Ok(report?)
    }

    /// A plan of the same critics under the same timeout, with the same results on any executor whose limits
    /// leave them as much room.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn into_plan(self) -> Result<ExecutionPlan, PlanErrors> {
        let builder = ExecutionPlan::builder().critics(self.critics);
        match self.timeout {
            Some(timeout) => builder.run_timeout(timeout),
            None => builder,
        }
        .build()
    }

    /// An executor that holds no critic back.
    fn executor(&self) -> Executor {
        let settings = ExecutorSettings {
            global_limit: None,
            queue_limit: None,
            ..ExecutorSettings::default()
        };
        let builder = Executor::builder().settings(settings);
        let hooks = self.hooks.iter();
        hooks
            .fold(builder, |builder, (hooks, delivery)| builder.hooks(Arc::clone(hooks), *delivery))
            .build()
    }
}

impl fmt::Debug for SimpleOrchestrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.critics.iter().map(|spec| &spec.name).collect();
        f.debug_struct("SimpleOrchestrator").field("critics", &names).finish_non_exhaustive()
    }
}
