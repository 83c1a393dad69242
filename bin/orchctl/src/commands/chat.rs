use std::io::{self, IsTerminal as _};

use api_types::{MessageRequest, TaskRequest, limits};
use client::Client;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Stdin},
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    answer::{Answer, Ending, ask},
    failure::Failure,
    output::{Output, without_control},
};

const HELP: &str = "\
/new         begin anew: the model forgets what was said
/model NAME  ask another model; without a name, say which one is asked
/quit        leave, as the end of the input does
Ctrl-C stops an answer; at the prompt, or pressed twice, it leaves.
To begin a message with a slash, put a space before it.";

/// `orchctl chat`: a conversation, a line of the input per turn. What was said is kept here, and goes to the
/// daemon anew with each turn.
pub(crate) async fn chat(
    client: &Client,
    model: Option<String>,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut interrupts = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
    let mut input = Input::new();
    let mut talk = Conversation { model, messages: Vec::new() };
    if input.is_interactive {
        note("/help shows what else can be typed");
    }
    while let Some(line) = input.line(&mut interrupts).await? {
        match Line::of(&line) {
            Line::Empty => {}
            Line::Quit => break,
            Line::New => {
                talk.messages.clear();
                note("a new conversation");
            }
            Line::Model(None) => match &talk.model {
                Some(model) => note(&format!("asking {model}")),
                None => note("asking the daemon's default model"),
            },
            Line::Model(Some(name)) => {
                note(&format!("asking {name} from now on"));
                talk.model = Some(name.to_owned());
            }
            Line::Help => note(HELP),
            Line::Unknown(command) => {
                note(&format!("there is no {command}; /help shows what there is"));
            }
            Line::Message(text) => match talk.turn(client, text, output, &mut interrupts).await {
                Ok(Ending::Whole) => {}
                Ok(Ending::Stopped) => note("stopped"),
                Ok(Ending::Left) => return Err(Failure::Interrupted),
                Err(failure) if input.is_interactive && failure.leaves_a_next_try() => {
                    failure.report(output.as_json);
                }
                Err(failure) => return Err(failure),
            },
        }
    }
    Ok(())
}

/// What was said so far, and to whom.
struct Conversation {
    model: Option<String>,
    messages: Vec<MessageRequest>,
}

impl Conversation {
    /// Says something and prints the answer. What failed was not said; an answer that was stopped counts as
    /// far as it came.
    async fn turn(
        &mut self,
        client: &Client,
        text: &str,
        output: &mut Output,
        interrupts: &mut Signal,
    ) -> Result<Ending, Failure> {
        let said = self.messages.len();
        self.messages.push(MessageRequest::text("user", text));
        let request = TaskRequest {
            messages: Some(self.messages.clone()),
            model_ref: self.model.clone(),
            ..TaskRequest::default()
        };
        let mut answer = Answer::new(output);
        let asked = ask(client, &request, &mut answer, interrupts).await;
        let ended = match asked {
            Err(Failure::OutputClosed) => Ok(()),
            _ => answer.end_line().await,
        };
        if asked.is_ok() && !answer.text.is_empty() {
            self.messages.push(MessageRequest::text("assistant", answer.text));
        } else {
            self.messages.truncate(said);
        }
        ended.and(asked)
    }
}

/// A line, understood.
enum Line<'a> {
    Empty,
    Message(&'a str),
    New,
    Model(Option<&'a str>),
    Help,
    Quit,
    Unknown(&'a str),
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        if !line.starts_with('/') {
            return match line.trim() {
                "" => Self::Empty,
                text => Self::Message(text),
            };
        }
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (command, rest.trim()) {
            ("/new", "") => Self::New,
            ("/model", "") => Self::Model(None),
            ("/model", name) => Self::Model(Some(name)),
            ("/help", "") => Self::Help,
            ("/quit", "") => Self::Quit,
            _ => Self::Unknown(line.trim_end()),
        }
    }
}

/// The lines that are typed, or come out of a pipe.
struct Input {
    stdin: BufReader<Stdin>,
    /// Somebody is there to type again.
    is_interactive: bool,
}

impl Input {
    fn new() -> Self {
        let is_interactive = io::stdin().is_terminal();
        Self { stdin: BufReader::new(tokio::io::stdin()), is_interactive }
    }

    /// The next line, without its end; `None` at the end of the input. Of a line that is longer than any
    /// conversation may be, only enough is read for it to be refused.
    async fn line(&mut self, interrupts: &mut Signal) -> Result<Option<String>, Failure> {
        if self.is_interactive {
            prompt();
        }
        let mut bytes = Vec::new();
        let mut bounded = (&mut self.stdin).take(limits::PROMPT_BYTES_MAX as u64 + 2);
        let read = tokio::select! {
            read = bounded.read_until(b'\n', &mut bytes) => read.map_err(Failure::Prompt)?,
            _ = interrupts.recv() => return Err(Failure::Interrupted),
        };
        if read == 0 {
            return Ok(None);
        }
        let text = String::from_utf8(bytes);
        let text = text.map_err(|source| Failure::Prompt(io::Error::other(source)))?;
        Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

/// Says something that is no answer.
#[expect(clippy::print_stderr, reason = "notes for people stand beside the answers")]
fn note(text: &str) {
    eprintln!("{}", without_control(text));
}

#[expect(clippy::print_stderr, reason = "a prompt is no part of the answers")]
fn prompt() {
    eprint!("> ");
}
