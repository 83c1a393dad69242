use std::sync::Arc;
use std::time::Duration;

use super::{CriticState, Executor};
use crate::stage::Stage;

/// Permits of one scope.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PermitUse {
    /// Attempts outstanding.
    pub in_use: usize,
    /// How many may be.
    pub limit: Option<usize>,
}

/// An attempt that has been admitted and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningAttempt {
    /// Its critic.
    pub critic: Arc<str>,
    /// Its run.
    pub run_id: Arc<str>,
    /// How long ago it was admitted.
    pub age: Duration,
}

/// An executor at one moment, for an operator's page or a debugger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorSnapshot {
    /// Critics waiting for a permit.
    pub queue_depth: usize,
    /// Runs that hold something.
    pub runs: usize,
    /// Runs waiting for a place.
    pub waiting_runs: usize,
    /// Permits over all stages.
    pub permits: PermitUse,
    /// Permits per stage, in order.
    pub stages: [PermitUse; Stage::COUNT],
    /// Blocking calls that go on after their attempts have ended.
    pub detached_blocking: usize,
    /// What critics of each name share, by name: permits, tokens, breakers.
    pub critics: Vec<CriticState>,
    /// Attempts at work, the oldest first. Fallbacks hold no permit and are not among them.
    pub attempts: Vec<RunningAttempt>,
}

impl Executor {
    /// Queue, permits, breakers, tokens and running attempts at this moment, all under one lock.
    ///
    /// ```
    /// use critic_executor::Executor;
    ///
    /// let snapshot = Executor::default().snapshot();
    /// assert_eq!((snapshot.queue_depth, snapshot.permits.limit), (0, Some(10)));
    /// assert!(snapshot.attempts.is_empty());
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> ExecutorSnapshot {
        self.shared.with_core(|core, now_ns| {
            let admission = &core.admission;
            let mut attempts: Vec<_> = admission
                .running()
                .filter_map(|(run, critic, since_ns)| {
                    let run = core.runs.get(run as usize)?.as_ref()?;
                    Some((since_ns, Arc::clone(critic), Arc::clone(&run.run_id)))
                })
                .collect();
            attempts.sort_unstable();
            let aged = |(since_ns, critic, run_id)| RunningAttempt {
                critic,
                run_id,
                age: Duration::from_nanos(now_ns.saturating_sub(since_ns)),
            };
            let (permits, stages) = admission.permits();
            let permit_use = |(in_use, limit)| PermitUse { in_use, limit };
            ExecutorSnapshot {
                queue_depth: admission.queue_len(),
                runs: core.runs.iter().flatten().count(),
                waiting_runs: core.run_queue.len(),
                permits: permit_use(permits),
                stages: stages.map(permit_use),
                detached_blocking: admission.detached_blocking(),
                critics: core.critic_states(now_ns),
                attempts: attempts.into_iter().map(aged).collect(),
            }
        })
    }
}
