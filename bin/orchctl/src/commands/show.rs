use api_types::{ReportedTask, StepStatus};
use client::Client;
use serde_json::Value;

use crate::{
    failure::Failure,
    output::{Output, without_control},
    table::{Table, number},
    task_name::task_id,
};

/// `orchctl show`.
pub(crate) async fn show(
    client: &Client,
    task: &str,
    with_prompt: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let task = client.task(&task_id(client, task).await?, with_prompt).await?;
    if output.as_json {
        return output.write_json(&task).await;
    }
    output.write(&text(&task)).await
}

fn text(task: &ReportedTask) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("{name:13} {}\n", without_control(&value)));
        }
    };
    line("task", task.task_id.clone());
    line("status", task.status.name().to_owned());
    line("ahead", number(task.queue_position));
    line("model", format!("{} ({})", task.model_ref, task.model_id));
    line("priority", task.priority.name().to_owned());
    line("client ref", task.client_ref.clone().unwrap_or_default());
    for (key, value) in task.metadata.iter().flatten() {
        line("metadata", format!("{key} = {value}"));
    }
    line("parameters", task.parameters.to_string());
    line("admitted", task.admitted_at.clone());
    line("started", task.started_at.clone().unwrap_or_default());
    line("ended", task.ended_at.clone().unwrap_or_default());
    line("deadline", task.deadline_at.clone().unwrap_or_default());
    line("tokens in", number(task.usage.tokens_in));
    line("tokens out", number(task.usage.tokens_out));
    line("last event", task.last_event_id.to_string());
    line("correlation", task.correlation_id.clone());
    for step in task.preparation.steps.iter().filter(|step| step.status != StepStatus::Completed) {
        line("preparation", format!("{} {}", step.kind, step.status));
    }
    if let Some(error) = &task.error {
        let code = error.code.name();
        let again = if error.retriable { "may succeed later" } else { "will not succeed later" };
        line("error", format!("{} ({code}; {again})", error.message));
    }
    if let Some(prompt) = &task.prompt {
        line("prompt", plain(prompt));
    }
    let attempts = attempts(task);
    if !attempts.is_empty() {
        text.push('\n');
        text.push_str(&attempts.text());
    }
    text
}

fn attempts(task: &ReportedTask) -> Table {
    let mut table =
        Table::new(["ATTEMPT", "POOL", "ENGINE", "OUTCOME", "TOKENS", "STARTED", "ENDED"]);
    for (index, attempt) in task.attempts.iter().enumerate() {
        table.row([
            (index + 1).to_string(),
            attempt.pool_id.clone(),
            format!("{} {}", attempt.engine, attempt.engine_version),
            attempt.outcome.clone().unwrap_or_else(|| "runs".to_owned()),
            attempt.tokens.to_string(),
            attempt.started_at.clone(),
            attempt.ended_at.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// A string as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
