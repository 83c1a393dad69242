//! One attempt of a critic, wherever it runs, and everything that it holds.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

use super::shared::{Event, RunShared};
use crate::admission::breaker::BreakerSignal;
use crate::admission::{Permit, Release};
use crate::catch::{PanicMessage, catch, catch_poll};
use crate::cleanup;
use crate::context::{AttemptShared, CriticContext};
use crate::critic::Critic;
use crate::error::{CriticError, ErrorKind};
use crate::finding::CriticOutput;
use crate::money::MicroDollars;
use crate::status::OutputProblem;

type CriticResult = Result<Result<CriticOutput, CriticError>, PanicMessage>;

/// What an attempt came to.
#[derive(Debug)]
pub(crate) enum AttemptResult {
    Answer { output: Arc<CriticOutput>, warnings: Vec<OutputProblem> },
    Failed { kind: ErrorKind, message: Arc<str> },
    Invalid { errors: Vec<OutputProblem> },
}

impl AttemptResult {
    fn signal(&self) -> BreakerSignal {
        match self {
            Self::Answer { .. } => BreakerSignal::Success,
            Self::Failed { kind: ErrorKind::Transient | ErrorKind::Panic, .. } => {
                BreakerSignal::Failure
            }
            Self::Failed { .. } | Self::Invalid { .. } => BreakerSignal::Neutral,
        }
    }
}

/// Owns what an attempt holds. Whichever way it goes, its drop gives everything back, once.
pub(crate) struct AttemptGuard {
    pub(crate) run: Arc<RunShared>,
    pub(crate) critic: u32,
    pub(crate) epoch: u32,
    /// A fallback holds none.
    pub(crate) permit: Option<Permit>,
    pub(crate) deadline_ns: u64,
    pub(crate) estimate: MicroDollars,
    pub(crate) shared: Arc<AttemptShared>,
}

impl AttemptGuard {
    /// The critic that it is an attempt of, or the fallback that stands in for it.
    fn called(&self) -> &Arc<dyn Critic> {
        let spec = &self.run.plan.inner.node(self.critic).spec;
        let fallback = self.shared.failure.as_ref().and(spec.fallback.as_ref());
        fallback.unwrap_or(&spec.critic)
    }

    /// Hands in the result, if it is in time.
    fn finish(&mut self, result: CriticResult) {
        let exec = &self.run.exec;
        let now_ns = exec.now_ns();
        if now_ns >= self.deadline_ns || !self.shared.claim.take() {
            exec.counters.late_results.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let (result, cost) = self.judge(result);
        let cost = cost.unwrap_or(self.estimate);
        let signal = result.signal();
        let (critic, epoch) = (self.critic, self.epoch);
        let completed = Event::Completed { critic, epoch, result, cost, at_ns: now_ns };
        let Some(permit) = self.permit.take() else { return self.run.push(completed) };
        let release = Release { permit, was_detached: false };
        exec.with_core_and_event(&self.run, completed, |core, now_ns| {
            core.admission.settle(&permit, cost, signal, now_ns);
            if core.admission.release(&release, now_ns) {
                core.free_slot(permit.run);
            }
        });
    }

    /// Validates an output; foreign code may panic here too.
    fn judge(&self, result: CriticResult) -> (AttemptResult, Option<MicroDollars>) {
        let failed =
            |kind, message: &str| AttemptResult::Failed { kind, message: Arc::from(message) };
        match result {
            Err(panic) => (failed(ErrorKind::Panic, &panic.0), None),
            Ok(Err(error)) if error.kind() == ErrorKind::Invalid => {
                let errors = vec![OutputProblem::new("", error.message())];
                (AttemptResult::Invalid { errors }, error.cost())
            }
            Ok(Err(error)) => (failed(error.kind(), error.message()), error.cost()),
            Ok(Ok(output)) => {
                let cost = output.cost;
                let plan = &self.run.plan.inner;
                let (node, limits) = (plan.node(self.critic), &plan.settings.output_limits);
                match catch(|| node.judge_output(&output, &self.shared.run.input, limits)) {
                    Err(panic) => (failed(ErrorKind::Panic, &panic.0), cost),
                    Ok(Err(errors)) => (AttemptResult::Invalid { errors }, cost),
                    Ok(Ok(warnings)) => {
                        (AttemptResult::Answer { output: Arc::new(output), warnings }, cost)
                    }
                }
            }
        }
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        let is_unsettled = self.shared.claim.take();
        let callbacks = self.shared.cleanups.take(is_unsettled || self.shared.is_cancelled());
        if let Some(permit) = self.permit.take() {
            let was_detached = self.shared.claim.is_detached();
            let estimate = self.estimate;
            self.run.exec.with_core(|core, now_ns| {
                if is_unsettled {
                    core.admission.settle(&permit, estimate, BreakerSignal::Neutral, now_ns);
                }
                if core.admission.release(&Release { permit, was_detached }, now_ns) {
                    core.free_slot(permit.run);
                }
            });
        }
        if !callbacks.is_empty() {
            self.run.exec.run_cleanups(callbacks, &self.run.handle);
        }
    }
}

/// Calls a critic, whose code runs in a span.
pub(crate) async fn attempt(guard: AttemptGuard, span: Span) {
    let mut guard = guard;
    let context = CriticContext::new(Arc::clone(&guard.shared));
    let critic = guard.called();
    let result = {
        // Within the future, because a critic may panic before it gives one.
        let mut call = pin!(async { critic.evaluate(&context).await }.instrument(span));
        poll_fn(|cx| catch_poll(call.as_mut(), cx)).await
    };
    drop(context);
    guard.finish(result);
}

/// Calls a critic on the blocking pool, which is occupied only while the critic's code runs. A call that cannot be
/// stopped keeps the guard, and with it the permits, until it returns.
pub(crate) async fn blocking_attempt(guard: AttemptGuard, span: Span) {
    let context = CriticContext::new(Arc::clone(&guard.shared));
    let critic = Arc::clone(guard.called());
    let mut call: Pin<Box<dyn Future<Output = _> + Send>> =
        Box::pin(async move { critic.evaluate(&context).await }.instrument(span));
    let mut guard = guard;
    let woken = Arc::new(Woken(Notify::new()));
    loop {
        let waker = Waker::from(Arc::clone(&woken));
        // The result is handed in from there: whoever waits for the thread here may have been dropped by then.
        let polled = tokio::task::spawn_blocking(move || {
            match catch_poll(call.as_mut(), &mut Context::from_waker(&waker)) {
                Poll::Ready(result) => {
                    guard.finish(result);
                    None
                }
                Poll::Pending => Some((guard, call)),
            }
        });
        // The closure never panics, so an error means that the runtime is going away, and takes the guard along.
        let Ok(Some(again)) = polled.await else { return };
        (guard, call) = again;
        woken.0.notified().await;
    }
}

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Gives stopped attempts the grace to end, then drops them.
pub(crate) async fn reap(attempts: Vec<JoinHandle<()>>, grace: std::time::Duration) {
    let deadline = tokio::time::Instant::now() + grace;
    for mut attempt in attempts {
        if tokio::time::timeout_at(deadline, &mut attempt).await.is_err() {
            attempt.abort();
        }
    }
}

pub(crate) type Callbacks = Vec<cleanup::Callback>;
