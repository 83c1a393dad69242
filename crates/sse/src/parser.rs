use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::Event;

/// U+FEFF in UTF-8, allowed once before everything else.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The stream does not keep to its limit; it cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A line does not end in time.
    #[error("a line of the event stream is longer than {limit_bytes} bytes")]
    LineTooLong { limit_bytes: usize },
    /// The data lines of one event are too much together.
    #[error("an event of the stream has more than {limit_bytes} bytes of data")]
    EventTooLong { limit_bytes: usize },
}

/// Reads events from bytes as they come.
///
/// ```
/// let mut parser = sse::Parser::new(1024);
/// parser.push("id: 7\ndata: hel".into());
/// assert_eq!(parser.next_event(), Ok(None));
/// parser.push("lo\n\n".into());
/// let event = parser.next_event().unwrap().unwrap();
/// assert_eq!((event.id.as_deref(), &event.data[..]), (Some("7"), &b"hello"[..]));
/// ```
#[derive(Debug)]
pub struct Parser {
    limit_bytes: usize,
    /// What was pushed last and is not taken yet, with an unfinished line before it.
    buffer: Bytes,
    /// So many bytes at the start of `buffer` are known to hold no line end.
    scanned: usize,
    start: Start,
    data: Data,
    event: Option<String>,
    id: Option<Arc<str>>,
    retry_ms: Option<u64>,
    failed: Option<ParseError>,
}

/// What may have to be dropped at the start of `buffer`.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// Nothing was read yet: a byte order mark.
    Mark,
    /// A line ended with CR: the LF that belongs to it.
    LineFeed,
    Nothing,
}

/// Data of the event being read. One line, the usual case, is a slice of the buffer it came in.
#[derive(Debug)]
enum Data {
    None,
    Line(Bytes),
    Lines(BytesMut),
}

impl Parser {
    /// A parser at the start of a stream. Neither a line nor the data of an event may be longer than
    /// `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            buffer: Bytes::new(),
            scanned: 0,
            start: Start::Mark,
            data: Data::None,
            event: None,
            id: None,
            retry_ms: None,
            failed: None,
        }
    }

    /// Takes the next bytes of the stream; [`Self::next_event`] then gives the events that they complete.
    /// They are copied only where a line began before them. After an error nothing is kept any more.
    pub fn push(&mut self, bytes: Bytes) {
        if self.failed.is_some() {
            return;
        }
        if self.buffer.is_empty() {
            self.buffer = bytes;
            return;
        }
        // Nearly always this parser alone holds the bytes, and there is room behind them.
        let mut joined = BytesMut::from(std::mem::take(&mut self.buffer));
        joined.extend_from_slice(&bytes);
        self.buffer = joined.freeze();
    }

    /// The next complete event, or `None` until more bytes are pushed. What is incomplete at the end of a
    /// stream is not an event.
    ///
    /// # Errors
    /// [`ParseError`] once a limit is passed, and from then on always.
    pub fn next_event(&mut self) -> Result<Option<Event>, ParseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.read_lines();
        self.failed = result.as_ref().err().copied();
        result
    }

    /// Whether the next byte begins an event, and everything before was taken. A reader that knows how its
    /// stream looks may take events apart by itself then.
    #[must_use]
    pub fn is_between_events(&self) -> bool {
        self.buffer.is_empty()
            && self.start == Start::Nothing
            && matches!(self.data, Data::None)
            && self.event.is_none()
            && self.failed.is_none()
    }

    /// How long the stream last asked to wait, in milliseconds, before connecting again.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// An event that is one line of data, whole in the buffer, as nearly all events of engines are.
    fn take_plain_event(&mut self) -> Option<Event> {
        if self.scanned > 0 || self.start != Start::Nothing {
            return None;
        }
        let is_first = matches!(self.data, Data::None) && self.event.is_none();
        let line = self.buffer.strip_prefix(b"data: ").filter(|_| is_first)?;
        let data_bytes = memchr::memchr2(b'\n', b'\r', line)?;
        let line_bytes = b"data: ".len() + data_bytes;
        if !line[data_bytes..].starts_with(b"\n\n") || line_bytes > self.limit_bytes {
            return None;
        }
        let mut data = self.buffer.split_to(line_bytes);
        data.advance(b"data: ".len());
        self.buffer.advance(2);
        Some(Event { id: self.id.clone(), event: None, data })
    }

    fn read_lines(&mut self) -> Result<Option<Event>, ParseError> {
        if let Some(event) = self.take_plain_event() {
            return Ok(Some(event));
        }
        while let Some(line_bytes) = self.next_line_end()? {
            if line_bytes == 0 {
                self.skip_line_end(0);
                if let Some(event) = self.dispatch() {
                    return Ok(Some(event));
                }
            } else if self.buffer[..line_bytes].starts_with(b"data")
                && matches!(self.buffer[4], b':' | b'\n' | b'\r')
            {
                self.read_data(line_bytes)?;
            } else {
                self.read_field(line_bytes);
                self.skip_line_end(line_bytes);
            }
        }
        Ok(None)
    }

    /// Length of the line at the start of the buffer, if it is complete.
    fn next_line_end(&mut self) -> Result<Option<usize>, ParseError> {
        if !self.drop_start() {
            return Ok(None);
        }
        let found = memchr::memchr2(b'\n', b'\r', &self.buffer[self.scanned..]);
        let line_bytes = found.map_or(self.buffer.len(), |at| self.scanned + at);
        if line_bytes > self.limit_bytes {
            return Err(ParseError::LineTooLong { limit_bytes: self.limit_bytes });
        }
        self.scanned = line_bytes;
        Ok(found.map(|_| line_bytes))
    }

    /// Drops what belongs to no line; false where more bytes are needed to tell.
    fn drop_start(&mut self) -> bool {
        match self.start {
            Start::Nothing => return true,
            _ if self.buffer.is_empty() => return false,
            Start::Mark if self.buffer.starts_with(BYTE_ORDER_MARK) => {
                self.buffer.advance(BYTE_ORDER_MARK.len());
            }
            Start::Mark if BYTE_ORDER_MARK.starts_with(&self.buffer) => return false,
            Start::LineFeed if self.buffer[0] == b'\n' => self.buffer.advance(1),
            Start::Mark | Start::LineFeed => {}
        }
        self.start = Start::Nothing;
        true
    }

    /// Drops the rest of a line and its end. After CR, an LF that follows is dropped when it arrives.
    fn skip_line_end(&mut self, line_bytes: usize) {
        if self.buffer[line_bytes] == b'\r' {
            self.start = Start::LineFeed;
        }
        self.buffer.advance(line_bytes + 1);
        self.scanned = 0;
    }

    fn read_data(&mut self, line_bytes: usize) -> Result<(), ParseError> {
        let mut line = self.buffer.split_to(line_bytes);
        self.skip_line_end(0);
        line.advance("data:".len().min(line.len()));
        if line.first() == Some(&b' ') {
            line.advance(1);
        }
        let before = match &self.data {
            Data::None => 0,
            Data::Line(first) => first.len() + 1,
            Data::Lines(lines) => lines.len() + 1,
        };
        if before + line.len() > self.limit_bytes {
            return Err(ParseError::EventTooLong { limit_bytes: self.limit_bytes });
        }
        self.data = match std::mem::replace(&mut self.data, Data::None) {
            Data::None => Data::Line(line),
            Data::Line(first) => join(BytesMut::from(first), &line),
            Data::Lines(lines) => join(lines, &line),
        };
        Ok(())
    }

    fn read_field(&mut self, line_bytes: usize) {
        let line = &self.buffer[..line_bytes];
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => {
                self.event =
                    (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned());
            }
            b"id" if !value.contains(&0) => {
                self.id = (!value.is_empty()).then(|| String::from_utf8_lossy(value).into());
            }
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                let number = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                self.retry_ms = number.or(self.retry_ms);
            }
            _ => {} // comments have an empty name; the standard ignores unknown fields
        }
    }

    fn dispatch(&mut self) -> Option<Event> {
        let event = self.event.take();
        let data = match std::mem::replace(&mut self.data, Data::None) {
            Data::None => return None,
            Data::Line(line) => line,
            Data::Lines(lines) => lines.freeze(),
        };
        Some(Event { id: self.id.clone(), event, data })
    }
}

fn join(mut lines: BytesMut, line: &[u8]) -> Data {
    lines.reserve(1 + line.len());
    lines.extend_from_slice(b"\n");
    lines.extend_from_slice(line);
    Data::Lines(lines)
}
