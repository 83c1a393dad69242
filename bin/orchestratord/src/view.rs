use adapter_host::Sampling;
use api_types::{
    AheadView, AttemptView, DecisionView, EstimateView, Links, PreparationStep, PreparationView,
    Priority, StepStatus, TaskAccepted, TaskState, TaskView, Usage, WaitingView,
};
use jiff::Timestamp;
use orchestrator::{Accepted, QueuePlace, TaskRow};
use orchestrator_core::{Class, TaskId};
use serde_json::json;

/// A task as the API shows it; `remaining_ms` is when it should end, of one that runs.
pub(crate) fn task_view(
    row: TaskRow,
    place: Option<QueuePlace>,
    remaining_ms: Option<u64>,
    last_event_id: u64,
    preparation: PreparationView,
    decision: Option<DecisionView>,
    with_prompt: bool,
) -> TaskView {
    let spec = &row.spec;
    let forecast = place.as_ref().and_then(|place| place.forecast);
    let prompt_tokens = row.prompt_ids.as_ref().map(|ids| ids.len() as u64);
    let generated = row.progress.attempts.last().map_or(0, |attempt| attempt.tokens);
    let usage = match &row.end {
        Some(end) => Usage { tokens_in: end.tokens_in, tokens_out: end.tokens_out },
        None => Usage { tokens_in: prompt_tokens, tokens_out: Some(generated) },
    };
    let prompt = with_prompt.then(|| match (&spec.prompt, &spec.messages, &spec.inputs) {
        (Some(prompt), ..) => json!(prompt),
        (None, Some(messages), _) => json!(messages),
        (None, None, inputs) => json!(inputs),
    });
    let attempts = row.progress.attempts.iter().map(|attempt| AttemptView {
        attempt_id: attempt.id.to_string(),
        pool_id: attempt.pool_id.clone(),
        replica_id: attempt.replica_id.clone(),
        engine: attempt.engine.clone(),
        engine_version: attempt.engine_version.clone(),
        model_digest: attempt.model_digest.clone(),
        seed: spec.sampling.seed,
        started_at: instant(attempt.started_at_ms),
        ended_at: attempt.ended_at_ms.map(instant),
        outcome: attempt.outcome.map(|outcome| outcome.name().to_owned()),
        tokens: attempt.tokens,
        decision: attempt.decision.as_deref().cloned(),
    });
    TaskView {
        task_id: row.id.to_string(),
        status: shown_state(row.state, &preparation),
        model_ref: spec.model_ref.clone(),
        model_id: spec.model_id.clone(),
        priority: spec.priority,
        request_digest: spec.request_digest.clone(),
        parameters: json!({
            "max_tokens": spec.max_tokens,
            "expected_tokens": spec.expected_tokens,
            "deadline_ms": spec.deadline_ms,
            "sampling": as_given(&spec.sampling),
            "stop": spec.stop,
            "determinism": spec.determinism,
            "failover": spec.failover,
            "output_mode": spec.output_mode,
            "sampler_profile_version": spec.sampler_profile_version,
            "cancel_on_disconnect": spec.cancel_when_alone_ms.is_some(),
            "workload": spec.workload,
            "output": spec.output,
            "placement": spec.placement,
        }),
        client_ref: spec.client_ref.clone(),
        metadata: (!spec.metadata.is_empty()).then(|| spec.metadata.clone()),
        queue_position: place.as_ref().map(|place| place.position),
        predicted_start_ms: forecast.map(|forecast| forecast.start_ms),
        predicted_end_ms: forecast.map(|forecast| forecast.end_ms()).or(remaining_ms),
        admitted_at: instant(spec.admitted_at_ms),
        started_at: row.progress.started_at_ms.map(instant),
        ended_at: row.end.as_ref().map(|end| instant(end.ended_at_ms)),
        deadline_at: deadline_at(&row),
        attempts: attempts.collect(),
        decision,
        usage,
        error: row.end.as_ref().and_then(|end| end.error.clone()),
        last_event_id,
        correlation_id: spec.correlation_id.clone(),
        preparation,
        waiting: place.map(waiting_view),
        links: links(row.id),
        prompt,
    }
}

/// The 202 of a task.
pub(crate) fn accepted_view(accepted: &Accepted) -> TaskAccepted {
    let task = &accepted.task;
    let Links { events_url, status_url, cancel_url } = links(task.id);
    TaskAccepted {
        task_id: task.id.to_string(),
        status: shown_state(task.state, &accepted.preparation),
        queue_position: accepted.queue_position,
        predicted_start_ms: accepted.forecast.map(|forecast| forecast.start_ms),
        predicted_end_ms: accepted.forecast.map(|forecast| forecast.end_ms()),
        admitted_at: instant(task.spec.admitted_at_ms),
        deadline_at: deadline_at(task),
        events_url,
        status_url,
        cancel_url,
        preparation: accepted.preparation.clone(),
    }
}

fn waiting_view(place: QueuePlace) -> WaitingView {
    let ahead = place.ahead.into_iter().map(|ahead| AheadView {
        priority: match ahead.class {
            Class::Interactive => Priority::Interactive,
            Class::Batch => Priority::Batch,
        },
        identity: ahead.identity.map(|identity| identity.0.to_string()),
        tasks: ahead.tasks,
    });
    let estimate = place.forecast.map(|forecast| EstimateView {
        start_earliest_ms: forecast.start_ms_earliest,
        start_latest_ms: forecast.start_ms_latest,
        prefill_ms: forecast.prefill_ms,
        decode_ms: forecast.decode_ms,
        starts_ahead: forecast.starts_ahead,
        slots: forecast.slots,
        samples: forecast.samples,
    });
    WaitingView { ahead: ahead.collect(), estimate }
}

/// Numbers as people write them: a detour through text, since widening 0.8 shows what a float really is.
fn as_given(sampling: &Sampling) -> serde_json::Value {
    serde_json::to_string(sampling)
        .and_then(|text| serde_json::from_str(&text))
        .expect("numbers are JSON")
}

fn deadline_at(row: &TaskRow) -> Option<String> {
    row.spec.deadline_ms.map(|ms| instant(row.spec.admitted_at_ms.saturating_add(ms)))
}

/// The state of a task: one that waits for its model to be brought here is `preparing` (ORCH-061).
fn shown_state(state: TaskState, preparation: &PreparationView) -> TaskState {
    let is_under_way =
        |step: &PreparationStep| matches!(step.status, StepStatus::Pending | StepStatus::Running);
    if state == TaskState::Queued && preparation.steps.iter().any(is_under_way) {
        TaskState::Preparing
    } else {
        state
    }
}

/// Where to go from a task.
pub(crate) fn links(id: TaskId) -> Links {
    Links {
        events_url: format!("/v2/tasks/{id}/events"),
        status_url: format!("/v2/tasks/{id}"),
        cancel_url: format!("/v2/tasks/{id}/cancel"),
    }
}

/// An instant of the wall clock as RFC 3339 in UTC.
pub(crate) fn instant(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::MAX)
        .to_string()
}
