use api_types::{EndEvent, EventKind, ReportedError, ReportedMetrics, StartedEvent, TokenEvent};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::StreamFault;

/// One event of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskEvent {
    /// Its place in the task's life, from 1; `None` for events that are not stored.
    pub id: Option<u64>,
    /// The type, as in the stream.
    pub name: String,
    /// The data as they came: JSON.
    pub data: Bytes,
    /// What they say.
    pub body: EventBody,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub enum EventBody {
    Started(Box<StartedEvent>),
    Token(TokenEvent),
    Metrics(Box<ReportedMetrics>),
    /// The last event of a task that was not ended by an error.
    End(Box<EndEvent>),
    /// The last event of any other task.
    Error(Box<ReportedError>),
    /// A type that this client does not know, to be ignored.
    Unknown,
}

impl EventBody {
    pub(crate) fn read(name: &str, data: &[u8]) -> Result<Self, StreamFault> {
        fn json<T: DeserializeOwned>(event: &str, data: &[u8]) -> Result<T, StreamFault> {
            serde_json::from_slice(data)
                .map_err(|source| StreamFault::Data { event: event.to_owned(), source })
        }
        Ok(match name {
            _ if name == EventKind::Started.name() => Self::Started(json(name, data)?),
            _ if name == EventKind::Token.name() => Self::Token(json(name, data)?),
            _ if name == EventKind::Metrics.name() => Self::Metrics(json(name, data)?),
            _ if name == EventKind::End.name() => Self::End(json(name, data)?),
            _ if name == EventKind::Error.name() => Self::Error(json(name, data)?),
            _ => Self::Unknown,
        })
    }

    /// Whether nothing follows.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::End(_) | Self::Error(_))
    }
}
