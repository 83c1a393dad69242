use std::sync::Arc;

use bytes::Bytes;

/// One event, as read from a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The id that the stream stands at: this event's own, or else the last one before it. `None` while
    /// the stream gave none, or after it took its id back with an empty one.
    pub id: Option<Arc<str>>,
    /// Type of the event; `None` stands for the standard's default, `message`.
    pub event: Option<String>,
    /// The data lines joined by LF. Bytes as received: replacing what is not UTF-8 is left to the reader.
    pub data: Bytes,
}
