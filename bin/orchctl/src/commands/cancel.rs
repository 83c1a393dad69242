use client::Client;

use crate::{failure::Failure, output::Output, task_name::task_id};

/// `orchctl cancel`.
pub(crate) async fn cancel(
    client: &Client,
    task: &str,
    output: &mut Output,
) -> Result<(), Failure> {
    let answer = client.cancel(&task_id(client, task).await?).await?;
    if output.as_json {
        return output.write_json(&answer).await;
    }
    output.write(&format!("{} {}\n", answer.task_id, answer.status.name())).await
}
