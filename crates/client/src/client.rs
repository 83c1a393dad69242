use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use api_types::{
    Page, ReadyView, ReportedAccepted, ReportedCancel, ReportedTask, StatusView, TaskRequest,
};
use reqwest::{
    Method, Request, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    ClientConfig, ClientError, EventStream, Loss, TaskQuery,
    answer::{Answer, read_answer},
    patience::Patience,
};

/// How long an idle connection is kept for the next request.
const IDLE_CONNECTION: Duration = Duration::from_secs(15);

/// A client of one daemon; clones share connections.
///
/// Requests that got no answer, or a retriable 429 or 503, are sent again after a pause that grows, has
/// jitter and is at least as long as the daemon asked for, within the bounds of the configuration. That is
/// sound because all of them may be repeated.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    config: ClientConfig,
    base_url: Url,
    authorization: Option<HeaderValue>,
    /// Whether the daemon ever was there.
    is_reached: AtomicBool,
}

/// A task that the daemon has taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    pub task: ReportedAccepted,
    /// The task was there already, under the same idempotency key.
    pub is_replay: bool,
}

impl Client {
    /// Makes a client; nothing is sent yet. It follows no redirects and reads no proxy settings.
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::Token`] and [`ClientError::Setup`].
    ///
    /// # Panics
    /// When the process has installed no rustls crypto provider, which is the composition root's part.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let base_url = config.url()?;
        let authorization = config.token.as_ref().map(|token| {
            let value = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
            let mut value = value.map_err(|_unsendable| ClientError::Token)?;
            value.set_sensitive(true);
            Ok(value)
        });
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
            .pool_idle_timeout(IDLE_CONNECTION)
            .redirect(redirect::Policy::none())
            .no_proxy();
        if base_url.scheme() == "http" {
            // Without this the system's certificates are read, which a machine may not even have.
            builder = builder.tls_certs_only([]);
        }
        let inner = Inner {
            http: builder.build().map_err(ClientError::Setup)?,
            config,
            base_url,
            authorization: authorization.transpose()?,
            is_reached: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Hands a task in. Without a key of the caller's, one is made up: a connection that breaks before the
    /// answer never makes two tasks of one call.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] where the daemon does not take the task.
    pub async fn submit(
        &self,
        request: &TaskRequest,
        idempotency_key: Option<&str>,
    ) -> Result<Submitted, ClientError> {
        let key = idempotency_key.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
        let Ok(key) = HeaderValue::try_from(&key) else {
            return Err(ClientError::IdempotencyKey { key });
        };
        let body = serde_json::to_vec(request).expect("wire types are JSON");
        let call = Call {
            method: Method::POST,
            url: self.url(&["v2", "tasks"]),
            headers: HeaderMap::from_iter([
                (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (HeaderName::from_static("idempotency-key"), key),
            ]),
            body: Some(body.into()),
        };
        let answer = self.call(&call, StatusCode::is_success).await?;
        Ok(Submitted { task: answer.read(&call.name())?, is_replay: answer.is_replay() })
    }

    /// Follows a task's events, from the one after event `after`; 0 for all. Nothing is sent before the
    /// first event is asked for.
    #[must_use]
    pub fn events(&self, task_id: &str, after: u64) -> EventStream {
        EventStream::new(self.clone(), task_id, after)
    }

    /// One task; its prompt is in the answer only where asked for.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn task(
        &self,
        task_id: &str,
        with_prompt: bool,
    ) -> Result<ReportedTask, ClientError> {
        let mut url = self.url(&["v2", "tasks", task_id]);
        if with_prompt {
            url.query_pairs_mut().append_pair("include", "prompt");
        }
        self.get(url).await
    }

    /// A page of tasks, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tasks(&self, query: &TaskQuery) -> Result<Page<ReportedTask>, ClientError> {
        let mut url = self.url(&["v2", "tasks"]);
        query.write_to(&mut url);
        self.get(url).await
    }

    /// Cancels a task; one that has ended stays as it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cancel(&self, task_id: &str) -> Result<ReportedCancel, ClientError> {
        let url = self.url(&["v2", "tasks", task_id, "cancel"]);
        let call = Call { method: Method::POST, ..Call::get(url) };
        self.call(&call, StatusCode::is_success).await?.read(&call.name())
    }

    /// The daemon at a glance.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<StatusView, ClientError> {
        self.get(self.url(&["v2", "status"])).await
    }

    /// The daemon's clock, to the second; `None` where its answers do not tell.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn clock(&self) -> Result<Option<SystemTime>, ClientError> {
        let call = Call::get(self.url(&["healthz"]));
        Ok(self.call(&call, StatusCode::is_success).await?.date())
    }

    /// Host and port of the daemon.
    ///
    /// # Panics
    /// Never: addresses without them are refused when the client is made.
    #[must_use]
    pub fn address(&self) -> (&str, u16) {
        let url = &self.inner.base_url;
        let host = url.host_str().expect("an address has a host");
        let port = url.port_or_known_default().expect("http and https have ports");
        (host.trim_matches(['[', ']']), port)
    }

    /// Whether the daemon is sought on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let (host, _port) = self.address();
        host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    /// Whether the daemon takes work. One that does not is an answer, not an error.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ready(&self) -> Result<ReadyView, ClientError> {
        let call = Call::get(self.url(&["readyz"]));
        let is_answer =
            |status: &StatusCode| status.is_success() || *status == StatusCode::SERVICE_UNAVAILABLE;
        self.call(&call, is_answer).await?.read(&call.name())
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, ClientError> {
        let call = Call::get(url);
        self.call(&call, StatusCode::is_success).await?.read(&call.name())
    }

    /// Sends a JSON body, or none, and reads the answer.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
    ) -> Result<(StatusCode, T), ClientError> {
        let call = self.json_call(method, url, body);
        let answer = self.call(&call, StatusCode::is_success).await?;
        Ok((answer.status, answer.read(&call.name())?))
    }

    /// As [`Self::send`], for an answer that may be empty: then there is nothing.
    pub(crate) async fn send_for_little<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
    ) -> Result<Option<T>, ClientError> {
        let call = self.json_call(method, url, None);
        let answer = self.call(&call, StatusCode::is_success).await?;
        if answer.status == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        answer.read(&call.name()).map(Some)
    }

    fn json_call(&self, method: Method, url: Url, body: Option<Vec<u8>>) -> Call {
        let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let headers = body.is_some().then_some(json).into_iter().collect();
        Call { method, url, headers, body: body.map(Into::into) }
    }

    /// Sends a request until an answer comes that is one, or hope ends.
    async fn call(
        &self,
        call: &Call,
        is_answer: impl Fn(&StatusCode) -> bool,
    ) -> Result<Answer, ClientError> {
        let mut patience = Patience::new(Instant::now());
        loop {
            let error = match self.exchange(call).await {
                Ok(answer) if is_answer(&answer.status) => return Ok(answer),
                Ok(answer) => answer.refusal(),
                Err(error) => error,
            };
            match self.pause_after(&error, &mut patience) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    /// How long to wait before trying again what failed, if that is worth it.
    pub(crate) fn pause_after(
        &self,
        error: &ClientError,
        patience: &mut Patience,
    ) -> Option<Duration> {
        let config = &self.inner.config;
        let is_reached = self.inner.is_reached.load(Ordering::Relaxed);
        let limit_ms = if is_reached { config.patience_ms } else { config.reach_ms };
        patience.pause(error.retry_after()?, Duration::from_millis(limit_ms), Instant::now())
    }

    async fn exchange(&self, call: &Call) -> Result<Answer, ClientError> {
        self.in_time(async { self.whole(self.head(call).await?, call).await }).await
    }

    /// Sends a request whose answer is a stream, and waits for its head.
    pub(crate) async fn open(&self, url: Url, headers: HeaderMap) -> Result<Response, ClientError> {
        let call = Call { headers, ..Call::get(url) };
        let opened = async {
            let response = self.head(&call).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            Err(self.whole(response, &call).await?.refusal())
        };
        self.in_time(opened).await
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let waited_ms = self.inner.config.answer_timeout_ms;
        let in_time = tokio::time::timeout(Duration::from_millis(waited_ms), answer).await;
        in_time.unwrap_or_else(|_elapsed| Err(self.lost(Loss::Silent { waited_ms })))
    }

    async fn head(&self, call: &Call) -> Result<Response, ClientError> {
        let mut request = Request::new(call.method.clone(), call.url.clone());
        *request.headers_mut() = call.headers.clone();
        if let Some(value) = &self.inner.authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        *request.body_mut() = call.body.clone().map(Into::into);
        let result = self.inner.http.execute(request).await;
        let is_reached = !result.as_ref().is_err_and(reqwest::Error::is_connect);
        self.inner.is_reached.fetch_or(is_reached, Ordering::Relaxed);
        result.map_err(|error| {
            let error = error.without_url();
            self.lost(if is_reached { Loss::Broken(error) } else { Loss::NotConnected(error) })
        })
    }

    async fn whole(&self, response: Response, call: &Call) -> Result<Answer, ClientError> {
        let answer = read_answer(response).await;
        let answer = answer.map_err(|error| self.lost(Loss::Broken(error.without_url())))?;
        answer.map_err(|limit_bytes| ClientError::TooLong { request: call.name(), limit_bytes })
    }

    pub(crate) fn lost(&self, loss: Loss) -> ClientError {
        ClientError::Unreachable { url: self.inner.base_url.to_string(), loss }
    }

    /// Longest silence of a stream.
    pub(crate) fn silence_timeout_ms(&self) -> u64 {
        self.inner.config.silence_timeout_ms
    }

    /// The address of a path; segments are escaped, so that none leads elsewhere.
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.inner.base_url.clone();
        url.path_segments_mut()
            .expect("an address with a host has a path")
            .pop_if_empty()
            .extend(segments);
        url
    }
}

/// A request that can be sent more than once.
struct Call {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<bytes::Bytes>,
}

impl Call {
    fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: None }
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }
}
