use api_types::StatusView;
use client::Client;

use crate::{
    failure::Failure,
    output::{Output, without_control},
    table::{Table, byte_size, number, short_model_id},
};

/// `orchctl status`.
pub(crate) async fn status(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let status = client.status().await?;
    if output.as_json {
        return output.write_json(&status).await;
    }
    output.write(&text(&status)).await
}

fn text(status: &StatusView) -> String {
    let readiness = match status.failing.join(", ") {
        _ if status.ready => "ready".to_owned(),
        failing => format!("not ready: {failing}"),
    };
    let head = format!("orchestratord {} ({}): {readiness}", status.version, status.profile);
    let mut text = format!("{}\n", without_control(&head));
    for table in [models(status), pools(status), queues(status)] {
        if !table.is_empty() {
            text.push('\n');
            text.push_str(&table.text());
        }
    }
    text
}

fn models(status: &StatusView) -> Table {
    let mut table =
        Table::new(["MODEL", "STATE", "QUANT", "CONTEXT", "SIZE", "READY", "POOLS", "ID"]);
    for model in &status.models {
        table.row([
            model.aliases.join(", "),
            model.state.clone(),
            model.quant.clone().unwrap_or_default(),
            number(model.ctx_max),
            model.size_bytes.map(byte_size).unwrap_or_default(),
            model.ready_replicas.to_string(),
            model.pools.join(", "),
            short_model_id(&model.id),
        ]);
    }
    table
}

fn pools(status: &StatusView) -> Table {
    let mut table = Table::new(["POOL", "ENGINE", "STATE", "FREE SLOTS", "PROBLEM"]);
    for pool in &status.pools {
        let unverified = || pool.unverified.then(|| "unverified: see its handoff file".to_owned());
        table.row([
            pool.pool_id.clone(),
            pool.engine.clone(),
            pool.state.clone(),
            format!("{} of {}", pool.slots_free, pool.slots_total),
            pool.last_error.clone().or_else(unverified).unwrap_or_default(),
        ]);
    }
    table
}

fn queues(status: &StatusView) -> Table {
    let mut table = Table::new(["QUEUE", "INTERACTIVE", "BATCH", "RUNNING"]);
    for queue in &status.queue {
        let model = status.models.iter().find(|model| model.id == queue.model_id);
        let alias = model.and_then(|model| model.aliases.first());
        table.row([
            alias.cloned().unwrap_or_else(|| short_model_id(&queue.model_id)),
            queue.interactive.to_string(),
            queue.batch.to_string(),
            queue.running.to_string(),
        ]);
    }
    table
}
