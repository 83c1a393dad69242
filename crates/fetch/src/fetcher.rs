use std::{iter, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use reqwest::{
    Certificate, Client, Proxy, Response,
    header::{self, HeaderMap, HeaderValue},
    redirect,
};
use url::Url;

use crate::{
    Authority, Credentials, EgressPolicy, FetchError, FetchLimits, FetchedFile, FileRequest,
    Flights, Transferred,
    download::{Download, FlightKey},
    error::shown,
    resolver::PublicResolver,
    rules::Rules,
};

/// Fetches pages and files within a policy. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    rules: Arc<Rules>,
    limits: FetchLimits,
    flights: Arc<Flights<FlightKey, Result<FetchedFile, Arc<FetchError>>, Transferred>>,
}

/// A text that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where it came from in the end, to which its links are relative.
    pub url: Url,
    /// The media type that the server named, in lower case and without parameters.
    pub content_type: Option<String>,
    /// The text; bytes that are no UTF-8 are replaced.
    pub body: String,
}

impl Fetcher {
    /// A fetcher for a policy.
    ///
    /// # Errors
    /// [`FetchError::Client`] where certificates or proxy cannot be used.
    pub fn new(policy: EgressPolicy, limits: FetchLimits) -> Result<Self, FetchError> {
        let rules = Arc::new(Rules { policy });
        let client = client(&rules, limits).map_err(|source| FetchError::Client { source })?;
        Ok(Self { client, rules, limits, flights: Arc::default() })
    }

    /// The same fetcher, for which `more` are listed too.
    ///
    /// # Errors
    /// As [`Fetcher::new`].
    pub fn also_listing(
        &self,
        more: impl IntoIterator<Item = Authority>,
    ) -> Result<Self, FetchError> {
        let mut policy = self.rules.policy.clone();
        policy.listed.extend(more);
        Ok(Self { flights: Arc::clone(&self.flights), ..Self::new(policy, self.limits)? })
    }

    /// Reads a text of at most `max_bytes`. Transient failures are tried again.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn page(
        &self,
        url: &Url,
        accept: &'static str,
        credentials: Option<&Credentials>,
        max_bytes: u64,
    ) -> Result<Page, FetchError> {
        let mut delays = self.delays();
        loop {
            let error = match self.page_once(url, accept, credentials, max_bytes).await {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            self.pause_before_retry(error, &mut delays).await?;
        }
    }

    /// Fetches a file to its place, or takes part in fetching it, and shows progress to `seen`. What an
    /// earlier try left is taken up again. A caller that goes away leaves what it got for the next.
    ///
    /// # Errors
    /// [`FetchError`]; nothing is at the file's place then.
    pub async fn file(
        &self,
        request: FileRequest,
        seen: &(dyn Fn(Transferred) + Send + Sync),
    ) -> Result<FetchedFile, Arc<FetchError>> {
        let key = FlightKey::of(&request);
        let fetcher = self.clone();
        let start = |progress| -> futures_util::future::BoxFuture<'static, _> {
            let download = Download { fetcher, request, progress };
            Box::pin(async move { download.run().await.map_err(Arc::new) })
        };
        self.flights.join(key, Transferred::default(), start, seen).await
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.rules.policy.max_bytes
    }

    pub(crate) fn delays(&self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(self.limits.retry_delay_ms))
            .with_max_delay(Duration::from_millis(self.limits.retry_delay_ms_max))
            .with_max_times(self.limits.retries_max)
            .with_jitter()
            .build()
    }

    /// Waits until it is time to try again, or gives the error back.
    pub(crate) async fn pause_before_retry(
        &self,
        error: FetchError,
        delays: &mut ExponentialBackoff,
    ) -> Result<(), FetchError> {
        if !error.is_transient() {
            return Err(error);
        }
        let Some(delay) = delays.next() else { return Err(error) };
        let cause = iter::successors(Some(&error as &dyn std::error::Error), |e| e.source()).last();
        tracing::info!(
            %error,
            cause = cause.map(tracing::field::display),
            delay_ms = delay.as_millis(),
            "a download broke off and is tried again"
        );
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// The answer to a request after all redirects, each of which passes the policy.
    pub(crate) async fn open(
        &self,
        first: &Url,
        headers: HeaderMap,
        credentials: Option<&Credentials>,
    ) -> Result<Response, FetchError> {
        let mut url = first.clone();
        let mut from: Option<Url> = None;
        for _hop in 0..=self.limits.redirects_max {
            self.rules
                .check(&url, from.as_ref())
                .map_err(|refusal| FetchError::Refused { url: shown(&url), refusal })?;
            let mut request = self.client.get(url.clone()).headers(headers.clone());
            if let Some(credentials) = credentials {
                request = credentials.put_on(request, &url);
            }
            let response = request.send().await.map_err(|e| FetchError::of_transport(&url, e))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let next = redirect_target(&url, response.headers())?;
            from = Some(std::mem::replace(&mut url, next));
        }
        Err(FetchError::TooManyRedirects { url: shown(first), limit: self.limits.redirects_max })
    }

    async fn page_once(
        &self,
        url: &Url,
        accept: &'static str,
        credentials: Option<&Credentials>,
        max_bytes: u64,
    ) -> Result<Page, FetchError> {
        let headers = HeaderMap::from_iter([
            (header::ACCEPT, HeaderValue::from_static(accept)),
            (header::ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        ]);
        let mut response = self.open(url, headers, credentials).await?;
        let url = response.url().clone();
        if response.status().as_u16() != 200 {
            let status = response.status().as_u16();
            return Err(FetchError::Status { url: shown(&url), status });
        }
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(media_type);
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|e| FetchError::of_transport(&url, e))?
        {
            if (body.len() + chunk.len()) as u64 > max_bytes {
                return Err(FetchError::TooLarge { url: shown(&url), limit_bytes: max_bytes });
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Page { url, content_type, body })
    }
}

fn client(rules: &Arc<Rules>, limits: FetchLimits) -> reqwest::Result<Client> {
    let mut builder = Client::builder()
        .user_agent("orchestrator-fetch")
        .redirect(redirect::Policy::none()) // followed by hand, as each hop must pass the policy
        .referer(false)
        .no_proxy() // what the environment says is not for this crate to read
        .dns_resolver(PublicResolver { rules: Arc::clone(rules) })
        .connect_timeout(Duration::from_millis(limits.connect_timeout_ms))
        .read_timeout(Duration::from_millis(limits.idle_timeout_ms))
        .pool_max_idle_per_host(1);
    if let Some(proxy) = &rules.policy.proxy {
        builder = builder.proxy(Proxy::all(proxy.clone())?);
    }
    let mut extra = Vec::new();
    for bundle in &rules.policy.extra_ca_pem {
        extra.extend(Certificate::from_pem_bundle(bundle)?);
    }
    builder.tls_certs_merge(extra).build()
}

fn redirect_target(url: &Url, headers: &HeaderMap) -> Result<Url, FetchError> {
    let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    location.and_then(|location| url.join(location).ok()).ok_or_else(|| FetchError::Protocol {
        url: shown(url),
        reason: "it redirects to no address",
    })
}

fn media_type(value: &HeaderValue) -> Option<String> {
    let essence = value.to_str().ok()?.split(';').next()?;
    Some(essence.trim().to_ascii_lowercase())
}
