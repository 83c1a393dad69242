use std::io::{self, BufRead as _, BufReader};

use crate::http::Body;

/// One event as it came: its bytes, and what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// All its lines.
    pub(crate) bytes: Vec<u8>,
    /// `None` for what is not stored: `metrics`, comments, `retry`.
    pub(crate) id: Option<u64>,
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Frame {
    fn of(bytes: Vec<u8>) -> Result<Self, String> {
        let text =
            std::str::from_utf8(&bytes).map_err(|_form| "an event is not UTF-8".to_owned())?;
        let field = |name: &str| {
            text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start().to_owned()))
        };
        let id = match field("id:") {
            Some(id) => Some(id.parse().map_err(|_form| format!("the id {id:?} is no number"))?),
            None => None,
        };
        let (name, data) =
            (field("event:").unwrap_or_default(), field("data:").unwrap_or_default());
        Ok(Self { id, name, data, bytes })
    }

    /// Whether nothing comes after it.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.name.as_str(), "end" | "error")
    }
}

/// How reading a stream came to an end.
#[derive(Debug)]
pub(crate) enum Over {
    /// In order.
    Ended,
    /// The connection broke, as it does when the daemon is killed.
    Broken(io::Error),
    /// What came is no event.
    Malformed(String),
}

/// Reads a stream of events piece by piece.
#[derive(Debug)]
pub(crate) struct Frames {
    body: BufReader<Body>,
}

impl Frames {
    pub(crate) fn new(body: Body) -> Self {
        Self { body: BufReader::new(body) }
    }

    /// The next event, comment or `retry`.
    pub(crate) fn next(&mut self) -> Result<Frame, Over> {
        let mut bytes = Vec::new();
        loop {
            let before = bytes.len();
            let read = self.body.read_until(b'\n', &mut bytes).map_err(Over::Broken)?;
            if read == 0 && bytes.is_empty() {
                return Err(Over::Ended);
            }
            if read == 0 {
                return Err(Over::Malformed("the stream ended within an event".to_owned()));
            }
            if &bytes[before..] == b"\n" {
                return Frame::of(bytes).map_err(Over::Malformed);
            }
        }
    }
}
