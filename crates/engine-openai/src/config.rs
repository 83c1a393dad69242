use adapter_host::{Features, OutputSupport, SamplingSupport, Workloads};
use url::Url;

use crate::ApiKey;

/// How to reach one server, and what is known of it that it does not tell.
#[derive(Debug, Clone)]
pub struct OpenAiConfig {
    /// Where the server is: `http://127.0.0.1:8000`, or with the path that its API lies under. Without a
    /// path, `/v1` is taken.
    pub base_url: String,
    /// Sent as bearer token where there is one.
    pub api_key: Option<ApiKey>,
    /// Longest time to open a connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest time until the head of a response, connecting included, in milliseconds. Servers that send
    /// the head with the first token need their prefill in it.
    pub first_byte_timeout_ms: u64,
    /// Generations that the server runs at once.
    pub slots: u32,
    /// Context in tokens, at most what the server tells, if it does.
    pub ctx_max: Option<u32>,
    /// Each chunk with text is known to be one token, so that tokens can be counted while they come.
    pub chunk_is_token: bool,
    /// Equal requests are known to give equal bytes.
    pub strict: bool,
    /// What the server takes beside the standard's sampling parameters.
    pub dialect: SamplingDialect,
    /// What answers can be beyond one plain text: the protocol does not tell.
    pub output: OutputSupport,
    /// Tokens that each image is counted as.
    pub image_tokens: u32,
    /// What kinds of work the server does.
    pub workloads: Workloads,
}

impl OpenAiConfig {
    /// What a server of this configuration can do.
    #[must_use]
    pub fn features(&self) -> Features {
        Features {
            token_ids: false,
            chat: true,
            replay: false,
            strict: self.strict,
            sampling: self.dialect.support(),
            output: self.output,
            image_tokens: self.image_tokens,
            workloads: self.workloads,
        }
    }
}

/// Names under which servers take sampling parameters that the standard protocol does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SamplingDialect {
    /// None; `top_k`, `min_p` and `repeat_penalty` are not supported.
    #[default]
    Standard,
    /// vLLM and SGLang: `top_k` (-1 is off), `min_p`, `repetition_penalty`.
    Vllm,
    /// llama.cpp's server: `top_k` (0 is off), `min_p`, `repeat_penalty`.
    LlamaCpp,
}

impl SamplingDialect {
    pub(crate) fn support(self) -> SamplingSupport {
        let has_extras = self != Self::Standard;
        SamplingSupport {
            top_k: has_extras,
            min_p: has_extras,
            repeat_penalty: has_extras,
            ..SamplingSupport::ALL
        }
    }
}

/// A configuration that no adapter can be made from.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not an address of a server.
    #[error(
        "`{url}` is not the base address of an HTTP server; give http:// or https://, host and port, and at most a path"
    )]
    Url { url: String },
    /// The key has characters that HTTP does not allow in a header.
    #[error(
        "the key of the engine at {url} cannot be sent in a header; check its file for line breaks"
    )]
    Key { url: String },
    /// The HTTP client cannot be made.
    #[error("cannot set up the HTTP client for the engine at {url}")]
    Client {
        url: String,
        #[source]
        source: std::io::Error,
    },
}

/// Reads the base address; its path has no slash at the end.
pub(crate) fn parse_base_url(text: &str) -> Result<Url, ConfigError> {
    // Credentials in the address would be printed with it, so it is not repeated whole.
    let error = || ConfigError::Url { url: text.rsplit('@').next().unwrap_or_default().to_owned() };
    let mut url = Url::parse(text).map_err(|_not_an_address| error())?;
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !is_http || has_credentials || url.query().is_some() || url.fragment().is_some() {
        return Err(error());
    }
    let path = match url.path().trim_end_matches('/') {
        "" => "/v1".to_owned(),
        path => path.to_owned(),
    };
    url.set_path(&path);
    Ok(url)
}
