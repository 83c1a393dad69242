mod add;
mod listing;
mod rm;
mod show;
mod verify;

use std::{error::Error, path::Path};

use api_types::{AvailabilityView, OperationStatus, ReportedModel, ReportedOperation};
use client::{Client, ClientError};
use serde::Serialize;
use tokio::signal::unix::Signal;

use crate::{cli::ModelsCommand, failure::Failure, operation_bar::OperationBar, output::Output};

/// `orchctl models`.
pub(crate) async fn models(
    client: &Client,
    command: ModelsCommand,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        ModelsCommand::Ls => listing::ls(client, output).await,
        ModelsCommand::Add(args) => add::add(client, args, output).await,
        ModelsCommand::Rm { model, force } => rm::rm(client, &model, force, output).await,
        ModelsCommand::Show { model } => show::show(client, &model, output).await,
        ModelsCommand::Verify { model } => verify::verify(client, &model, output).await,
    }
}

/// A model and who holds it.
#[derive(Serialize)]
struct HeldModel {
    #[serde(flatten)]
    model: ReportedModel,
    /// None where the model came or went between two answers.
    availability: Option<AvailabilityView>,
}

impl HeldModel {
    /// The pools that may serve it.
    fn pools(&self) -> Vec<&str> {
        let nodes = self.availability.iter().flat_map(|held| &held.nodes);
        nodes.flat_map(|node| &node.pools).map(|pool| pool.pool_id.as_str()).collect()
    }
}

/// Waits for an operation and shows how far it is. Ctrl-C cancels it; pressed once more, it goes on without
/// anybody who waits.
async fn finish(
    client: &Client,
    operation_id: &str,
    what: &str,
    output: &Output,
    interrupts: &mut Signal,
) -> Result<ReportedOperation, Failure> {
    let mut bar = OperationBar::new(what, output.as_json);
    let ended = tokio::select! {
        ended = client.operation_ended(operation_id, |operation| bar.show(operation)) => ended,
        _ = interrupts.recv() => {
            bar.finish();
            return Err(abandon(client, operation_id, interrupts).await);
        }
    };
    bar.finish();
    let ended = ended.map_err(|source| lost_sight(operation_id, source))?;
    match (&ended.error, ended.state.known()) {
        (None, Some(OperationStatus::Canceled)) => {
            Err(Failure::OperationCanceled { what: what.to_owned() })
        }
        (Some(body), _) => {
            Err(Failure::OperationFailed { what: what.to_owned(), body: Box::new(body.clone()) })
        }
        (None, _) => Ok(ended),
    }
}

/// Cancels an operation that nobody waits for any more, and tells what became of it.
async fn abandon(client: &Client, operation_id: &str, interrupts: &mut Signal) -> Failure {
    let operation_id = operation_id.to_owned();
    tokio::select! {
        canceled = client.cancel_operation(&operation_id) => match canceled {
            Ok(operation) if operation.state == OperationStatus::Succeeded => {
                Failure::StoppedTooLate
            }
            Ok(_) => Failure::Stopped,
            Err(source) => lost_sight(&operation_id, source),
        },
        _ = interrupts.recv() => Failure::LeftOperation { operation_id },
    }
}

fn lost_sight(operation_id: &str, source: ClientError) -> Failure {
    Failure::LostOperation { operation_id: operation_id.to_owned(), source }
}

/// The reference for what was typed: a path of this machine, where the daemon runs here, or a reference as it
/// stands.
fn source_ref(client: &Client, typed: &str) -> Result<String, Failure> {
    let path = Path::new(typed);
    let is_reference = typed.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric())
    });
    if is_reference || !client.is_local() {
        return Ok(typed.to_owned());
    }
    let unusable = |source: Box<dyn Error + Send + Sync>| Failure::ModelFile {
        path: typed.to_owned(),
        source,
    };
    let path = path.canonicalize().map_err(|error| unusable(error.into()))?;
    let text = path.to_str().ok_or_else(|| unusable("its path is not UTF-8".into()))?;
    Ok(format!("file:{text}"))
}
