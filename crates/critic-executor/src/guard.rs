use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::catch::{PanicMessage, catch_unwind};
use crate::executor::{Executor, RunCanceller, RunError, RunOptions};
use crate::input::RunInput;
use crate::plan::ExecutionPlan;
use crate::report::RunReport;
use crate::status::CancelReason;
use crate::verdict::Verdict;

/// What a call returned, with the verdict under which it was released: allow, or allow with the edits of the
/// report, which the caller applies.
#[derive(Debug)]
pub struct Guarded<T> {
    /// What the call returned.
    pub output: T,
    /// The run that let it pass.
    pub report: RunReport,
}

/// Why the output of a call was not released.
#[derive(Debug, thiserror::Error)]
pub enum GuardError<T, E> {
    /// The verdict is to block; the call was not made, or was cancelled, or its output was dropped.
    #[error("the critics blocked it")]
    Blocked(Box<RunReport>),
    /// The verdict is that somebody looks at it first.
    #[error("the critics ask for somebody to look at it first")]
    Escalated {
        /// What the call returned.
        output: T,
        /// The run that says so.
        report: Box<RunReport>,
    },
    /// The critics could not start.
    #[error("the critics could not run: {0}")]
    Run(#[source] RunError),
    /// The run was cancelled from outside, and the call with it.
    #[error("cancelled: {}", .0.as_str())]
    Cancelled(CancelReason),
    /// The call failed, and the critics were cancelled.
    #[error("the call failed: {0}")]
    Call(E),
    /// The call panicked, and the critics were cancelled.
    #[error("the call panicked: {0}")]
    CallPanicked(String),
}

type ToInput<'a, T> = Box<dyn FnOnce(&T) -> RunInput + Send + 'a>;

enum When<'a, T> {
    Before(Arc<RunInput>),
    Alongside(Arc<RunInput>),
    After(ToInput<'a, T>),
}

/// A run that guards a call, and when it takes place. See [`guard`].
pub struct GuardRun<'a, T> {
    executor: &'a Executor,
    plan: &'a ExecutionPlan,
    when: When<'a, T>,
    options: RunOptions,
    token: CancellationToken,
}

impl<'a, T> GuardRun<'a, T> {
    fn new(executor: &'a Executor, plan: &'a ExecutionPlan, when: When<'a, T>) -> Self {
        let (options, token) = (RunOptions::new(), CancellationToken::new());
        Self { executor, plan, when, options, token }
    }

    /// Critics first; the call is made only if they do not block.
    pub fn before(
        executor: &'a Executor,
        plan: &'a ExecutionPlan,
        input: impl Into<Arc<RunInput>>,
    ) -> Self {
        Self::new(executor, plan, When::Before(input.into()))
    }

    /// Critics and call at once.
    pub fn alongside(
        executor: &'a Executor,
        plan: &'a ExecutionPlan,
        input: impl Into<Arc<RunInput>>,
    ) -> Self {
        Self::new(executor, plan, When::Alongside(input.into()))
    }

    /// The call first; the critics see what is made of its output.
    pub fn after(
        executor: &'a Executor,
        plan: &'a ExecutionPlan,
        to_input: impl FnOnce(&T) -> RunInput + Send + 'a,
    ) -> Self {
        Self::new(executor, plan, When::After(Box::new(to_input)))
    }

    /// Sets what the run does differently. A canceller in it cancels run and call.
    #[must_use]
    pub fn options(mut self, options: RunOptions) -> Self {
        self.options = options;
        self
    }

    /// A token that is cancelled when the call is to stop. A call that watches it has the executor's grace to
    /// end in order; then, and without watching it, it is dropped.
    #[must_use]
    pub fn call_token(&self) -> CancellationToken {
        self.token.clone()
    }
}

impl<T> fmt::Debug for GuardRun<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match &self.when {
            When::Before(_) => "before",
            When::Alongside(_) => "alongside",
            When::After(_) => "after",
        };
        f.debug_struct("GuardRun").field("when", &when).finish_non_exhaustive()
    }
}

/// Couples a run with a call of a model, so that the output of the call is never released without a verdict.
///
/// Where one side blocks, fails or is cancelled, the other is cancelled and awaited for at most the executor's
/// grace. Dropping the future stops both. A run that ends by rules of its own plan (a deadline, the first failure,
/// a budget) still has a verdict, and that verdict counts.
///
/// ```
/// use critic_executor::{CriticContext, CriticOutput, CriticSpec, ExecutionPlan, Executor, GuardRun, RunInput, guard};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let fine = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
/// let plan = ExecutionPlan::build([CriticSpec::new("fine", fine)]).unwrap();
/// let executor = Executor::default();
/// let call = async { Ok::<_, std::io::Error>("4".to_owned()) };
/// let run = GuardRun::after(&executor, &plan, |answer: &String| {
///     RunInput::new("What is 2 + 2?").output(answer.as_str())
/// });
/// assert_eq!(guard(run, call).await.unwrap().output, "4");
/// # });
/// ```
///
/// # Errors
/// The output was not released, with the reason.
pub async fn guard<T, E>(
    run: GuardRun<'_, T>,
    call: impl Future<Output = Result<T, E>>,
) -> Result<Guarded<T>, GuardError<T, E>> {
    let GuardRun { executor, plan, when, mut options, token } = run;
    let canceller = options.canceller.get_or_insert_with(RunCanceller::new).clone();
    let left = CancellationToken::new();
    options.left = Some(left.clone().drop_guard());
    let start = |input: Arc<RunInput>| Box::pin(executor.run_with(plan, input, options));
    let _stopped_with_guard = token.clone().drop_guard();
    let mut call = Call {
        future: Box::pin(catch_unwind(call)),
        token,
        canceller: canceller.clone(),
        grace: executor.settings().grace,
    };
    match when {
        When::Before(input) => {
            let report = passed(start(input).await)?;
            release(call.output().await?, report)
        }
        When::After(to_input) => {
            let output = call.output().await?;
            let input = Arc::new(to_input(&output));
            release(output, passed(start(input).await)?)
        }
        When::Alongside(input) => {
            let mut run = start(input);
            let ended_first = tokio::select! {
                report = &mut run => First::Run(Box::new(report)),
                output = &mut call.future => First::Call(output),
            };
            match ended_first {
                First::Run(report) => match passed(*report) {
                    Ok(report) => release(call.output().await?, report),
                    Err(error) => {
                        call.stop().await;
                        Err(error)
                    }
                },
                First::Call(output) => match ended(output) {
                    Ok(output) => release(output, passed(run.await)?),
                    Err(error) => {
                        canceller.cancel(CancelReason::User("the guarded call failed".into()));
                        // Whatever the critics still say, there is no output to release.
                        drop(run.await);
                        let settings = executor.settings();
                        let limit = settings.grace + settings.cleanup_limit;
                        drop(tokio::time::timeout(limit, left.cancelled()).await);
                        Err(error)
                    }
                },
            }
        }
    }
}

enum First<T, E> {
    Run(Box<Result<RunReport, RunError>>),
    Call(Result<Result<T, E>, PanicMessage>),
}

/// A call and how it is stopped.
struct Call<F> {
    future: Pin<Box<F>>,
    token: CancellationToken,
    canceller: RunCanceller,
    grace: Duration,
}

impl<F> Call<F> {
    /// The output, unless somebody cancels the run meanwhile.
    async fn output<T, E>(&mut self) -> Result<T, GuardError<T, E>>
    where
        F: Future<Output = Result<Result<T, E>, PanicMessage>>,
    {
        let cancelled = self.canceller.token();
        tokio::select! {
            biased;
            () = cancelled.cancelled() => {}
            output = &mut self.future => return ended(output),
        }
        self.stop().await;
        let reason = self.canceller.reason().cloned();
        Err(GuardError::Cancelled(reason.expect("the reason is set before the token")))
    }

    /// Tells the call to stop and waits for it. It is dropped with this value, at the end of the guard.
    async fn stop(&mut self)
    where
        F: Future,
    {
        self.token.cancel();
        // What a call returns that was told to stop is nobody's output.
        drop(tokio::time::timeout(self.grace, &mut self.future).await);
    }
}

fn ended<T, E>(output: Result<Result<T, E>, PanicMessage>) -> Result<T, GuardError<T, E>> {
    match output {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(GuardError::Call(error)),
        Err(panic) => Err(GuardError::CallPanicked(panic.0)),
    }
}

/// The report of a run after which a call may go on.
fn passed<T, E>(ended: Result<RunReport, RunError>) -> Result<RunReport, GuardError<T, E>> {
    let report = ended.map_err(GuardError::Run)?;
    match report.cancelled() {
        Some(reason @ (CancelReason::User(_) | CancelReason::Shutdown)) => {
            Err(GuardError::Cancelled(reason.clone()))
        }
        _ if report.decision().verdict == Verdict::Block => {
            Err(GuardError::Blocked(Box::new(report)))
        }
        _ => Ok(report),
    }
}

fn release<T, E>(output: T, report: RunReport) -> Result<Guarded<T>, GuardError<T, E>> {
    match report.decision().verdict {
        Verdict::Allow | Verdict::AllowWithEdits => Ok(Guarded { output, report }),
        Verdict::Escalate => Err(GuardError::Escalated { output, report: Box::new(report) }),
        Verdict::Block => Err(GuardError::Blocked(Box::new(report))),
    }
}
