use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use adapter_host::AttemptId;
use api_types::{DecisionView, ErrorBody, ErrorCode, Failover, TaskState};
use futures_util::FutureExt as _;
use narration::{Fact, human};
use orchestrator_core::{Event, Lease, ModelId, Next, ServiceSample};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Outcome, Record,
    attempt::attempt,
    ending::{Counted, Ending, finish, task_error},
    live_task::LiveTask,
    pool_table::{PoolFacts, PoolState},
    shared::Shared,
    span::RunSpans,
    verdict::{RetryReason, Verdict, stopped_ending},
};

/// How long an engine in this process may take to confirm an abort before it counts as stuck (ORCH-054).
const IN_PROCESS_ABORT: Duration = Duration::from_secs(30);

/// Waits before a task is tried again alone, by how many times something died under it.
const ALONE_AFTER_MS: [u64; 3] = [1000, 10_000, 60_000];

/// Wait before a task is offered again to engines that had no room.
const OVERLOADED_RETRY_MS: u64 = 500;

/// Where a task runs.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    pub(crate) replica: placement::ReplicaKey,
    pub(crate) lease: Lease,
    /// Position last held in the queue.
    pub(crate) position: u64,
    /// Why there.
    pub(crate) decision: Arc<DecisionView>,
}

/// Runs one attempt of a task and does what follows from it.
pub(crate) async fn run(shared: &Arc<Shared>, live: &Arc<LiveTask>, dispatch: Dispatch) {
    let mut spans = RunSpans::begin(shared, live);
    let pool = shared.pools.get(&dispatch.replica);
    let Some(pool) = pool.filter(|pool| pool.state != PoolState::Draining) else {
        spans.over(Some("pool_gone"));
        // The pool went between the decision and its execution.
        Box::pin(requeue(shared, live, &dispatch, RetryReason::Unreachable)).await;
        shared.step(Event::LeaseReleased { lease: dispatch.lease });
        return;
    };
    tracing::debug!(
        event = "task_placed",
        pool_id = &*pool.replica.pool_id,
        replica_id = &*pool.replica.replica_id,
        queue_position = dispatch.position,
        human = human(&Fact::Placed { model: &live.spec.model_ref, pool: &pool.replica.pool_id }),
    );
    let attempt_id = AttemptId(Uuid::now_v7());
    let began_ms = shared.clock.boot_ms();
    let stop = live.begin_attempt(&dispatch.replica);
    spans.placed(&pool.replica.pool_id, attempt_id);
    let work = attempt(shared, live, &dispatch, &pool, attempt_id, stop, &mut spans);
    let verdict = shared.guard_panics(live, work).await;
    spans.judged(&verdict);
    live.end_attempt();
    measure(shared, live, attempt_id, began_ms, &verdict);
    Box::pin(settle(shared, live, &dispatch, &pool, attempt_id, verdict)).await;
}

/// Tells the scheduler what a completed attempt took. One that went on where another had failed is no
/// measure, nor is one that ended before its answer did.
fn measure(
    shared: &Arc<Shared>,
    live: &LiveTask,
    attempt_id: AttemptId,
    began_ms: u64,
    verdict: &Verdict,
) {
    let Verdict::End { ending, .. } = verdict else { return };
    let is_only = {
        let changing = live.changing();
        matches!(&changing.progress.attempts[..], [only] if only.id == attempt_id)
    };
    if ending.outcome != Some(Outcome::Completed) || !is_only {
        return;
    }
    let usage = ending.usage;
    let held_ms = shared.clock.boot_ms().saturating_sub(began_ms);
    let decode_ms = usage.decode_time_ms.min(held_ms);
    let sample = ServiceSample {
        prompt_tokens: usage.tokens_in.or(live.spec.prompt_tokens.map(u64::from)).unwrap_or(0),
        prefill_ms: held_ms - decode_ms,
        answer_tokens: usage.tokens_out.unwrap_or(0),
        decode_ms,
    };
    let model = ModelId(live.spec.model_id.as_str().into());
    shared.step(Event::Measured { model, sample });
}

async fn settle(
    shared: &Arc<Shared>,
    live: &Arc<LiveTask>,
    dispatch: &Dispatch,
    pool: &PoolFacts,
    attempt_id: AttemptId,
    verdict: Verdict,
) {
    let lease = dispatch.lease;
    let over = || shared.attempt_ended(live.id, lease, Next::Ended);
    match verdict {
        Verdict::End { ending, engine_is_done: true } => {
            shared.step(Event::LeaseReleased { lease });
            finish(shared, live, *ending).await;
            over();
        }
        Verdict::End { ending, engine_is_done: false } => {
            let ended = async {
                finish(shared, live, *ending).await;
                over();
            };
            tokio::join!(ended, free_slot(shared, pool, attempt_id, lease));
        }
        Verdict::Retry { reason, cause } => {
            tell_retry(live, pool, reason, &cause);
            if reason == RetryReason::Unreachable {
                shared.pool_lost(&pool.replica, &cause);
            }
            let ending = retry_or_end(shared, live, reason, &cause);
            let released = free_slot(shared, pool, attempt_id, lease);
            let settled = async {
                match ending {
                    Some(ending) => {
                        finish(shared, live, ending).await;
                        over();
                    }
                    None => requeue(shared, live, dispatch, reason).await,
                }
            };
            tokio::join!(settled, released);
        }
        Verdict::Leave => {
            shared.sync_events().await;
            close_attempt(shared, live, Outcome::Interrupted);
            let progress = live.changing().progress.clone();
            let moved = Record::Moved {
                task: live.id,
                state: TaskState::Queued,
                progress: Box::new(progress),
            };
            shared.commit_until_room(vec![moved]).await;
            live.changing().state = TaskState::Queued;
            let request = live.request(&shared.options());
            let again = Next::Requeue { not_before_ms: 0, request };
            shared.attempt_ended(live.id, lease, again);
        }
    }
}

fn tell_retry(live: &LiveTask, pool: &PoolFacts, reason: RetryReason, cause: &str) {
    if reason == RetryReason::Planned {
        tracing::info!(
            event = "attempt_moved",
            task_id = %live.id,
            correlation_id = live.spec.correlation_id,
            trace_id = live.spec.trace_id(),
            model = live.spec.model_ref,
            pool_id = &*pool.replica.pool_id,
            replica_id = &*pool.replica.replica_id,
            "{cause}"
        );
        return;
    }
    tracing::warn!(
        event = "attempt_failed",
        task_id = %live.id,
        correlation_id = live.spec.correlation_id,
        trace_id = live.spec.trace_id(),
        model = live.spec.model_ref,
        pool_id = &*pool.replica.pool_id,
        replica_id = &*pool.replica.replica_id,
        error = cause,
        human = human(&Fact::AttemptFailed {
            model: &live.spec.model_ref,
            pool: &pool.replica.pool_id,
        }),
    );
}

/// Counts a failure; gives the end of a task that has failed often enough.
fn retry_or_end(
    shared: &Shared,
    live: &LiveTask,
    reason: RetryReason,
    cause: &str,
) -> Option<Ending> {
    if let Some(ending) = stopped_ending(live, Counted::default()) {
        return Some(ending);
    }
    if reason != RetryReason::Failed {
        return None;
    }
    let failures = {
        let mut changing = live.changing();
        changing.progress.poison.failures += 1;
        changing.progress.poison.failures
    };
    let details = json!({ "failures": failures, "last_cause": cause });
    let error = if live.spec.failover == Failover::Off {
        task_error(live, ErrorCode::WorkerReset, "the worker was lost and failover is off")
    } else if failures >= shared.options().max_attempts {
        let message = "the task failed on every worker that tried it";
        task_error(live, ErrorCode::ReplicaExhausted, message)
    } else {
        return None;
    };
    let error = ErrorBody { details: Some(details), ..error };
    Some(Ending::failed(error, Outcome::Lost, Counted::default()))
}

/// Puts the task back at the head of its class.
async fn requeue(
    shared: &Arc<Shared>,
    live: &Arc<LiveTask>,
    dispatch: &Dispatch,
    reason: RetryReason,
) {
    let wait_ms = match reason {
        RetryReason::Overloaded { retry_after_ms } => retry_after_ms.unwrap_or(OVERLOADED_RETRY_MS),
        RetryReason::Unreachable | RetryReason::Failed | RetryReason::Planned => 0,
    };
    match reason {
        RetryReason::Failed => close_attempt(shared, live, Outcome::Lost),
        RetryReason::Planned => close_attempt(shared, live, Outcome::Interrupted),
        // No engine took it up, and there may be any number of them: they are not kept.
        RetryReason::Overloaded { .. } | RetryReason::Unreachable => drop_attempt(live),
    }
    let progress = Box::new(live.changing().progress.clone());
    let moved = Record::Moved { task: live.id, state: TaskState::Queued, progress };
    shared.commit_until_room(vec![moved]).await;
    live.changing().state = TaskState::Queued;
    let not_before_ms = shared.clock.boot_ms() + wait_ms;
    let again = Next::Requeue { not_before_ms, request: live.request(&shared.options()) };
    put_back(shared, live, dispatch, again).await;
}

/// Gives the task back to the scheduler; ends it where the scheduler has ended it meanwhile.
async fn put_back(shared: &Arc<Shared>, live: &Arc<LiveTask>, dispatch: &Dispatch, next: Next) {
    live.changing().queued_at_ms = shared.clock.wall_ms();
    if !shared.attempt_ended(live.id, dispatch.lease, next)
        && let Some(ending) = stopped_ending(live, Counted::default())
    {
        finish(shared, live, Ending { outcome: None, ..ending }).await;
    }
}

/// Forgets the attempt that no engine took up.
fn drop_attempt(live: &LiveTask) {
    live.changing().progress.attempts.pop_if(|attempt| attempt.outcome.is_none());
}

fn close_attempt(shared: &Shared, live: &LiveTask, outcome: Outcome) {
    let mut changing = live.changing();
    if let Some(attempt) = changing.progress.attempts.last_mut()
        && attempt.outcome.is_none()
    {
        attempt.outcome = Some(outcome);
        attempt.ended_at_ms = Some(shared.clock.wall_ms());
    }
}

/// Waits until the engine confirms that the attempt is over, then gives the slot back.
async fn free_slot(shared: &Arc<Shared>, pool: &PoolFacts, attempt_id: AttemptId, lease: Lease) {
    let Ok(binding) = shared.host.binding(&pool.replica) else {
        shared.step(Event::LeaseReleased { lease });
        return;
    };
    let grace = if pool.in_process {
        IN_PROCESS_ABORT
    } else {
        Duration::from_millis(shared.options().cancel_grace_ms)
    };
    let abort = AssertUnwindSafe(binding.adapter().abort(attempt_id)).catch_unwind();
    let confirmed = tokio::time::timeout(grace, abort).await;
    if pool.in_process && confirmed.is_err() {
        // The engine computes on and cannot be stopped: its slot stays taken.
        shared.pool_stuck(&pool.replica);
        return;
    }
    if !matches!(confirmed, Ok(Ok(Ok(())))) {
        tracing::warn!(
            event = "abort_unconfirmed",
            pool_id = &*pool.replica.pool_id,
            "an abort was not confirmed in time"
        );
    }
    shared.step(Event::LeaseReleased { lease });
}

/// The wait before a task under which something died is tried again alone.
pub(crate) fn alone_after_ms(deaths: u32) -> u64 {
    let step = usize::try_from(deaths.saturating_sub(2)).unwrap_or(usize::MAX);
    ALONE_AFTER_MS[step.min(ALONE_AFTER_MS.len() - 1)]
}
