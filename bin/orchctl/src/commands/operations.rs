use api_types::{OperationStatus, ReportedOperation};
use client::Client;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::OperationsCommand,
    failure::Failure,
    operation_bar::{OperationBar, progress_words},
    output::{Output, without_control},
    part_of_id::PartOfId,
    table::Table,
};

/// `orchctl operations`.
pub(crate) async fn operations(
    client: &Client,
    command: OperationsCommand,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        OperationsCommand::Ls { limit } => ls(client, limit, output).await,
        OperationsCommand::Show { operation } => {
            let id = operation_id(client, &operation).await?;
            tell(&client.operation(&id).await?, output).await
        }
        OperationsCommand::Cancel { operation } => {
            let id = operation_id(client, &operation).await?;
            let operation = client.cancel_operation(&id).await?;
            if output.as_json {
                return output.write_json(&operation).await;
            }
            output.write(&format!("{} {}\n", operation.operation_id, operation.state.name())).await
        }
        OperationsCommand::Wait { operation } => {
            let id = operation_id(client, &operation).await?;
            wait(client, &id, output).await
        }
    }
}

async fn ls(client: &Client, limit: usize, output: &mut Output) -> Result<(), Failure> {
    let mut operations: Vec<ReportedOperation> = Vec::new();
    let mut cursor = None;
    while operations.len() < limit {
        let page = client.operations(cursor.as_deref()).await?;
        operations.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    operations.truncate(limit);
    if output.as_json {
        return output.write_json(&operations).await;
    }
    let mut table = Table::new(["OPERATION", "KIND", "STATE", "PROGRESS", "TARGET", "CREATED"]);
    for operation in &operations {
        let error = operation.error.as_ref().map(|error| error.code.name().to_owned());
        table.row([
            operation.operation_id.clone(),
            operation.kind.clone(),
            operation.state.name().to_owned(),
            error.or_else(|| progress(operation)).unwrap_or_default(),
            operation.target.clone(),
            operation.created_at.clone(),
        ]);
    }
    output.write(&table.text()).await
}

/// The id of the operation that `text` means: an id, or the start or end of just one.
async fn operation_id(client: &Client, text: &str) -> Result<String, Failure> {
    let mut search = PartOfId::new(text);
    if let Some(id) = search.whole() {
        return Ok(id.to_owned());
    }
    let mut cursor = None;
    loop {
        let page = client.operations(cursor.as_deref()).await?;
        let ids = page.items.into_iter().map(|operation| operation.operation_id);
        cursor = page.next_cursor;
        if search.look(ids) || cursor.is_none() {
            return search.found("operation");
        }
    }
}

/// Watches an operation, which goes on without anybody who watches.
async fn wait(client: &Client, id: &str, output: &mut Output) -> Result<(), Failure> {
    let operation_id = id.to_owned();
    let mut interrupts = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
    let mut bar = OperationBar::new(&format!("operation {id}"), output.as_json);
    let ended = tokio::select! {
        ended = client.operation_ended(id, |operation| bar.show(operation)) => ended,
        _ = interrupts.recv() => {
            bar.finish();
            return Err(Failure::LeftOperation { operation_id });
        }
    };
    bar.finish();
    let ended =
        ended.map_err(|source| Failure::LostOperation { operation_id: id.to_owned(), source })?;
    tell(&ended, output).await?;
    match (ended.error, ended.state.known()) {
        (None, Some(OperationStatus::Canceled)) => Err(Failure::WatchedCanceled { operation_id }),
        (Some(body), _) => {
            let what = format!("operation {operation_id}");
            Err(Failure::OperationFailed { what, body: Box::new(body) })
        }
        (None, _) => Ok(()),
    }
}

async fn tell(operation: &ReportedOperation, output: &mut Output) -> Result<(), Failure> {
    if output.as_json {
        return output.write_json(operation).await;
    }
    output.write(&text(operation)).await
}

/// How far it is, while it runs.
fn progress(operation: &ReportedOperation) -> Option<String> {
    operation.ended_at.is_none().then(|| progress_words(&operation.progress))
}

/// All that is known about an operation, a line each.
fn text(operation: &ReportedOperation) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text.push_str(&format!("{name:12} {}\n", without_control(&value)));
        }
    };
    line("operation", Some(operation.operation_id.clone()));
    line("kind", Some(operation.kind.clone()));
    line("target", Some(operation.target.clone()));
    line("state", Some(operation.state.name().to_owned()));
    line("progress", progress(operation));
    line("created", Some(operation.created_at.clone()));
    line("ended", operation.ended_at.clone());
    line("result", operation.result.as_ref().map(ToString::to_string));
    let error = operation.error.as_ref().map(|error| {
        let again = if error.retriable { "may succeed later" } else { "will not succeed later" };
        format!("{} ({}; {again})", error.message, error.code.name())
    });
    line("error", error);
    line("correlation", Some(operation.correlation_id.clone()));
    text
}
