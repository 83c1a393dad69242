use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use narration::TraceContext;
use uuid::Uuid;

/// The header that carries the id, in requests and in answers.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// Longest id that is taken from a client, in bytes.
const BYTES_MAX: usize = 128;

/// What ties together everything that one request causes (ORCH-005): the client's own id where it is 1 to
/// 128 of `A-Z a-z 0-9 . _ : -`, else a fresh UUIDv7.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CorrelationId(Arc<str>);

impl CorrelationId {
    /// The id of a request with these headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(HEADER).iter();
        match (given.next(), given.next()) {
            (Some(value), None) if is_usable(value.as_bytes()) => {
                Self(String::from_utf8_lossy(value.as_bytes()).into())
            }
            _ => Self(Uuid::now_v7().to_string().into()),
        }
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("the characters of an id are fit for a header")
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a request stands in a trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) trace: TraceContext,
    /// The client's place.
    pub(crate) parent_span: Option<u64>,
}

/// A new place in the client's trace where it sends one valid `traceparent`, else at the start of a new one
/// (ORCH-006), which is marked as recorded where `records` says so.
pub(crate) fn place_of(headers: &HeaderMap, records: bool) -> Place {
    let mut given = headers.get_all("traceparent").iter();
    let continued = match (given.next(), given.next()) {
        (Some(value), None) => value.to_str().ok().and_then(TraceContext::parse),
        _ => None,
    };
    // The second half of a UUIDv7 is random.
    let random = || Uuid::now_v7().as_u64_pair().1;
    match continued {
        Some(client) => {
            Place { trace: client.child(random()), parent_span: Some(client.span_number()) }
        }
        None => {
            let trace = TraceContext::start(Uuid::now_v7().as_u128(), random());
            Place { trace: if records { trace.recorded() } else { trace }, parent_span: None }
        }
    }
}

fn is_usable(value: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:-".contains(byte);
    (1..=BYTES_MAX).contains(&value.len()) && value.iter().all(allowed)
}
