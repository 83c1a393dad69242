use client::Client;
use tokio::signal::unix::{SignalKind, signal};

use super::finish;
use crate::{failure::Failure, output::Output};

/// `orchctl models verify`: has all bytes of a model read and held against its digest.
pub(super) async fn verify(
    client: &Client,
    model_ref: &str,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut interrupts = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
    let begun = client.verify_model(model_ref).await?;
    let what = format!("verifying {model_ref}");
    let ended = finish(client, &begun.operation_id, &what, output, &mut interrupts).await?;
    let result = ended.result.unwrap_or_default();
    let verdict = result["verify_result"].as_str().unwrap_or("unknown");
    if output.as_json {
        output.write_json(&result).await?;
    } else {
        output.write_foreign(&format!("{model_ref}: {verdict}\n")).await?;
    }
    match result["reason"].as_str() {
        None if matches!(verdict, "pass" | "warn") => Ok(()),
        reason => Err(Failure::NotVerified {
            model: model_ref.to_owned(),
            reason: reason.unwrap_or("the daemon gave no reason").to_owned(),
        }),
    }
}
