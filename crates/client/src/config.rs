use reqwest::Url;

use crate::{ClientError, Token};

/// Where a daemon is, and how long to bear with it.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Such as `http://127.0.0.1:8080`, or with the path that the daemon's API lies under.
    pub base_url: String,
    /// Sent with every request where there is one.
    pub token: Option<Token>,
    /// Longest time to open a connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest time until an answer is there, or the head of a stream, connecting included, in milliseconds.
    pub answer_timeout_ms: u64,
    /// A stream without a byte for so many milliseconds is opened anew. The daemon gives a sign of life every
    /// 15 s (ORCH-081).
    pub silence_timeout_ms: u64,
    /// How long to try, in milliseconds, to reach a daemon that never answered this client: short, because
    /// it most likely does not run.
    pub reach_ms: u64,
    /// How long to bear, in milliseconds, with a daemon that did answer and then went away or asks for time.
    /// Streams count anew from each loss that follows a sign of life.
    pub patience_ms: u64,
}

impl ClientConfig {
    /// The usual bounds, without a token.
    #[must_use]
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            token: None,
            connect_timeout_ms: 5_000,
            answer_timeout_ms: 30_000,
            silence_timeout_ms: 45_000,
            reach_ms: 2_000,
            patience_ms: 120_000,
        }
    }

    /// The base address; its path ends in a slash, so that paths can be joined to it.
    pub(crate) fn url(&self) -> Result<Url, ClientError> {
        let text = &self.base_url;
        // Credentials in the address would be printed with it, so it is not repeated whole.
        let error =
            || ClientError::Address { url: text.rsplit('@').next().unwrap_or_default().to_owned() };
        let mut url = Url::parse(text).map_err(|_not_an_address| error())?;
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
        if !is_http || has_credentials || url.query().is_some() || url.fragment().is_some() {
            return Err(error());
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(url)
    }
}
