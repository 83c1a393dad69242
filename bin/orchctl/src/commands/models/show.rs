use client::Client;

use super::HeldModel;
use crate::{
    failure::Failure,
    output::{Output, without_control},
    table::{byte_size, number},
};

/// `orchctl models show`.
pub(super) async fn show(
    client: &Client,
    model_ref: &str,
    output: &mut Output,
) -> Result<(), Failure> {
    let model = client.model(model_ref).await?;
    let mut held = client.availability().await?;
    held.retain(|held| held.model_id == model.id);
    let held = HeldModel { model, availability: held.pop() };
    if output.as_json {
        return output.write_json(&held).await;
    }
    output.write(&text(&held)).await
}

/// All that is known about a model, a line each.
pub(super) fn text(held: &HeldModel) -> String {
    let model = &held.model;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("{name:14} {}\n", without_control(&value)));
        }
    };
    line("model", model.id.clone());
    line("names", model.aliases.join(", "));
    line("state", model.state.name().to_lowercase());
    line("retires at", model.retire_at.clone().unwrap_or_default());
    line("out of service", model.out_of_service.clone().unwrap_or_default());
    line("not trusted", model.distrust.clone().unwrap_or_default());
    line("source", model.source_ref.clone());
    line("resolved to", model.resolved_ref.clone().unwrap_or_default());
    for file in &model.files {
        line("file", format!("{} ({}, {})", file.name, byte_size(file.size_bytes), file.sha256));
    }
    if !model.files.is_empty() {
        line("size", byte_size(model.size_bytes));
    }
    line("format", model.format.clone().unwrap_or_default());
    line("architecture", model.architecture.clone().unwrap_or_default());
    line("quantization", model.quant.clone().unwrap_or_default());
    line("context", model.ctx_max.map(|tokens| format!("{tokens} tokens")).unwrap_or_default());
    let per_token = model.kv_bytes_per_token.map(byte_size);
    line("memory", per_token.map(|size| format!("{size} a token of context")).unwrap_or_default());
    line("tags", model.tags.join(", "));
    for signature in &model.signatures {
        line("signature", format!("{} {}", signature.scheme, signature.value));
    }
    if let Some(sbom) = &model.sbom {
        line("made of", format!("{} {}", sbom.format, sbom.value));
    }
    let at = model.verified_at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    line("verified", format!("{}{at}", model.verify_result));
    line("registered", model.created_at.clone());
    for node in held.availability.iter().flat_map(|held| &held.nodes) {
        for pool in &node.pools {
            let ready = number(Some(pool.ready_replicas));
            let slots = number(Some(pool.slots_total));
            let pool_id = &pool.pool_id;
            let state = &pool.state;
            line(
                "pool",
                format!("{pool_id} on {}: {state}, {ready} ready, {slots} slots", node.node_id),
            );
        }
    }
    text
}
