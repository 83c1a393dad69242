use std::io::{self, Read as _};

use api_types::{MessageRequest, Priority, SamplingRequest, TaskRequest, limits};
use client::Client;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    answer::{Answer, Ending, ask},
    cli::{PriorityArg, RunArgs},
    failure::Failure,
    output::Output,
};

/// `orchctl run`: hands the prompt in and prints the answer. Ctrl-C, or a reader that goes away, cancels the
/// task.
pub(crate) async fn run(
    client: &Client,
    args: RunArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let request = request(args)?;
    let mut interrupts = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
    let mut answer = Answer::new(output);
    match ask(client, &request, &mut answer, &mut interrupts).await? {
        Ending::Whole => Ok(()),
        Ending::Stopped | Ending::Left => Err(Failure::Interrupted),
    }
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
