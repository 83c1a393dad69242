use std::collections::BTreeMap;

use api_types::{
    AvailabilityView, CatalogFileView, CatalogModelView, ModelState, NodeHolding,
    OperationAccepted, OperationProgress, OperationStatus, OperationView, PoolHolding, SbomView,
    SignatureView,
};
use catalog_core::{EntryState, ListedModel, TrustPolicy};
use operations::{OperationRecord, OperationState};
use orchestrator::{Orchestrator, PoolFacts, PoolState};

use crate::{catalog_work::verify_result_name, view::instant};

/// The node of the home profile.
const LOCAL_NODE: &str = "local";

/// An entry as the API shows it.
pub(crate) fn model_view(model: &ListedModel, trust: &TrustPolicy) -> CatalogModelView {
    let entry = &model.entry;
    let file = |file: &catalog_core::EntryFile| CatalogFileView {
        name: file.path.file_name().unwrap_or_default().to_owned(),
        size_bytes: file.stamp.size_bytes,
        sha256: file.sha256.to_string(),
    };
    let distrust = trust.check(&entry.source_ref, entry.is_pinned, &entry.signatures).err();
    let signature = |signature: &catalog_core::Signature| SignatureView {
        scheme: signature.scheme.clone(),
        value: signature.value.clone(),
    };
    CatalogModelView {
        id: entry.id.to_string(),
        aliases: model.aliases.iter().map(ToString::to_string).collect(),
        source_ref: entry.source_ref.clone(),
        resolved_ref: entry.resolved_ref.clone(),
        files: entry.files.iter().map(file).collect(),
        size_bytes: entry.size_bytes,
        format: entry.format.clone(),
        architecture: entry.architecture.clone(),
        quant: entry.quant.clone(),
        ctx_max: entry.ctx_max,
        kv_bytes_per_token: entry.kv_bytes_per_token,
        state: match entry.state {
            EntryState::Active => ModelState::Active,
            EntryState::Retired => ModelState::Retired,
        },
        retire_at: entry.retire_at_ms.map(instant),
        tags: entry.tags.clone(),
        signatures: entry.signatures.iter().map(signature).collect(),
        sbom: entry
            .sbom
            .as_ref()
            .map(|sbom| SbomView { format: sbom.format.clone(), value: sbom.value.clone() }),
        verified_at: entry.verified_at_ms.map(instant),
        verify_result: verify_result_name(entry.verify_result).to_owned(),
        out_of_service: entry.out_of_service.clone(),
        distrust: distrust.map(|distrust| distrust.to_string()),
        created_at: instant(entry.created_at_ms),
    }
}

/// Who holds a model; in the home profile there is one node, which holds the files of every model that has
/// some.
pub(crate) fn availability_view(
    model: &ListedModel,
    orchestrator: &Orchestrator,
) -> AvailabilityView {
    let id = model.entry.id.to_string();
    let mut pools: BTreeMap<String, PoolHolding> = BTreeMap::new();
    for facts in orchestrator.pools_of(&id) {
        let PoolFacts { replica, state, slots, .. } = &*facts;
        let is_ready = *state == PoolState::Ready;
        let pool_id = replica.pool_id.to_string();
        let pool = pools.entry(pool_id.clone()).or_insert_with(|| PoolHolding {
            pool_id,
            state: state.name().to_owned(),
            ready_replicas: 0,
            slots_total: 0,
        });
        pool.ready_replicas += u32::from(is_ready);
        pool.slots_total += slots;
    }
    let pools: Vec<PoolHolding> = pools.into_values().collect();
    let holds = !model.entry.files.is_empty() || !pools.is_empty();
    AvailabilityView {
        model_id: id,
        aliases: model.aliases.iter().map(ToString::to_string).collect(),
        ready_replicas: pools.iter().map(|pool| pool.ready_replicas).sum(),
        slots_total: pools.iter().map(|pool| pool.slots_total).sum(),
        replicated: false,
        single_node: holds,
        nodes: holds
            .then(|| NodeHolding { node_id: LOCAL_NODE.to_owned(), pools })
            .into_iter()
            .collect(),
    }
}

/// An operation as the API shows it.
pub(crate) fn operation_view(record: OperationRecord) -> OperationView {
    OperationView {
        operation_id: record.id.to_string(),
        kind: record.kind,
        target: record.target,
        state: status(record.state),
        progress: OperationProgress {
            step: record.progress.step,
            bytes_done: record.progress.bytes_done,
            bytes_total: record.progress.bytes_total,
            estimated_ms: record.progress.estimated_ms,
        },
        result: record.result,
        error: record.error,
        created_at: instant(record.created_at_ms),
        ended_at: record.ended_at_ms.map(instant),
        correlation_id: record.correlation_id,
    }
}

/// The 202 of an operation.
pub(crate) fn operation_accepted(record: OperationRecord) -> OperationAccepted {
    OperationAccepted {
        status_url: format!("/v2/operations/{}", record.id),
        operation_id: record.id.to_string(),
        kind: record.kind,
        target: record.target,
        state: status(record.state),
    }
}

fn status(state: OperationState) -> OperationStatus {
    match state {
        OperationState::Running => OperationStatus::Running,
        OperationState::Succeeded => OperationStatus::Succeeded,
        OperationState::Failed => OperationStatus::Failed,
        OperationState::Canceled => OperationStatus::Canceled,
    }
}
