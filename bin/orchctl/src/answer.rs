use std::pin::pin;

use api_types::TaskRequest;
use client::{Client, ClientError, EventBody, Submitted, Update};
use tokio::signal::unix::Signal;

use crate::{
    failure::Failure,
    output::Output,
    progress_note::{ProgressNote, waiting},
};

/// An answer, printed while it is written.
pub(crate) struct Answer<'a> {
    output: &'a mut Output,
    /// What was answered so far.
    pub(crate) text: String,
    /// The last line has no end yet.
    ends_open: bool,
}

/// How an answer that did not fail came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The model was done.
    Whole,
    /// Ctrl-C; the task is canceled.
    Stopped,
    /// Ctrl-C, and once more before the daemon had canceled the task.
    Left,
}

/// Hands a task in and prints its answer. Ctrl-C, or a reader that goes away, cancels the task.
pub(crate) async fn ask(
    client: &Client,
    request: &TaskRequest,
    answer: &mut Answer<'_>,
    interrupts: &mut Signal,
) -> Result<Ending, Failure> {
    request.validate()?;
    let mut submit = pin!(client.submit(request, None));
    let submitted = tokio::select! {
        submitted = &mut submit => submitted?,
        _ = interrupts.recv() => {
            // The daemon may have the task already; it can be cancelled once its id is known.
            return tokio::select! {
                submitted = submit => match submitted {
                    Ok(submitted) => abandon(client, &submitted.task.task_id, interrupts).await,
                    Err(_untaken) => Ok(Ending::Stopped),
                },
                _ = interrupts.recv() => Ok(Ending::Left),
            };
        }
    };
    let task_id = &submitted.task.task_id;
    let result = tokio::select! {
        result = follow(client, &submitted, answer) => result,
        _ = interrupts.recv() => return abandon(client, task_id, interrupts).await,
    };
    if let Err(Failure::OutputClosed) = result {
        abandon(client, task_id, interrupts).await?;
    }
    result.map(|()| Ending::Whole)
}

/// Cancels a task that nobody waits for any more, unless Ctrl-C is pressed once more.
async fn abandon(
    client: &Client,
    task_id: &str,
    interrupts: &mut Signal,
) -> Result<Ending, Failure> {
    tokio::select! {
        canceled = client.cancel(task_id) => match canceled {
            Ok(_) => Ok(Ending::Stopped),
            Err(source) => Err(lost_sight(task_id, 0, source)),
        },
        _ = interrupts.recv() => Ok(Ending::Left),
    }
}

async fn follow(
    client: &Client,
    submitted: &Submitted,
    answer: &mut Answer<'_>,
) -> Result<(), Failure> {
    let task_id = &submitted.task.task_id;
    if answer.output.as_json {
        let accepted = serde_json::to_string(&submitted.task).expect("wire types are JSON");
        answer.output.write_line(None, "accepted", &accepted).await?;
    }
    let mut note = ProgressNote::new();
    let mut stream = client.events(task_id, 0);
    loop {
        let update = match stream.next_update().await {
            Ok(Some(update)) => update,
            Ok(None) => unreachable!("a stream from the start ends with the task's last event"),
            Err(source) => return Err(lost_sight(task_id, stream.last_event_id(), source)),
        };
        let event = match update {
            Update::Interrupted { .. } => {
                note.show("the connection was lost; trying again…");
                continue;
            }
            Update::Event(event) => event,
        };
        if answer.output.as_json {
            note.clear();
            answer.output.write_event(&event).await?;
        }
        match event.body {
            EventBody::Metrics(metrics) => {
                if let Some(text) = waiting(&metrics) {
                    note.show(&text);
                }
            }
            EventBody::Started(_) => note.clear(),
            EventBody::Token(token) => {
                note.clear();
                // The answer itself; reasoning and tool calls are for programs.
                if token.channel.is_none() && token.choice.is_none() {
                    answer.add(&token.t).await?;
                }
            }
            EventBody::End(end) => {
                answer.finish().await?;
                return match end.finish_reason.as_str() {
                    "canceled" => Err(Failure::TaskCanceled { task_id: task_id.clone() }),
                    _ => Ok(()),
                };
            }
            EventBody::Error(body) => {
                note.clear();
                answer.finish().await?;
                return Err(Failure::TaskFailed { task_id: task_id.clone(), body });
            }
            EventBody::Unknown => {}
        }
    }
}

impl<'a> Answer<'a> {
    pub(crate) fn new(output: &'a mut Output) -> Self {
        Self { output, text: String::new(), ends_open: false }
    }

    async fn add(&mut self, text: &str) -> Result<(), Failure> {
        self.text.push_str(text);
        if text.is_empty() || self.output.as_json {
            return Ok(());
        }
        self.ends_open = !text.ends_with('\n');
        self.output.write_foreign(text).await
    }

    /// Ends the last line for people; programs get the text and nothing else.
    async fn finish(&mut self) -> Result<(), Failure> {
        if self.output.is_terminal { self.end_line().await } else { Ok(()) }
    }

    /// Ends the last line, where it has no end.
    pub(crate) async fn end_line(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.ends_open) { self.output.write("\n").await } else { Ok(()) }
    }
}

/// The daemon cannot be asked about a task that it holds.
fn lost_sight(task_id: &str, after: u64, source: ClientError) -> Failure {
    Failure::LostSight { task_id: task_id.to_owned(), after, source }
}
