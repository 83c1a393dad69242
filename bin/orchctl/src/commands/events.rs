use client::{Client, Update};

use crate::{
    failure::Failure,
    output::{Output, data_line},
    progress_note::ProgressNote,
    task_name::task_id,
};

/// `orchctl events`.
pub(crate) async fn events(
    client: &Client,
    task: &str,
    after: u64,
    output: &mut Output,
) -> Result<(), Failure> {
    let task_id = task_id(client, task).await?;
    let mut stream = client.events(&task_id, after);
    let mut note = ProgressNote::new();
    while let Some(update) = stream.next_update().await? {
        match update {
            Update::Interrupted { .. } => note.show("the connection was lost; trying again…"),
            Update::Event(event) => {
                note.clear();
                if output.as_json {
                    output.write_event(&event).await?;
                } else {
                    let id = event.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
                    let line = format!("{id:>6}  {:8}  {}\n", event.name, data_line(&event));
                    output.write_foreign(&line).await?;
                }
            }
        }
    }
    Ok(())
}
