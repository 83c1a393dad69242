use std::{
    io::{self, Read as _},
    pin::pin,
};

use api_types::{MessageRequest, Priority, SamplingRequest, TaskRequest, limits};
use client::{Client, ClientError, EventBody, Submitted, Update};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    cli::{PriorityArg, RunArgs},
    failure::Failure,
    output::Output,
    progress_note::{ProgressNote, waiting},
};

/// `orchctl run`: hands the prompt in and prints the answer. Ctrl-C, or a reader that goes away, cancels the
/// task.
pub(crate) async fn run(
    client: &Client,
    args: RunArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let request = request(args)?;
    request.validate()?;
    let mut interrupts = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
    let mut submit = pin!(client.submit(&request, None));
    let submitted = tokio::select! {
        submitted = &mut submit => submitted?,
        _ = interrupts.recv() => {
            // The daemon may have the task already; it can be cancelled once its id is known.
            tokio::select! {
                submitted = submit => {
                    if let Ok(submitted) = submitted {
                        abandon(client, &submitted.task.task_id, &mut interrupts).await?;
                    }
                }
                _ = interrupts.recv() => {}
            }
            return Err(Failure::Interrupted);
        }
    };
    let result = tokio::select! {
        result = follow(client, &submitted, output) => result,
        _ = interrupts.recv() => Err(Failure::Interrupted),
    };
    if let Err(Failure::Interrupted | Failure::OutputClosed) = result {
        abandon(client, &submitted.task.task_id, &mut interrupts).await?;
    }
    result
}

/// Cancels a task that nobody waits for any more, unless Ctrl-C is pressed once more.
async fn abandon(client: &Client, task_id: &str, interrupts: &mut Signal) -> Result<(), Failure> {
    tokio::select! {
        canceled = client.cancel(task_id) => match canceled {
            Ok(_) => Ok(()),
            Err(source) => Err(lost_sight(task_id, 0, source)),
        },
        _ = interrupts.recv() => Ok(()),
    }
}

async fn follow(
    client: &Client,
    submitted: &Submitted,
    output: &mut Output,
) -> Result<(), Failure> {
    let task_id = &submitted.task.task_id;
    if output.as_json {
        let accepted = serde_json::to_string(&submitted.task).expect("wire types are JSON");
        output.write_line(None, "accepted", &accepted).await?;
    }
    let mut note = ProgressNote::new();
    let mut stream = client.events(task_id, 0);
    let mut answer = Answer { output, ends_open: false };
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

/// The text that is printed.
struct Answer<'a> {
    output: &'a mut Output,
    /// The last line has no end yet.
    ends_open: bool,
}

impl Answer<'_> {
    async fn add(&mut self, text: &str) -> Result<(), Failure> {
        if text.is_empty() || self.output.as_json {
            return Ok(());
        }
        self.ends_open = !text.ends_with('\n');
        self.output.write_foreign(text).await
    }

    /// Ends the last line for people; programs get the text and nothing else.
    async fn finish(&mut self) -> Result<(), Failure> {
        if self.output.is_terminal && self.ends_open {
            self.output.write("\n").await
        } else {
            Ok(())
        }
    }
}

/// The daemon cannot be asked about a task that it holds.
fn lost_sight(task_id: &str, after: u64, source: ClientError) -> Failure {
    Failure::LostSight { task_id: task_id.to_owned(), after, source }
}

fn request(args: RunArgs) -> Result<TaskRequest, Failure> {
    let prompt =
        if args.prompt == "-" { read_prompt().map_err(Failure::Prompt)? } else { args.prompt };
    let message = |role: &str, text: String| MessageRequest::text(role, text);
    let (prompt, messages) = if args.raw {
        (Some(prompt), None)
    } else {
        let system = args.system.map(|text| message("system", text));
        (None, Some(system.into_iter().chain([message("user", prompt)]).collect()))
    };
    Ok(TaskRequest {
        prompt,
        messages,
        model_ref: args.model,
        priority: match args.priority {
            PriorityArg::Interactive => Priority::Interactive,
            PriorityArg::Batch => Priority::Batch,
        },
        max_tokens: args.max_tokens,
        deadline_ms: args.deadline_ms,
        sampling: SamplingRequest {
            temperature: args.temperature,
            top_p: args.top_p,
            seed: args.seed,
            stop: args.stop,
            ..SamplingRequest::default()
        },
        ..TaskRequest::default()
    })
}

/// The standard input less one line end. Of more than any request may have, only enough to be refused.
fn read_prompt() -> io::Result<String> {
    let mut prompt = String::new();
    io::stdin().take(limits::PROMPT_BYTES_MAX as u64 + 2).read_to_string(&mut prompt)?;
    if prompt.ends_with('\n') {
        prompt.pop();
    }
    if prompt.ends_with('\r') {
        prompt.pop();
    }
    Ok(prompt)
}
