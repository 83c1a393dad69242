use std::time::Duration;

use critic_executor::CriticError;
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};

use super::retry_after::retry_after;

/// Most bytes of an answer that are read.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// The address is none.
    #[error("`{url}` is no HTTP address; write it as https://host/path")]
    Address {
        /// What was given, without credentials.
        url: String,
    },
    /// TLS needs a crypto provider that the program chooses.
    #[error("the process has no default crypto provider of rustls; install one before this")]
    NoCryptoProvider,
    /// The client's parts do not fit this system.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

/// A client that follows no redirect: a request carries texts and a credential for one place.
pub(super) fn client() -> Result<Client, HttpClientError> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(HttpClientError::NoCryptoProvider);
    }
    Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
        .map_err(HttpClientError::Client)
}

/// The address, if it is one that a request can go to and holds no credential.
pub(super) fn address(url: &str) -> Result<reqwest::Url, HttpClientError> {
    let wrong = || HttpClientError::Address {
        url: match url.rsplit_once('@') {
            Some((_, after)) => format!("***@{after}"),
            None => url.to_owned(),
        },
    };
    let parsed = reqwest::Url::parse(url).map_err(|_reason| wrong())?;
    let has_credential = !parsed.username().is_empty() || parsed.password().is_some();
    let is_http = matches!(parsed.scheme(), "http" | "https") && parsed.has_host();
    if is_http && !has_credential { Ok(parsed) } else { Err(wrong()) }
}

/// Sends a request within `remaining` and reads the body of a good answer.
///
/// # Errors
/// By status, as CRIT-244 and CRIT-245 have it: a lost connection, 408 and 5xx are transient; 429, and 503 with
/// `Retry-After`, are rate limits; everything else that is not 2xx is permanent, 401 and 403 by name. A body over
/// a mebibyte is invalid. Bodies of errors are not repeated: they may quote the request.
pub(super) async fn send(
    request: RequestBuilder,
    remaining: Duration,
) -> Result<Vec<u8>, CriticError> {
    let response = request.timeout(remaining).send().await.map_err(lost)?;
    let status = response.status();
    if status.is_success() {
        return body(response).await;
    }
    let wait = retry_after(response.headers());
    Err(match status {
        StatusCode::TOO_MANY_REQUESTS => {
            CriticError::rate_limited(wait, "the server asks for fewer requests (429)")
        }
        StatusCode::SERVICE_UNAVAILABLE if wait.is_some() => {
            CriticError::rate_limited(wait, "the server asks to come back later (503)")
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => CriticError::permanent(format!(
            "the server does not accept the credential ({}); it may be wrong or expired",
            status.as_u16()
        )),
        StatusCode::REQUEST_TIMEOUT => CriticError::transient("the server waited too long (408)"),
        status if status.is_server_error() => {
            CriticError::transient(format!("the server failed ({})", status.as_u16()))
        }
        status => CriticError::permanent(format!("the server answered {}", status.as_u16())),
    })
}

async fn body(mut response: Response) -> Result<Vec<u8>, CriticError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(CriticError::invalid("the answer is larger than a mebibyte"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The connection failed; the error's text would name the address, which may hold a token in its path.
fn lost(error: reqwest::Error) -> CriticError {
    let what =
        if error.is_timeout() { "the server took too long" } else { "the connection failed" };
    CriticError::transient(what).with_source(error.without_url())
}
