use api_types::ErrorCode;
use client::{Client, Deleted};
use serde_json::{Value, json};

use crate::{failure::Failure, output::Output};

/// `orchctl models rm`.
pub(super) async fn rm(
    client: &Client,
    model_ref: &str,
    force: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let deleted = client.delete_model(model_ref, force).await.map_err(|error| {
        let body = error.body().filter(|body| body.code == ErrorCode::Conflict && !force);
        match body.and_then(|body| users(body.details.as_ref()?)) {
            Some(users) => {
                Failure::ModelInUse { model: model_ref.to_owned(), users, refusal: error }
            }
            None => Failure::from(error),
        }
    })?;
    let (document, line) = match deleted {
        Deleted::Gone => (json!({"deleted": true}), format!("{model_ref} is deleted\n")),
        Deleted::Begun(begun) => {
            let line = format!(
                "{model_ref} is retired: no new task may use it, and it is deleted after its last user (operation {})\n",
                begun.operation_id
            );
            (serde_json::to_value(begun).expect("wire types are JSON"), line)
        }
    };
    if output.as_json {
        return output.write_json(&document).await;
    }
    output.write_foreign(&line).await
}

/// Who uses the model, in words.
fn users(details: &Value) -> Option<String> {
    let pools = details["pools"].as_array()?.iter().filter_map(Value::as_str);
    let mut users: Vec<String> = pools.map(|pool| format!("pool {pool}")).collect();
    match details["live_tasks"].as_u64()? {
        0 => {}
        1 => users.push("a task".to_owned()),
        tasks => users.push(format!("{tasks} tasks")),
    }
    if let Some(id) = details["configured_as"].as_str() {
        users.push(format!("[models.{id}] of the configuration"));
    }
    (!users.is_empty()).then(|| users.join(", "))
}
