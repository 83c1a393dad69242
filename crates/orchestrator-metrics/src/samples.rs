use orchestrator::Standing;

/// What is looked up when a page is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// How the orchestrator stands.
    pub standing: Standing,
    /// Bytes on disk, by kind.
    pub store_bytes: Vec<(&'static str, u64)>,
    /// Torn tails found at the start.
    pub torn_tails: u64,
    /// Requests turned away, by error code.
    pub auth_failures: Vec<(&'static str, u64)>,
    /// Connections that are open.
    pub connections_open: u64,
    /// Connections that were closed at once.
    pub connections_refused: u64,
    /// Requests that panicked.
    pub panics: u64,
    /// Spans that a collector has taken.
    pub spans_sent: u64,
    /// Spans that no collector has.
    pub spans_dropped: u64,
    /// Version of the build.
    pub version: &'static str,
}
