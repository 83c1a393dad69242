use std::{
    io::{self, IsTerminal as _},
    str,
};

use client::TaskEvent;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncWriteExt as _, Stdout};

use crate::failure::Failure;

/// The standard output. Writing it does not block the program, so that Ctrl-C is heard meanwhile.
pub(crate) struct Output {
    stdout: Stdout,
    pub(crate) as_json: bool,
    pub(crate) is_terminal: bool,
}

/// An event as one line of JSON.
#[derive(Serialize)]
struct EventLine<'a> {
    id: Option<u64>,
    event: &'a str,
    data: &'a RawValue,
}

impl Output {
    pub(crate) fn new(as_json: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self { stdout: tokio::io::stdout(), as_json, is_terminal }
    }

    /// Writes text, now.
    pub(crate) async fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = match self.stdout.write_all(text.as_bytes()).await {
            Ok(()) => self.stdout.flush().await,
            Err(error) => Err(error),
        };
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Output(error),
        })
    }

    /// Writes what a model said. A terminal gets no control characters of its making.
    pub(crate) async fn write_foreign(&mut self, text: &str) -> Result<(), Failure> {
        if self.is_terminal {
            self.write(&without_control(text)).await
        } else {
            self.write(text).await
        }
    }

    /// Writes a document for programs.
    pub(crate) async fn write_json(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(document).expect("wire types are JSON");
        self.write(&format!("{text}\n")).await
    }

    /// Writes an event as a line of JSON.
    pub(crate) async fn write_event(&mut self, event: &TaskEvent) -> Result<(), Failure> {
        self.write_line(event.id, &event.name, &data_line(event)).await
    }

    /// Writes what happened as a line of JSON.
    pub(crate) async fn write_line(
        &mut self,
        id: Option<u64>,
        event: &str,
        data: &str,
    ) -> Result<(), Failure> {
        // The data of an event type that this program does not know may be no JSON: then they are a string.
        let data = RawValue::from_string(data.to_owned())
            .or_else(|_not_json| serde_json::value::to_raw_value(data))
            .expect("a string is JSON");
        let line = EventLine { id, event, data: &data };
        let line = serde_json::to_string(&line).expect("names and numbers are JSON");
        self.write(&format!("{line}\n")).await
    }
}

/// An event's data on one line; in JSON, line ends stand only between values.
pub(crate) fn data_line(event: &TaskEvent) -> String {
    String::from_utf8_lossy(&event.data).replace('\n', " ")
}

/// Text with its control characters replaced, but for line ends and tabs.
pub(crate) fn without_control(text: &str) -> String {
    let is_unsafe = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.replace(is_unsafe, "\u{FFFD}")
}
