use reqwest::header::HeaderMap;

/// Where spans are sent, and how much waits on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpOptions {
    /// Address of the collector without the signal's path, such as `http://127.0.0.1:4318`.
    pub endpoint: String,
    /// Fields sent with each request, such as what the collector knows its senders by.
    pub headers: HeaderMap,
    /// Version of the program, told to the collector.
    pub service_version: String,
    /// Most spans that wait; further ones are dropped. At least 1.
    pub queue_max: usize,
    /// Most spans of one request. At least 1.
    pub batch_max: usize,
    /// Longest time that a span waits for others to be sent with, in milliseconds.
    pub interval_ms: u64,
    /// Longest wait for the collector's answer, in milliseconds.
    pub timeout_ms: u64,
    /// Longest time for the last spans once the exporter is told to end, in milliseconds.
    pub flush_ms: u64,
}

impl Default for OtlpOptions {
    fn default() -> Self {
        Self {
            endpoint: "http://127.0.0.1:4318".to_owned(),
            headers: HeaderMap::new(),
            service_version: String::new(),
            queue_max: 2048,
            batch_max: 512,
            interval_ms: 5000,
            timeout_ms: 10_000,
            flush_ms: 2000,
        }
    }
}
