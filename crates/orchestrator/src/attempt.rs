use std::{sync::Arc, time::Duration};

use adapter_host::{Attempt, AttemptId, Binding, Input};
use api_types::{ErrorCode, EventKind, MetricsEvent, StartedEvent, TaskState};
use narration::{Fact, human};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    AttemptRow, Outcome, Record,
    comparison::Comparison,
    ending::{Counted, Ending, task_error},
    live_task::LiveTask,
    model::PromptText,
    pool_table::{PoolFacts, PoolModel},
    relay::{ID_BLOCK, Relay, prompt_tokens},
    replay::Replay,
    run::Dispatch,
    shared::Shared,
    span::RunSpans,
    verdict::{Verdict, adapter_verdict, end, fail, stopped, unreachable_pool},
    wire,
};

/// How what was shown already is continued.
pub(crate) enum Method {
    /// Nothing was accepted yet.
    Fresh,
    /// The accepted ids go through decode again.
    Replay(Vec<u32>),
    /// The engine starts over and what it says is compared.
    Regenerate(Comparison),
}

impl Method {
    /// As failovers tell it.
    fn name(&self) -> &'static str {
        match self {
            Self::Fresh => "restart",
            Self::Replay(_) => "replay",
            Self::Regenerate(_) => "regenerate",
        }
    }
}

pub(crate) async fn attempt(
    shared: &Arc<Shared>,
    live: &Arc<LiveTask>,
    dispatch: &Dispatch,
    pool: &PoolFacts,
    attempt_id: AttemptId,
    stop: CancellationToken,
    spans: &mut RunSpans<'_>,
) -> Verdict {
    let Some(model) = pool.model(&live.spec.model_id) else {
        return unreachable_pool("the pool does not serve the model any more");
    };
    let Ok(binding) = shared.host.binding(&pool.replica) else {
        return unreachable_pool("no engine is bound for the replica");
    };
    let input = match Box::pin(input(shared, live, pool, model)).await {
        Ok(input) => input,
        Err(verdict) => return verdict,
    };
    let Ok(replay) = Box::pin(Replay::read(shared, &live.log, &live.spec)).await else {
        let message = "the task's generation log cannot be read";
        return fail(live, ErrorCode::ContinuationMismatch, message, Outcome::Mismatch);
    };
    live.note_cut_off(replay.tokens().unwrap_or_default());
    let shown = live.log.last_event();
    let expected = if shown == 0 { 0 } else { replay.events + 1 };
    if shown != expected {
        let message = "the events shown are not those that the generation log gives";
        return fail(live, ErrorCode::ContinuationMismatch, message, Outcome::Mismatch);
    }
    if let Some(verdict) = already_whole(live, &replay) {
        return verdict;
    }
    let (method, run_settings) = match method(live, pool, &replay) {
        // A plain new attempt owes nothing to an earlier one.
        Ok(Method::Fresh) => (Method::Fresh, None),
        Ok(method) => (method, replay.settings.clone()),
        Err(verdict) => {
            if let Some(outcome) = verdict.outcome_name() {
                shared.observer.failed_over("none", outcome);
            }
            return verdict;
        }
    };
    let settings = run_settings.as_ref();
    Box::pin(begin(shared, live, pool, model, attempt_id, settings, dispatch)).await;
    // What attempts leave behind that no engine took up is not kept, so each before this one failed.
    let failover = (live.changing().progress.attempts.len() > 1).then_some(method.name());
    let placed = Placed { pool, model, binding: &binding, attempt_id, stop };
    let continued = Continued { input, method, run_settings, replay, failover };
    let verdict = match Box::pin(open(shared, live, dispatch, placed, continued, spans)).await {
        // In place, as it is polled for each token; what comes before and after is boxed, to keep the task small.
        Ok(relay) => relay.pump().await,
        Err(verdict) => verdict,
    };
    if let (Some(method), Some(outcome)) = (failover, verdict.outcome_name()) {
        shared.observer.failed_over(method, outcome);
    }
    verdict
}

/// Which engine an attempt goes to.
struct Placed<'a> {
    pool: &'a PoolFacts,
    model: &'a PoolModel,
    binding: &'a Binding,
    attempt_id: AttemptId,
    /// Fires when the attempt is to stop.
    stop: CancellationToken,
}

/// What an attempt starts from.
struct Continued {
    input: Input,
    method: Method,
    run_settings: Option<serde_json::Value>,
    replay: Replay,
    /// The method's name, where an attempt before this one failed.
    failover: Option<&'static str>,
}

/// Hands the attempt to the engine; gives what carries its output into the task's log.
async fn open<'a>(
    shared: &'a Arc<Shared>,
    live: &'a Arc<LiveTask>,
    dispatch: &Dispatch,
    placed: Placed<'a>,
    continued: Continued,
    spans: &mut RunSpans<'_>,
) -> Result<Relay<'a>, Verdict> {
    let Placed { pool, model, binding, attempt_id, stop } = placed;
    let Continued { input, method, run_settings, replay, failover } = continued;
    let accepted = match &method {
        Method::Replay(ids) => ids.clone(),
        Method::Fresh | Method::Regenerate(_) => Vec::new(),
    };
    let request = Attempt {
        id: attempt_id,
        model: Arc::clone(&model.engine_name),
        input,
        accepted: accepted.into(),
        max_tokens: live.spec.max_tokens,
        sampling: live.spec.sampling.clone(),
        output: live.spec.output.clone(),
        run_settings,
        correlation_id: live.spec.correlation_id.as_str().into(),
        traceparent: spans.next_hop().map(Into::into),
    };
    let submitted = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        submitted = binding.submit(request) => Some(submitted),
    };
    let stream = match submitted {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => return Err(adapter_verdict(live, &error, &replay)),
        None => return Err(stopped(live, Counted::default())),
    };
    spans.streaming();
    if let Some(method) = failover {
        note_failover(live, method, pool);
    }
    let is_first = live.log.last_event() == 0;
    let mut relay = Relay::new(shared, live, stream, method, replay, &pool.replica.pool_id, stop);
    if is_first {
        relay.write_started(&started(live, dispatch, pool));
    }
    Ok(relay)
}

/// What the engine starts from; the prompt is rendered and journalled once.
async fn input(
    shared: &Arc<Shared>,
    live: &Arc<LiveTask>,
    pool: &PoolFacts,
    model: &PoolModel,
) -> Result<Input, Verdict> {
    if let Some(inputs) = &live.spec.inputs {
        return Ok(Input::Texts(inputs.as_slice().into()));
    }
    let messages = live.spec.messages.as_deref();
    if !pool.features.token_ids {
        return Ok(match (messages, &live.spec.prompt) {
            (Some(messages), _) => Input::Messages(messages.into()),
            (None, prompt) => Input::Text(prompt.as_deref().unwrap_or_default().into()),
        });
    }
    let rendered = live.changing().prompt_ids.clone();
    if let Some(ids) = rendered {
        return Ok(Input::Tokens(ids));
    }
    let prompt = match (messages, &live.spec.prompt) {
        (Some(messages), _) => PromptText::Messages(messages),
        (None, prompt) => PromptText::Text(prompt.as_deref().unwrap_or_default()),
    };
    let ids = match shared.meter.render(&live.spec.model_id, prompt).await {
        Ok(Some(ids)) => ids,
        Ok(None) => return Err(unreachable_pool("the model's tokenizer is not at hand")),
        Err(refused) => {
            let code = ErrorCode::EngineRefused;
            return Err(fail(live, code, &refused.to_string(), Outcome::Refused));
        }
    };
    let needed = ids.len() as u64 + u64::from(live.spec.max_tokens);
    if let Some(ctx_max) = model.ctx_max.map(u64::from)
        && needed > ctx_max
    {
        let message = "the prompt and the answer do not fit the model's context";
        let mut error = task_error(live, ErrorCode::ContextExceeded, message);
        error.details = Some(json!({
            "prompt_tokens": ids.len(),
            "max_tokens": live.spec.max_tokens,
            "ctx_max": ctx_max,
        }));
        let ending = Ending::failed(error, Outcome::Refused, Counted::default());
        return Err(end(ending, true));
    }
    let rendered = Record::Rendered { task: live.id, prompt_ids: Arc::clone(&ids) };
    shared.commit_until_room(vec![rendered]).await;
    live.changing().prompt_ids = Some(Arc::clone(&ids));
    Ok(Input::Tokens(ids))
}

/// The end of a task whose answer was whole before this attempt.
fn already_whole(live: &LiveTask, replay: &Replay) -> Option<Verdict> {
    let usage = Counted {
        tokens_in: prompt_tokens(live, replay.finish.as_ref()),
        tokens_out: replay.answers.tokens_shown(),
        decode_time_ms: 0,
    };
    if let Some(finish) = &replay.finish {
        let tokens_out = usage.tokens_out.or(finish.output_tokens.map(u64::from));
        let usage = Counted { tokens_out, ..usage };
        let reasons = replay.answers.finish_reasons(Some(finish));
        let ending = Ending::succeeded(reasons, usage).with_result(replay.result.clone());
        return Some(end(ending, true));
    }
    let reasons = || replay.answers.finish_reasons(None);
    replay.answers.is_stopped().then(|| end(Ending::succeeded(reasons(), usage), true))
}

fn method(live: &LiveTask, pool: &PoolFacts, replay: &Replay) -> Result<Method, Verdict> {
    if live.spec.inputs.is_some() {
        // Nothing is shown of such work before its end.
        return Ok(Method::Fresh);
    }
    if live.lost_until().is_some() && !pool.features.replay && !pool.features.strict {
        // Clients may have seen more than the log has, and nothing says what.
        let message =
            "power was lost while the answer ran, and this engine cannot repeat it exactly";
        return Err(fail(live, ErrorCode::ContinuationMismatch, message, Outcome::Mismatch));
    }
    if replay.is_empty() {
        return Ok(Method::Fresh);
    }
    let last = live.changing().progress.attempts.last().cloned();
    if last.as_ref().is_some_and(|last| last.sampler_profile != pool.sampler_profile) {
        let message =
            "the worker was lost in the middle of the answer, and no pool draws tokens as it did";
        return Err(fail(live, ErrorCode::WorkerReset, message, Outcome::Lost));
    }
    if pool.features.replay
        && !live.spec.output.is_constrained()
        && let Some(ids) = replay.ids()
    {
        return Ok(Method::Replay(ids));
    }
    // Another version of the engine may compute otherwise: what it says would prove nothing.
    if pool.features.strict && last.is_none_or(|last| last.had_engine_of(pool)) {
        return Ok(Method::Regenerate(Comparison::new(&replay.outputs)));
    }
    let message = "the worker was lost in the middle of the answer, and no pool can continue it";
    Err(fail(live, ErrorCode::WorkerReset, message, Outcome::Lost))
}

/// Journals the attempt before the engine sees it.
async fn begin(
    shared: &Arc<Shared>,
    live: &Arc<LiveTask>,
    pool: &PoolFacts,
    model: &PoolModel,
    attempt_id: AttemptId,
    run_settings: Option<&serde_json::Value>,
    dispatch: &Dispatch,
) {
    let now_ms = shared.clock.wall_ms();
    let digest = model.id.starts_with("sha256:").then(|| model.id.to_string());
    let (progress, is_first) = {
        let mut changing = live.changing();
        live.log.begin_attempt();
        let progress = &mut changing.progress;
        let is_first = progress.started_at_ms.is_none();
        progress.attempts.push(AttemptRow {
            id: attempt_id,
            pool_id: pool.replica.pool_id.to_string(),
            replica_id: pool.replica.replica_id.to_string(),
            engine: pool.engine.clone(),
            engine_version: pool.engine_version.clone(),
            sampler_profile: pool.sampler_profile.clone(),
            model_digest: digest,
            in_process: pool.in_process,
            started_at_ms: now_ms,
            ended_at_ms: None,
            outcome: None,
            tokens: 0,
            run_settings: run_settings.cloned(),
            decision: Some(Arc::clone(&dispatch.decision)),
        });
        progress.ids_reserved = progress.ids_reserved.max(live.log.last_event() + ID_BLOCK);
        progress.first_segment.get_or_insert_with(|| shared.events.current_segment());
        progress.started_at_ms.get_or_insert(now_ms);
        progress.queue_time_ms.get_or_insert_with(|| live.waited_ms(&*shared.clock));
        (changing.progress.clone(), is_first)
    };
    let waited = Duration::from_millis(progress.queue_time_ms.unwrap_or_default());
    let moved =
        Record::Moved { task: live.id, state: TaskState::Running, progress: Box::new(progress) };
    shared.commit_until_room(vec![moved]).await;
    live.changing().state = TaskState::Running;
    if is_first {
        shared.observer.started(live.labels(), &pool.replica.pool_id, waited);
        let queue_time_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            event = "task_started",
            task_id = %live.id,
            correlation_id = live.spec.correlation_id,
            trace_id = live.spec.trace_id(),
            attempt = 1,
            model = live.spec.model_ref,
            engine = pool.engine,
            engine_version = pool.engine_version,
            pool_id = &*pool.replica.pool_id,
            replica_id = &*pool.replica.replica_id,
            queue_time_ms,
            human = human(&Fact::Started {
                model: &live.spec.model_ref,
                pool: &pool.replica.pool_id,
                queue_time_ms,
            }),
        );
    }
}

fn started(live: &LiveTask, dispatch: &Dispatch, pool: &PoolFacts) -> StartedEvent {
    let queue_time_ms = live.changing().progress.queue_time_ms.unwrap_or_default();
    let is_digest = live.spec.model_id.starts_with("sha256:");
    StartedEvent {
        task_id: live.id.to_string(),
        queue_position: dispatch.position,
        predicted_start_ms: live.spec.predicted_start_ms,
        queue_time_ms,
        model_ref: live.spec.model_ref.clone(),
        model_digest: is_digest.then(|| live.spec.model_id.clone()),
        engine: pool.engine.clone(),
        engine_version: pool.engine_version.clone(),
        pool_id: pool.replica.pool_id.to_string(),
        replica_id: pool.replica.replica_id.to_string(),
        seed: live.spec.sampling.seed,
        kv_warmth: false,
        correlation_id: live.spec.correlation_id.clone(),
    }
}

fn note_failover(live: &LiveTask, method: &str, pool: &PoolFacts) {
    let attempt = live.changing().progress.attempts.len();
    tracing::info!(
        event = "failover",
        task_id = %live.id,
        correlation_id = live.spec.correlation_id,
        trace_id = live.spec.trace_id(),
        attempt,
        model = live.spec.model_ref,
        engine = pool.engine,
        engine_version = pool.engine_version,
        pool_id = &*pool.replica.pool_id,
        replica_id = &*pool.replica.replica_id,
        method,
        human = human(&Fact::FailedOver {
            model: &live.spec.model_ref,
            pool: &pool.replica.pool_id,
            attempt: attempt as u64,
        }),
    );
    let metrics = MetricsEvent {
        kv_warmth: Some(false),
        failover: Some(json!({ "attempt": attempt, "method": method })),
        ..MetricsEvent::default()
    };
    let mut event = Vec::new();
    wire::write_unnumbered(&mut event, EventKind::Metrics, &metrics);
    live.log.notify(event.into());
}
