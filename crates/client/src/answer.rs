use std::time::SystemTime;

use api_types::ReportedError;
use reqwest::{
    Response, StatusCode,
    header::{DATE, HeaderMap, RETRY_AFTER},
};
use serde::de::DeserializeOwned;

use crate::ClientError;

/// Longest answer that is read. A page of 500 tasks is far below it, and so is a prompt of 2 MiB in JSON.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Characters of a foreign error that are repeated.
const FOREIGN_TEXT_CHARS_MAX: usize = 200;

/// An answer, whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Reads the rest of an answer; the inner error is the limit that it passes.
pub(crate) async fn read_answer(
    mut response: Response,
) -> Result<Result<Answer, usize>, reqwest::Error> {
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await? {
        if bytes.len() > ANSWER_BYTES_MAX - body.len() {
            return Ok(Err(ANSWER_BYTES_MAX));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(Ok(Answer { status, headers, body }))
}

impl Answer {
    pub(crate) fn read<T: DeserializeOwned>(&self, request: &str) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body)
            .map_err(|source| ClientError::Unreadable { request: request.to_owned(), source })
    }

    /// When it was made, by the daemon's clock.
    pub(crate) fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.headers.get(DATE)?.to_str().ok()?).ok()
    }

    pub(crate) fn is_replay(&self) -> bool {
        self.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
    }

    /// The error that the answer is.
    pub(crate) fn refusal(&self) -> ClientError {
        let status = self.status.as_u16();
        let Ok(body) = serde_json::from_slice::<ReportedError>(&self.body) else {
            let text = String::from_utf8_lossy(&self.body);
            let text = text.chars().take(FOREIGN_TEXT_CHARS_MAX).collect();
            return ClientError::Foreign { status, text };
        };
        let seconds = || self.number(RETRY_AFTER.as_str());
        let back_off_ms = self
            .number("x-backoff-ms")
            .or(body.retry_after_ms)
            .or_else(|| Some(seconds()?.saturating_mul(1000)));
        ClientError::Refused { status, body: Box::new(body), back_off_ms }
    }

    fn number(&self, header: &str) -> Option<u64> {
        self.headers.get(header)?.to_str().ok()?.parse().ok()
    }
}
