use std::{collections::BTreeMap, sync::Arc};

use adapter_host::{AttemptId, Sampling};
use api_types::{Determinism, Failover, PlacementRequest, Priority, TaskState};
use camino::Utf8Path;
use orchestrator::{
    AttemptRow, Binding, BindingKey, EndRow, Outcome, Poison, Progress, Record, Region, TaskRow,
    TaskSpec,
};
use orchestrator_core::TaskId;
use store_sqlite::{SqliteOptions, SqliteStore};
use uuid::Uuid;

pub(crate) fn open(dir: &Utf8Path) -> SqliteStore {
    SqliteStore::open(&dir.join("store.sqlite"), SqliteOptions::default()).unwrap()
}

/// A queued task; its id follows from its sequence.
pub(crate) fn queued(sequence: u64) -> TaskRow {
    TaskRow {
        id: task(sequence),
        sequence,
        identity: "localhost".into(),
        state: TaskState::Queued,
        spec: Arc::new(spec("Tell me a story.")),
        prompt_ids: None,
        progress: Progress::default(),
        end: None,
    }
}

pub(crate) fn task(sequence: u64) -> TaskId {
    TaskId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(sequence)))
}

pub(crate) fn spec(prompt: &str) -> TaskSpec {
    TaskSpec {
        model_ref: "default".to_owned(),
        model_id: "sha256:0011".to_owned(),
        priority: Priority::Interactive,
        prompt: Some(prompt.to_owned()),
        workload: api_types::Workload::Completion,
        messages: None,
        inputs: None,
        output: api_types::OutputRequest::default(),
        needs: adapter_host::Needs::default(),
        max_tokens: 64,
        expected_tokens: Some(40),
        sampling: Sampling { temperature: 0.7, seed: u64::MAX, ..Sampling::default() },
        stop: vec!["\n\n".to_owned()],
        determinism: Determinism::BestEffort,
        failover: Failover::Auto,
        placement: PlacementRequest::default(),
        cancel_when_alone_ms: Some(5_000),
        client_ref: None,
        metadata: BTreeMap::from([("team".to_owned(), "zoo".to_owned())]),
        output_mode: None,
        sampler_profile_version: None,
        correlation_id: "c-1".to_owned(),
        traceparent: None,
        request_digest: "sha256:aa".to_owned(),
        prompt_tokens: Some(5),
        admitted_at_ms: 1_700_000_000_000,
        admitted_boot_ms: 12_345,
        boot_id: "boot".to_owned(),
        deadline_ms: None,
        queue_max_ms: 86_400_000,
        admitted_position: 1,
        predicted_start_ms: Some(250),
    }
}

pub(crate) fn admitted(task: TaskRow) -> Record {
    Record::Admitted { task: Box::new(task), binding: None }
}

pub(crate) fn key(key: &str) -> BindingKey {
    BindingKey { identity: "localhost".into(), route: "/v2/tasks", key: key.into() }
}

pub(crate) fn bound(task: TaskRow, text: &str) -> Record {
    let binding = Binding { key: key(text), request_digest: "sha256:aa".to_owned(), task: task.id };
    Record::Admitted { task: Box::new(task), binding: Some(binding) }
}

/// What stands in a task that has been through a lot.
pub(crate) fn progress() -> Progress {
    Progress {
        attempts: vec![AttemptRow {
            id: AttemptId(Uuid::from_u128(9)),
            pool_id: "embedded".to_owned(),
            replica_id: "embedded.0".to_owned(),
            engine: "candle".to_owned(),
            engine_version: "0.11.1".to_owned(),
            sampler_profile: String::new(),
            model_digest: Some("sha256:0011".to_owned()),
            in_process: true,
            started_at_ms: 1_700_000_000_100,
            ended_at_ms: Some(1_700_000_000_900),
            outcome: Some(Outcome::Lost),
            tokens: 17,
            run_settings: Some(serde_json::json!({"threads": 2})),
            decision: None,
        }],
        ids_reserved: 256,
        first_segment: Some(3),
        started_at_ms: Some(1_700_000_000_100),
        queue_time_ms: Some(100),
        poison: Poison { daemon_ends: 1, worker_deaths: 2, failures: 3 },
    }
}

pub(crate) fn end() -> EndRow {
    EndRow {
        ended_at_ms: 1_700_000_001_000,
        event_id: 19,
        event: "end".to_owned(),
        data: r#"{"finish_reason":"stop"}"#.to_owned(),
        tokens_in: Some(5),
        tokens_out: Some(17),
        error: None,
        regions: vec![Region {
            segment: 3,
            offset: 24,
            len_bytes: 99,
            first_event: 1,
            event_count: 18,
        }],
        events_gone_at_ms: None,
        erased_at_ms: None,
    }
}

pub(crate) fn moved(sequence: u64, state: TaskState) -> Record {
    Record::Moved { task: task(sequence), state, progress: Box::new(progress()) }
}

pub(crate) fn ended(sequence: u64, state: TaskState, frees_binding: bool) -> Record {
    Record::Ended {
        task: task(sequence),
        state,
        progress: Box::new(progress()),
        end: Box::new(end()),
        frees_binding,
    }
}
