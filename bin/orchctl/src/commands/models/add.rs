use std::pin::pin;

use api_types::AddModelRequest;
use client::{Added, Client};
use tokio::signal::unix::{SignalKind, signal};

use super::{abandon, finish, source_ref};
use crate::{
    cli::AddModelArgs,
    failure::Failure,
    output::Output,
    table::{byte_size, short_model_id},
};

/// `orchctl models add`: registers a model, and waits until the daemon has it.
pub(super) async fn add(
    client: &Client,
    args: AddModelArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let request = AddModelRequest {
        source_ref: source_ref(client, &args.source)?,
        expected_digest: args.digest,
        aliases: args.alias,
        tags: args.tag,
        ..AddModelRequest::default()
    };
    request.validate()?;
    let mut interrupts = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
    let mut adding = pin!(client.add_model(&request));
    let added = tokio::select! {
        added = &mut adding => added?,
        _ = interrupts.recv() => {
            // The daemon may be at it already; that can be stopped once it has said how it is called.
            let added = tokio::select! {
                added = adding => added?,
                _ = interrupts.recv() => return Err(Failure::Interrupted),
            };
            return Err(match added {
                Added::Begun(begun) => {
                    abandon(client, &begun.operation_id, &mut interrupts).await
                }
                Added::New(_) | Added::Known(_) => Failure::StoppedTooLate,
            });
        }
    };
    let (model, became) = match added {
        Added::New(model) => (*model, "is registered"),
        Added::Known(model) => (*model, "was known"),
        Added::Begun(begun) => {
            let what = format!("adding {}", request.source_ref);
            let ended = finish(client, &begun.operation_id, &what, output, &mut interrupts).await?;
            let result = ended.result.unwrap_or_default();
            let Some(id) = result["model_id"].as_str() else {
                return Err(Failure::NoModel { operation_id: begun.operation_id });
            };
            let is_new = result["is_new"].as_bool().unwrap_or(true);
            (client.model(id).await?, if is_new { "is registered" } else { "was known" })
        }
    };
    if output.as_json {
        return output.write_json(&model).await;
    }
    let names = match model.aliases.as_slice() {
        [] => "has no name; ask for it by its id".to_owned(),
        names => format!("answers to {}", names.join(", ")),
    };
    let line = format!(
        "{} {became} ({}) and {names}\n",
        short_model_id(&model.id),
        byte_size(model.size_bytes)
    );
    output.write_foreign(&line).await
}
