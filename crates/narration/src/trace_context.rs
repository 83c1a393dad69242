use std::fmt;

/// The flag `sampled` of the format.
const SAMPLED: u8 = 1;

/// A place in a trace, as the header `traceparent` carries it in version 00 of the format
/// (<https://www.w3.org/TR/trace-context/#traceparent-header>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceContext {
    /// Reads a header's value; `None` where it is not a valid one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let part = parts.next()?;
            let is_lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            (part.len() == digits && part.bytes().all(is_lower)).then_some(part)
        };
        let is_version_0 = part(2)? == "00";
        let trace_id = u128::from_str_radix(part(32)?, 16).ok()?;
        let span_id = u64::from_str_radix(part(16)?, 16).ok()?;
        let flags = u8::from_str_radix(part(2)?, 16).ok()?;
        let is_valid = is_version_0 && trace_id != 0 && span_id != 0 && parts.next().is_none();
        is_valid.then_some(Self { trace_id, span_id, flags })
    }

    /// The start of a trace of two random numbers; zero, which the format forbids, counts as one.
    #[must_use]
    pub fn start(trace_id: u128, span_id: u64) -> Self {
        Self { trace_id: trace_id.max(1), span_id: span_id.max(1), flags: 0 }
    }

    /// The next place of the same trace, with a random number for it.
    #[must_use]
    pub fn child(self, span_id: u64) -> Self {
        Self { span_id: span_id.max(1), ..self }
    }

    /// The same place, in a trace whose spans are recorded.
    #[must_use]
    pub fn recorded(self) -> Self {
        Self { flags: self.flags | SAMPLED, ..self }
    }

    /// Whether whoever began the trace records it, so that others are to do so, too.
    #[must_use]
    pub fn is_recorded(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The number of the trace.
    #[must_use]
    pub fn trace_number(self) -> u128 {
        self.trace_id
    }

    /// The number of this place in the trace.
    #[must_use]
    pub fn span_number(self) -> u64 {
        self.span_id
    }

    /// What all places of the trace have in common: 32 hex digits.
    #[must_use]
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

/// The value of the header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}
