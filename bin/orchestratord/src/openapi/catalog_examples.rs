//! Examples of catalog and operations, see `examples.rs`.

use api_types::{
    AddModelRequest, AliasRequest, AliasView, AvailabilityView, CatalogFileView, CatalogModelView,
    ModelState, ModelStateRequest, NodeHolding, OperationAccepted, OperationProgress,
    OperationStatus, OperationView, Page, PoolHolding,
};

use super::examples::{ADMITTED_AT, MODEL, MODEL_ID, TASK_ID};

const SOURCE: &str = "file:/srv/models/SmolLM2-135M-Instruct.Q4_1.gguf";
const SIZE_BYTES: u64 = 98_273_568;

pub(crate) fn add_model() -> AddModelRequest {
    AddModelRequest {
        source_ref: SOURCE.to_owned(),
        expected_digest: Some(MODEL_ID.to_owned()),
        aliases: vec!["small".to_owned()],
        ..AddModelRequest::default()
    }
}

pub(crate) fn model() -> CatalogModelView {
    CatalogModelView {
        id: MODEL_ID.to_owned(),
        aliases: vec![MODEL.to_owned()],
        source_ref: SOURCE.to_owned(),
        resolved_ref: None,
        files: vec![CatalogFileView {
            name: "SmolLM2-135M-Instruct.Q4_1.gguf".to_owned(),
            size_bytes: SIZE_BYTES,
            sha256: MODEL_ID.to_owned(),
        }],
        size_bytes: SIZE_BYTES,
        format: Some("gguf".to_owned()),
        architecture: Some("llama".to_owned()),
        quant: Some("Q4_1".to_owned()),
        ctx_max: Some(8192),
        kv_bytes_per_token: Some(23_040),
        state: ModelState::Active,
        retire_at: None,
        tags: Vec::new(),
        signatures: Vec::new(),
        sbom: None,
        verified_at: Some(ADMITTED_AT.to_owned()),
        verify_result: "verified".to_owned(),
        out_of_service: None,
        distrust: None,
        created_at: ADMITTED_AT.to_owned(),
    }
}

pub(crate) fn models() -> Page<CatalogModelView> {
    Page { items: vec![model()], next_cursor: None }
}

pub(crate) fn model_state() -> ModelStateRequest {
    ModelStateRequest { state: ModelState::Retired, deadline_ms: Some(60_000) }
}

pub(crate) fn alias_request() -> AliasRequest {
    AliasRequest { model_ref: MODEL.to_owned() }
}

pub(crate) fn alias() -> AliasView {
    AliasView { name: "small".to_owned(), model_id: MODEL_ID.to_owned() }
}

pub(crate) fn availability() -> Page<AvailabilityView> {
    let pool = PoolHolding {
        pool_id: "embedded".to_owned(),
        state: "ready".to_owned(),
        ready_replicas: 1,
        slots_total: 1,
    };
    let view = AvailabilityView {
        model_id: MODEL_ID.to_owned(),
        aliases: vec![MODEL.to_owned()],
        nodes: vec![NodeHolding { node_id: "local".to_owned(), pools: vec![pool] }],
        ready_replicas: 1,
        slots_total: 1,
        replicated: false,
        single_node: true,
    };
    Page { items: vec![view], next_cursor: None }
}

pub(crate) fn operation_accepted() -> OperationAccepted {
    OperationAccepted {
        operation_id: TASK_ID.to_owned(),
        kind: "model_fetch".to_owned(),
        target: SOURCE.to_owned(),
        state: OperationStatus::Running,
        status_url: format!("/v2/operations/{TASK_ID}"),
    }
}

pub(crate) fn operation() -> OperationView {
    OperationView {
        operation_id: TASK_ID.to_owned(),
        kind: "model_fetch".to_owned(),
        target: SOURCE.to_owned(),
        state: OperationStatus::Running,
        progress: OperationProgress {
            step: Some("reading".to_owned()),
            bytes_done: Some(4_194_304),
            bytes_total: Some(SIZE_BYTES),
            estimated_ms: Some(900),
        },
        result: None,
        error: None,
        created_at: ADMITTED_AT.to_owned(),
        ended_at: None,
        correlation_id: "order-66".to_owned(),
    }
}

pub(crate) fn operations() -> Page<OperationView> {
    Page { items: vec![operation()], next_cursor: None }
}
