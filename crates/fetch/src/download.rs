use std::sync::Arc;

use camino::Utf8PathBuf;
use reqwest::{
    Response,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use tokio::sync::watch;
use url::Url;

use crate::{
    Credentials, FetchError, Fetcher,
    error::shown,
    partial_file::{PartialFile, already_there, hex},
};

/// How much is gathered before it is hashed and written, in bytes.
const BATCH_BYTES: usize = 1 << 20;

/// A file to fetch.
#[derive(Debug, Clone)]
pub struct FileRequest {
    /// Where it is, without credentials.
    pub url: Url,
    /// Credentials for one origin.
    pub credentials: Option<Credentials>,
    /// Its place. `<target>.partial` and `<target>.resume` beside it are used until it is whole.
    pub target: Utf8PathBuf,
    /// The digest that it must have. A file that is at the place with this digest is not fetched.
    pub expected_sha256: Option<[u8; 32]>,
    /// Largest size, where it is below the policy's.
    pub max_bytes: Option<u64>,
}

/// A file that is at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedFile {
    /// Its place.
    pub path: Utf8PathBuf,
    /// Its digest.
    pub sha256: [u8; 32],
    /// Its size.
    pub size_bytes: u64,
}

/// How far a download is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Bytes that are there. Less than before only where a server cannot take up what broke off.
    pub bytes_done: u64,
    /// Bytes of the whole file, where the server says so.
    pub bytes_total: Option<u64>,
}

/// What makes two requests one.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct FlightKey {
    url: Url,
    target: Utf8PathBuf,
    expected_sha256: Option<[u8; 32]>,
}

impl FlightKey {
    pub(crate) fn of(request: &FileRequest) -> Self {
        Self {
            url: request.url.clone(),
            target: request.target.clone(),
            expected_sha256: request.expected_sha256,
        }
    }
}

/// One download under way.
pub(crate) struct Download {
    pub(crate) fetcher: Fetcher,
    pub(crate) request: FileRequest,
    pub(crate) progress: watch::Sender<Transferred>,
}

/// Why a transfer ended: with the error goes what was written so far, where it can be taken up.
enum Broken {
    Resumable(FetchError, PartialFile),
    Over(FetchError),
}

impl From<FetchError> for Broken {
    fn from(error: FetchError) -> Self {
        Self::Over(error)
    }
}

impl Download {
    pub(crate) async fn run(self) -> Result<FetchedFile, FetchError> {
        let url = &self.request.url;
        if let Some(expected) = self.request.expected_sha256
            && let Some(there) = already_there(&self.request.target, expected).await?
        {
            return Ok(there);
        }
        let mut partial = self.open_partial().await?;
        let mut is_second_try = false;
        loop {
            partial = self.transfer_all(partial).await?;
            let actual = partial.sha256();
            match self.request.expected_sha256 {
                Some(expected) if expected != actual => {
                    let is_pieced = partial.is_pieced();
                    partial.delete().await?;
                    if is_pieced && !is_second_try {
                        // The pieces may be of different files: one try in one piece.
                        is_second_try = true;
                        partial = self.open_partial().await?;
                        continue;
                    }
                    let (expected, actual) = (hex(&expected), hex(&actual));
                    return Err(FetchError::DigestMismatch { url: shown(url), expected, actual });
                }
                _ => return partial.moved_to_its_place().await,
            }
        }
    }

    /// Opens what is there, after a wait for whoever else may be writing it.
    async fn open_partial(&self) -> Result<PartialFile, FetchError> {
        let mut delays = self.fetcher.delays();
        loop {
            match PartialFile::open(&self.request.target, &self.request.url).await {
                Ok(partial) => return Ok(partial),
                Err(error) => self.fetcher.pause_before_retry(error, &mut delays).await?,
            }
        }
    }

    /// Transfers until the file is whole. Tries again as long as each try gets further, and a bounded
    /// number of times where none does.
    async fn transfer_all(&self, mut partial: PartialFile) -> Result<PartialFile, FetchError> {
        let mut delays = self.fetcher.delays();
        let mut furthest = partial.len();
        loop {
            let (error, kept) = match self.transfer(partial).await {
                Ok(whole) => return Ok(whole),
                Err(Broken::Over(error)) => return Err(error),
                Err(Broken::Resumable(error, kept)) => (error, kept),
            };
            partial = kept;
            if partial.len() > furthest {
                furthest = partial.len();
                delays = self.fetcher.delays();
            }
            self.fetcher.pause_before_retry(error, &mut delays).await?;
        }
    }

    async fn transfer(&self, mut partial: PartialFile) -> Result<PartialFile, Broken> {
        let url = &self.request.url;
        if partial.validator().is_none() && self.request.expected_sha256.is_none() {
            partial = partial.emptied().await?; // nothing would tell whether the rest fits to it
        }
        let headers = range_headers(&partial);
        let opened = self.fetcher.open(url, headers, self.request.credentials.as_ref()).await;
        let response = match opened {
            Ok(response) => response,
            Err(error) => return Err(Broken::Resumable(error, partial)),
        };
        let total = match Answer::of(&response, partial.len(), url)? {
            Answer::Whole { total } => {
                partial = partial.emptied().await?;
                total
            }
            Answer::Rest { total } => {
                partial = partial.pieced();
                total
            }
            Answer::NothingLeft => return Ok(partial),
            Answer::OtherFile => {
                // Asked for from its beginning, it cannot end before where we are.
                return Box::pin(self.transfer(partial.emptied().await?)).await;
            }
            Answer::Failed { status } => {
                let error = FetchError::Status { url: shown(url), status };
                return Err(Broken::Resumable(error, partial));
            }
        };
        self.check_size(total.unwrap_or(0))?;
        partial = partial.remembering(validator(response.headers())).await?;
        self.receive(response, partial, total).await
    }

    /// Writes the body of an answer.
    async fn receive(
        &self,
        mut response: Response,
        mut partial: PartialFile,
        total: Option<u64>,
    ) -> Result<PartialFile, Broken> {
        let url = &self.request.url;
        let mut batch = Vec::with_capacity(BATCH_BYTES);
        self.show(&partial, 0, total);
        loop {
            let received = response.chunk().await;
            if let Ok(Some(chunk)) = &received {
                self.check_size(partial.len() + (batch.len() + chunk.len()) as u64)?;
                batch.extend_from_slice(chunk);
                self.show(&partial, batch.len(), total);
            }
            let more = matches!(received, Ok(Some(_)));
            if batch.len() >= BATCH_BYTES || !more {
                partial = partial.with(std::mem::take(&mut batch)).await?;
            }
            match received {
                Ok(Some(_)) => {}
                Ok(None) if total.is_none_or(|total| total == partial.len()) => return Ok(partial),
                Ok(None) => {
                    let reason = "its length is not the one it announced";
                    return Err(FetchError::Protocol { url: shown(url), reason }.into());
                }
                Err(error) => {
                    let error = FetchError::of_transport(url, error);
                    return Err(Broken::Resumable(error, partial));
                }
            }
        }
    }

    fn show(&self, partial: &PartialFile, waiting_bytes: usize, bytes_total: Option<u64>) {
        let bytes_done = partial.len() + waiting_bytes as u64;
        self.progress.send_replace(Transferred { bytes_done, bytes_total });
    }

    fn check_size(&self, size_bytes: u64) -> Result<(), FetchError> {
        let policy = self.fetcher.max_bytes();
        let limit_bytes = self.request.max_bytes.map_or(policy, |own| own.min(policy));
        if size_bytes > limit_bytes {
            return Err(FetchError::TooLarge { url: shown(&self.request.url), limit_bytes });
        }
        Ok(())
    }
}

/// What a server made of a request for a range.
enum Answer {
    /// The file from its beginning: ranges are unknown there, or the file is another now.
    Whole { total: Option<u64> },
    /// What was missing.
    Rest { total: Option<u64> },
    /// The file ends where we are.
    NothingLeft,
    /// The file ends before that.
    OtherFile,
    /// Anything else.
    Failed { status: u16 },
}

impl Answer {
    fn of(response: &Response, have_bytes: u64, url: &Url) -> Result<Self, FetchError> {
        let range = response.headers().get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok());
        match response.status().as_u16() {
            200 => Ok(Self::Whole { total: response.content_length() }),
            206 => match range.and_then(parse_content_range) {
                Some((start, total)) if start == have_bytes => Ok(Self::Rest { total }),
                _ => Err(FetchError::Protocol {
                    url: shown(url),
                    reason: "it sent another range than was asked for",
                }),
            },
            416 if have_bytes > 0 => {
                let total = range.and_then(|range| range.strip_prefix("bytes */")?.parse().ok());
                Ok(if total == Some(have_bytes) { Self::NothingLeft } else { Self::OtherFile })
            }
            status => Ok(Self::Failed { status }),
        }
    }
}

/// Start and whole length of `bytes 5-9/10` (RFC 9110, section 14.4).
fn parse_content_range(range: &str) -> Option<(u64, Option<u64>)> {
    let (span, total) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _end) = span.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((start.parse().ok()?, total))
}

fn range_headers(partial: &PartialFile) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // A compressed answer would have other offsets.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if partial.len() == 0 {
        return headers;
    }
    let mut insert = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    insert(header::RANGE, &format!("bytes={}-", partial.len()));
    if let Some(validator) = partial.validator() {
        insert(header::IF_RANGE, validator);
    }
    headers
}

/// What tells this version of the file from others: a strong entity tag, or else its date.
fn validator(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let tag = text(header::ETAG).filter(|tag| tag.starts_with('"'));
    tag.or_else(|| text(header::LAST_MODIFIED)).map(Arc::from)
}
