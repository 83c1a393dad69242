/// Why spans cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    #[error("`{endpoint}` is not the address of a collector; write it like http://127.0.0.1:4318")]
    Endpoint { endpoint: String },
    #[error("line {line} is no header field, written `Name: value`: {what}")]
    Header { line: usize, what: &'static str },
    #[error("cannot make a client for the collector")]
    Client(#[source] reqwest::Error),
}
