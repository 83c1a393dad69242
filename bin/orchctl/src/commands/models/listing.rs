use std::collections::BTreeMap;

use api_types::{AvailabilityView, ModelState};
use client::Client;

use super::HeldModel;
use crate::{
    failure::Failure,
    output::Output,
    table::{Table, byte_size, short_model_id},
};

/// `orchctl models ls`.
pub(super) async fn ls(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let models = all(client).await?;
    if output.as_json {
        return output.write_json(&models).await;
    }
    let mut table = Table::new(["MODEL", "STATE", "SIZE", "POOLS", "SOURCE", "ID"]);
    for held in &models {
        table.row([
            held.model.aliases.join(", "),
            standing(held),
            // Where an attached engine holds it, nobody here knows its size.
            if held.model.files.is_empty() {
                String::new()
            } else {
                byte_size(held.model.size_bytes)
            },
            held.pools().join(", "),
            held.model.source_ref.clone(),
            short_model_id(&held.model.id),
        ]);
    }
    output.write(&table.text()).await
}

/// All models, and who holds them.
async fn all(client: &Client) -> Result<Vec<HeldModel>, Failure> {
    let mut models = Vec::new();
    let mut cursor = None;
    loop {
        let page = client.models(cursor.as_deref()).await?;
        models.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let held = client.availability().await?.into_iter();
    let mut held: BTreeMap<String, AvailabilityView> =
        held.map(|held| (held.model_id.clone(), held)).collect();
    let with_holders = |model: api_types::ReportedModel| {
        let availability = held.remove(&model.id);
        HeldModel { model, availability }
    };
    Ok(models.into_iter().map(with_holders).collect())
}

/// Whether new tasks may use it, in a word or two.
fn standing(held: &HeldModel) -> String {
    let model = &held.model;
    if model.state == ModelState::Active {
        if model.out_of_service.is_some() {
            return "out of service".to_owned();
        }
        if model.distrust.is_some() {
            return "not trusted".to_owned();
        }
    }
    model.state.name().to_lowercase()
}
