use std::sync::Arc;

use api_types::ErrorBody;
use axum::response::Response;
use http::StatusCode;

use crate::{EdgeControl, EdgeCounters, Gate, ServerTls};

/// What a server bears (ORCH-274).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeLimits {
    /// Largest body of a request, in bytes; more is 413.
    pub body_max_bytes: u64,
    /// Largest header block, in bytes; more is 431.
    pub header_max_bytes: usize,
    /// Most header fields; more are 431.
    pub headers_max: usize,
    /// Longest wait for a request's head, in milliseconds, and so also the longest pause between two
    /// requests on a connection of HTTP/1.1; then the connection is closed. A TLS handshake has as long.
    pub head_read_timeout_ms: u64,
    /// Longest time from the head to the end of the body, in milliseconds; after it comes 408.
    pub body_read_timeout_ms: u64,
    /// Longest time that a write may be blocked by a peer that does not read, in milliseconds; then the
    /// connection is closed.
    pub write_timeout_ms: u64,
    /// Most connections; further ones are closed at once.
    pub connections_max: usize,
    /// Most concurrent requests on one connection of HTTP/2.
    pub http2_streams_max: u32,
    /// How long open requests may go on after the stop, in milliseconds; then they are cut off.
    pub drain_deadline_ms: u64,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            body_max_bytes: 4 * 1024 * 1024,
            header_max_bytes: 16 * 1024,
            headers_max: 64,
            head_read_timeout_ms: 30_000,
            body_read_timeout_ms: 10_000,
            write_timeout_ms: 30_000,
            connections_max: 1024,
            http2_streams_max: 100,
            drain_deadline_ms: 30_000,
        }
    }
}

/// Makes the answer for an error in another shape than [`ErrorBody`]'s, where the path wants one. Status and
/// headers that belong to the error are set afterwards.
pub type ErrorRenderer =
    Arc<dyn Fn(&str, &ErrorBody, StatusCode) -> Option<Response> + Send + Sync>;

/// How a server behaves.
#[derive(Clone)]
pub struct EdgeOptions {
    /// Who may come in.
    pub gate: Gate,
    /// Origins of pages beside the daemon's own that may call; with none of them, browsers are told nothing.
    pub allowed_origins: Vec<String>,
    /// TLS; without it plain text is spoken.
    pub tls: Option<ServerTls>,
    /// What is borne.
    pub limits: EdgeLimits,
    /// Other shapes of errors.
    pub renderer: Option<ErrorRenderer>,
    /// Where to count.
    pub counters: Arc<EdgeCounters>,
    /// Changes limits and allowed origins later; the server begins with those given here.
    pub control: EdgeControl,
    /// Whether traces that start here are marked as recorded, so that others record their part, too.
    pub records_traces: bool,
}

impl EdgeOptions {
    /// Default limits and the one shape of errors.
    #[must_use]
    pub fn new(gate: impl Into<Gate>) -> Self {
        Self {
            gate: gate.into(),
            allowed_origins: Vec::new(),
            tls: None,
            limits: EdgeLimits::default(),
            renderer: None,
            counters: Arc::new(EdgeCounters::default()),
            control: EdgeControl::default(),
            records_traces: false,
        }
    }
}
