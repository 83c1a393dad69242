//! Examples for the document: values of the very types that are served, so that none can be out of shape.

use api_types::{
    AttemptView, CancelAnswer, CandidateView, CapabilitiesView, DecisionView, EndEvent, EventKind,
    LimitsView, Links, MessageRequest, ModelCapabilities, ModelView, Page, PoolCapabilities,
    PoolStatus, PreparationView, Priority, QueueStatus, ReadyView, SamplingRequest, StartedEvent,
    StatusView, TaskAccepted, TaskRequest, TaskState, TaskView, TokenEvent, Usage, VersionView,
};
use serde::Serialize;
use serde_json::json;

use super::API_VERSION;

/// The task of all examples.
pub(crate) const TASK_ID: &str = "0190b6a4-1c2d-7e3f-8a4b-5c6d7e8f9a0b";
/// The model of all examples, by its digest and by its name.
pub(super) const MODEL_ID: &str =
    "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
pub(crate) const MODEL: &str = "starter";
pub(super) const ADMITTED_AT: &str = "2026-11-21T12:00:00.000Z";

pub(crate) fn task_request() -> TaskRequest {
    TaskRequest {
        messages: Some(vec![MessageRequest::text("user", "Name three colors.")]),
        model_ref: Some(MODEL.to_owned()),
        max_tokens: Some(32),
        sampling: SamplingRequest {
            temperature: Some(0.5),
            stop: vec!["\n\n".to_owned()],
            ..SamplingRequest::default()
        },
        client_ref: Some("colors-1".to_owned()),
        ..TaskRequest::default()
    }
}

fn links() -> Links {
    Links {
        events_url: format!("/v2/tasks/{TASK_ID}/events"),
        status_url: format!("/v2/tasks/{TASK_ID}"),
        cancel_url: format!("/v2/tasks/{TASK_ID}/cancel"),
    }
}

pub(crate) fn task_accepted() -> TaskAccepted {
    let Links { events_url, status_url, cancel_url } = links();
    TaskAccepted {
        task_id: TASK_ID.to_owned(),
        status: TaskState::Queued,
        queue_position: Some(0),
        predicted_start_ms: None,
        predicted_end_ms: None,
        admitted_at: ADMITTED_AT.to_owned(),
        deadline_at: None,
        events_url,
        status_url,
        cancel_url,
        preparation: PreparationView::default(),
    }
}

pub(crate) fn task_view() -> TaskView {
    TaskView {
        task_id: TASK_ID.to_owned(),
        status: TaskState::Running,
        model_ref: MODEL.to_owned(),
        model_id: MODEL_ID.to_owned(),
        priority: Priority::Interactive,
        request_digest: MODEL_ID.replace("b179", "c4d1"),
        parameters: json!({"max_tokens": 32, "sampling": {"temperature": 0.5}}),
        client_ref: Some("colors-1".to_owned()),
        metadata: None,
        queue_position: None,
        predicted_start_ms: None,
        predicted_end_ms: None,
        admitted_at: ADMITTED_AT.to_owned(),
        started_at: Some("2026-11-21T12:00:00.004Z".to_owned()),
        ended_at: None,
        deadline_at: None,
        attempts: vec![AttemptView {
            attempt_id: "0190b6a4-1c31-7000-8000-000000000001".to_owned(),
            pool_id: "embedded".to_owned(),
            replica_id: "embedded-1".to_owned(),
            engine: "candle".to_owned(),
            engine_version: "0.11.1".to_owned(),
            model_digest: Some(MODEL_ID.to_owned()),
            seed: 42,
            started_at: "2026-11-21T12:00:00.004Z".to_owned(),
            ended_at: None,
            outcome: None,
            tokens: 3,
            decision: Some(decision()),
        }],
        decision: Some(decision()),
        usage: Usage { tokens_in: Some(13), tokens_out: Some(3) },
        error: None,
        last_event_id: 4,
        correlation_id: "order-66".to_owned(),
        preparation: PreparationView::default(),
        waiting: None,
        links: links(),
        prompt: None,
    }
}

fn decision() -> DecisionView {
    DecisionView {
        outcome: "assign".to_owned(),
        reason: None,
        strategy: "session-sticky".to_owned(),
        snapshot_version: 7,
        node_id: Some("local".to_owned()),
        pool_id: Some("embedded".to_owned()),
        replica_id: Some("embedded-1".to_owned()),
        pinned: false,
        fallback: false,
        candidates: vec![CandidateView {
            node_id: "local".to_owned(),
            pool_id: "embedded".to_owned(),
            replica_id: Some("embedded-1".to_owned()),
            reasons: Vec::new(),
        }],
        candidates_omitted: 0,
    }
}

pub(crate) fn tasks() -> Page<TaskView> {
    Page { items: vec![task_view()], next_cursor: Some("s2a".to_owned()) }
}

pub(crate) fn cancel_answer() -> CancelAnswer {
    CancelAnswer { task_id: TASK_ID.to_owned(), status: TaskState::Canceled }
}

/// A whole stream, as bytes on the wire.
pub(crate) fn events() -> String {
    let started = StartedEvent {
        task_id: TASK_ID.to_owned(),
        queue_position: 0,
        predicted_start_ms: None,
        queue_time_ms: 4,
        model_ref: MODEL.to_owned(),
        model_digest: Some(MODEL_ID.to_owned()),
        engine: "candle".to_owned(),
        engine_version: "0.11.1".to_owned(),
        pool_id: "embedded".to_owned(),
        replica_id: "embedded-1".to_owned(),
        seed: 42,
        kv_warmth: false,
        correlation_id: "order-66".to_owned(),
    };
    let token = TokenEvent {
        i: 0,
        t: "Red".to_owned(),
        n: Some(1),
        choice: None,
        channel: None,
        delta: None,
        logprobs: None,
    };
    let end = EndEvent {
        finish_reason: "stop".to_owned(),
        tokens_in: Some(13),
        tokens_out: Some(1),
        queue_time_ms: 4,
        first_token_ms: Some(90),
        decode_time_ms: 24,
        attempts: 1,
        kv_migrated: false,
        ..EndEvent::default()
    };
    let mut stream = b"retry: 1000\n\n".to_vec();
    write(&mut stream, 1, EventKind::Started, &started);
    write(&mut stream, 2, EventKind::Token, &token);
    write(&mut stream, 3, EventKind::End, &end);
    String::from_utf8(stream).expect("JSON is UTF-8")
}

fn write(stream: &mut Vec<u8>, id: u64, kind: EventKind, data: &impl Serialize) {
    let data = serde_json::to_vec(data).expect("wire types are JSON");
    sse::write_event(stream, Some(id), Some(kind.name()), &data);
}

pub(crate) fn ready() -> ReadyView {
    ReadyView { ready: true, failing: Vec::new() }
}

pub(crate) fn not_ready() -> ReadyView {
    ReadyView { ready: false, failing: vec!["shutdown".to_owned()] }
}

pub(crate) fn status() -> StatusView {
    StatusView {
        version: "0.0.0".to_owned(),
        profile: "home".to_owned(),
        ready: true,
        failing: Vec::new(),
        models: vec![ModelView {
            id: MODEL_ID.to_owned(),
            aliases: vec![MODEL.to_owned()],
            source_ref: "file:model.gguf".to_owned(),
            state: "available".to_owned(),
            created_at: Some(ADMITTED_AT.to_owned()),
            verified: true,
            architecture: Some("llama".to_owned()),
            quant: Some("Q4_1".to_owned()),
            ctx_max: Some(8192),
            size_bytes: Some(98_000_000),
            pools: vec!["embedded".to_owned()],
            ready_replicas: 1,
        }],
        pools: vec![PoolStatus {
            pool_id: "embedded".to_owned(),
            engine: "candle".to_owned(),
            state: "ready".to_owned(),
            slots_total: 1,
            slots_free: 1,
            unverified: false,
            last_error: None,
        }],
        queue: vec![QueueStatus {
            model_id: MODEL_ID.to_owned(),
            interactive: 0,
            batch: 0,
            running: 1,
        }],
    }
}

pub(crate) fn version() -> VersionView {
    VersionView {
        api_version: API_VERSION.to_owned(),
        version: "0.0.0".to_owned(),
        build_commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        build_time: ADMITTED_AT.to_owned(),
    }
}

pub(crate) fn capabilities() -> CapabilitiesView {
    CapabilitiesView {
        api_version: API_VERSION.to_owned(),
        profile: "home".to_owned(),
        features: vec!["openai_facade".to_owned(), "event_resume".to_owned()],
        limits: LimitsView {
            body_max_bytes: 4 << 20,
            header_max_bytes: 16 << 10,
            headers_max: 64,
            prompt_max_bytes: 2 << 20,
            stop_max: 16,
            metadata_keys_max: 16,
            queue_model_capacity: 256,
            queue_total_capacity: 4096,
            queue_max_bytes: 512 << 20,
            queue_max_ms: 86_400_000,
            subscribers_per_task: 16,
            subscribers_max: 10_000,
        },
        models: vec![ModelCapabilities {
            model_id: MODEL_ID.to_owned(),
            aliases: vec![MODEL.to_owned()],
            pools: vec![PoolCapabilities {
                pool_id: "embedded".to_owned(),
                state: "ready".to_owned(),
                engine: "candle".to_owned(),
                engine_version: "0.11.1".to_owned(),
                sampler_profile_version: None,
                ctx_max: Some(8192),
                max_tokens_out: Some(8191),
                slots_total: 1,
                batching: false,
                workloads: vec!["completion".to_owned()],
                features: vec!["token_ids".to_owned(), "sampling.temperature".to_owned()],
                rate_limits: None,
            }],
        }],
    }
}
