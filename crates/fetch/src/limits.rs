/// How long a download waits, and how often it tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// Longest wait for a connection, its name's resolution and TLS included.
    pub connect_timeout_ms: u64,
    /// Longest silence of a server: before its answer, and between two pieces of it.
    pub idle_timeout_ms: u64,
    /// How often in a row it is tried again without having got further than before.
    pub retries_max: usize,
    /// First pause before another try; it doubles, with jitter.
    pub retry_delay_ms: u64,
    /// Longest pause before another try.
    pub retry_delay_ms_max: u64,
    /// Most redirects that are followed for one request.
    pub redirects_max: usize,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 15_000,
            idle_timeout_ms: 60_000,
            retries_max: 5,
            retry_delay_ms: 500,
            retry_delay_ms_max: 15_000,
            redirects_max: 5,
        }
    }
}
