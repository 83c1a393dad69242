use std::time::Duration;

use api_types::ReportedError;

/// Why the daemon did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not an address of a daemon.
    #[error("`{url}` is not the address of a daemon; give one such as http://127.0.0.1:8080")]
    Address { url: String },
    /// The token has characters that HTTP does not allow in a header.
    #[error("the token cannot be sent in a header; check its file for line breaks")]
    Token,
    /// The idempotency key has characters that HTTP does not allow in a header.
    #[error("the idempotency key `{key}` cannot be sent; give 1 to 255 visible ASCII characters")]
    IdempotencyKey { key: String },
    /// The HTTP client cannot be made.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// No answer came, or it broke off, for as long as the configuration bears with that.
    #[error("the daemon at {url} cannot be reached; check that it runs there")]
    Unreachable {
        url: String,
        #[source]
        loss: Loss,
    },
    /// The daemon answered with an error.
    #[error("the daemon refused with status {status}: {}", body.message)]
    Refused {
        status: u16,
        body: Box<ReportedError>,
        /// How long it asked to wait before trying again, in milliseconds.
        back_off_ms: Option<u64>,
    },
    /// An error without the daemon's error object, most likely of something between here and there.
    #[error("status {status} without the daemon's error object: {text}")]
    Foreign { status: u16, text: String },
    /// An answer that is not what the API says.
    #[error(
        "the answer to {request} cannot be read; is this client older or newer than the daemon?"
    )]
    Unreadable {
        request: String,
        #[source]
        source: serde_json::Error,
    },
    /// An answer that is longer than any that the API gives.
    #[error("the answer to {request} is longer than {limit_bytes} bytes")]
    TooLong { request: String, limit_bytes: usize },
    /// A stream that does not keep to the protocol; reading on would lose or repeat events.
    #[error("the event stream of {request} does not keep to the protocol")]
    Stream {
        request: String,
        #[source]
        fault: StreamFault,
    },
}

/// How contact with the daemon was lost.
#[derive(Debug, thiserror::Error)]
pub enum Loss {
    /// No connection could be opened.
    #[error("no connection could be opened")]
    NotConnected(#[source] reqwest::Error),
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] reqwest::Error),
    /// Nothing came for too long.
    #[error("nothing came for {waited_ms} ms")]
    Silent { waited_ms: u64 },
    /// The daemon closed a stream before its last event, which asks the client to come back.
    #[error("the stream was closed before the task's last event")]
    Closed {
        /// How long the daemon asked to wait, in milliseconds.
        retry_ms: Option<u64>,
    },
}

/// What is wrong with a stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamFault {
    /// Events are missing.
    #[error("event {expected} is missing: event {found} came after {}", expected - 1)]
    Gap { expected: u64, found: u64 },
    /// An event came that was there before.
    #[error("event {found} came again or out of order after event {last}")]
    Repeated { last: u64, found: u64 },
    /// An event that is stored has no id to resume from.
    #[error("a `{event}` event has no id")]
    IdMissing { event: String },
    /// An id that is no number.
    #[error("`{text}` is no event id")]
    Id { text: String },
    /// The answer is no event stream.
    #[error("the answer is `{content_type}`, not an event stream")]
    NotEvents { content_type: String },
    /// The daemon has no more events, but the last one was not among them.
    #[error("nothing is left to stream, but the task's last event never came")]
    NoEnd,
    /// A line or an event beyond all limits.
    #[error(transparent)]
    Framing(#[from] sse::ParseError),
    /// Data that does not fit its event.
    #[error("the data of a `{event}` event cannot be read")]
    Data {
        event: String,
        #[source]
        source: serde_json::Error,
    },
}

impl ClientError {
    /// Whether the daemon could not be reached, as opposed to it saying no.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// The daemon's own words, where it gave them.
    #[must_use]
    pub fn body(&self) -> Option<&ReportedError> {
        match self {
            Self::Refused { body, .. } => Some(body),
            _ => None,
        }
    }

    /// Least time to wait before the same request may succeed; `None` where it will not.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let asked_ms = match self {
            Self::Unreachable { loss: Loss::Closed { retry_ms }, .. } => *retry_ms,
            Self::Unreachable { .. } | Self::Foreign { status: 502..=504, .. } => None,
            Self::Refused { status: 429 | 503, body, back_off_ms } if body.retriable => {
                *back_off_ms
            }
            Self::Refused { .. }
            | Self::Foreign { .. }
            | Self::Address { .. }
            | Self::Token
            | Self::IdempotencyKey { .. }
            | Self::Setup(_)
            | Self::Unreadable { .. }
            | Self::TooLong { .. }
            | Self::Stream { .. } => return None,
        };
        Some(Duration::from_millis(asked_ms.unwrap_or_default()))
    }
}
