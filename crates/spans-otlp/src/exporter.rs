use std::{pin::pin, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceResponse, trace::v1 as proto,
};
use prost::Message as _;
use reqwest::{
    Client, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
    redirect,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{OtlpError, OtlpOptions, OtlpSpans, SpanCounts, wire};

/// Where collectors take traces, below the endpoint.
const TRACES: &str = "v1/traces";

/// Most of an answer that is read, in bytes: it is a few numbers, or a message that nobody needs.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How often a batch is sent again that might be taken, and how long to wait first; the waits double.
const RETRIES: usize = 4;
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Sends what was told to the collector.
#[derive(Debug)]
pub struct OtlpExporter {
    queue: mpsc::Receiver<proto::Span>,
    /// Taken from the queue, not yet sent.
    gathered: Vec<proto::Span>,
    counts: Arc<SpanCounts>,
    client: Client,
    url: Url,
    options: OtlpOptions,
}

/// Spans as they are sent.
#[derive(Debug)]
struct Batch {
    count: u64,
    body: Bytes,
}

/// Why a collector does not have a batch.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the collector cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the collector answered {0}")]
    Refused(StatusCode),
}

impl SendError {
    /// By the protocol only these may be sent again.
    fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
        }
    }
}

/// The two halves of an export.
///
/// # Errors
/// The endpoint is no address, or TLS cannot be set up.
pub fn export(options: OtlpOptions) -> Result<(OtlpSpans, OtlpExporter), OtlpError> {
    let url = traces_url(&options.endpoint)
        .ok_or_else(|| OtlpError::Endpoint { endpoint: options.endpoint.clone() })?;
    let timeout = Duration::from_millis(options.timeout_ms);
    let client = Client::builder()
        .user_agent(concat!("spans-otlp/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none()) // nor are the headers sent to anybody else
        .default_headers(options.headers.clone())
        .no_proxy() // what the environment says is not for this crate to read
        .timeout(timeout)
        .connect_timeout(timeout)
        .pool_max_idle_per_host(1)
        .build()
        .map_err(OtlpError::Client)?;
    let (sender, queue) = mpsc::channel(options.queue_max.max(1));
    let counts = Arc::new(SpanCounts::default());
    let spans = OtlpSpans { queue: sender, counts: Arc::clone(&counts) };
    let exporter = OtlpExporter { queue, gathered: Vec::new(), counts, client, url, options };
    Ok((spans, exporter))
}

fn traces_url(endpoint: &str) -> Option<Url> {
    let mut url = Url::parse(endpoint).ok()?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.password().is_none();
    if !is_http || !is_plain || !url.username().is_empty() {
        return None;
    }
    let path = format!("{}/{TRACES}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(url)
}

impl OtlpExporter {
    /// Sends batches until `stop`, then what still waits, and ends no later than the flush's limit after it.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut is_failing = false;
        let mut deadline = None;
        while stop.run_until_cancelled(self.gather()).await == Some(true) {
            let batch = self.take_batch();
            let mut sending = pin!(self.send_patiently(&batch, &stop));
            let sent = match stop.run_until_cancelled(&mut sending).await {
                Some(sent) => Some(sent),
                // It goes on: given up and sent anew, the collector might have it twice.
                None => timeout_at(*deadline.insert(self.flush_deadline()), sending).await.ok(),
            };
            if let Some(sent) = &sent {
                note_change(is_failing, sent);
                is_failing = sent.is_err();
            }
            self.settle(&batch, sent.and_then(Result::ok));
        }
        let deadline = deadline.unwrap_or_else(|| self.flush_deadline());
        self.flush(deadline).await;
    }

    fn flush_deadline(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.options.flush_ms)
    }

    /// Waits until there is a batch to send. False once nobody can tell any more. What was gathered stays where
    /// this is given up.
    async fn gather(&mut self) -> bool {
        let max = self.options.batch_max.max(1);
        if self.gathered.is_empty() && self.queue.recv_many(&mut self.gathered, max).await == 0 {
            return false;
        }
        let full_or_due = Instant::now() + Duration::from_millis(self.options.interval_ms);
        while self.gathered.len() < max {
            let room = max - self.gathered.len();
            let more = self.queue.recv_many(&mut self.gathered, room);
            if !matches!(timeout_at(full_or_due, more).await, Ok(1..)) {
                break;
            }
        }
        true
    }

    fn take_batch(&mut self) -> Batch {
        let spans = std::mem::take(&mut self.gathered);
        let count = spans.len() as u64;
        let body = wire::request(spans, &self.options.service_version).encode_to_vec();
        Batch { count, body: body.into() }
    }

    /// Sends what is left, each batch once, and gives up when the time for it is over.
    async fn flush(mut self, deadline: Instant) {
        self.queue.close();
        loop {
            let room = self.options.batch_max.max(1);
            while self.gathered.len() < room
                && let Ok(span) = self.queue.try_recv()
            {
                self.gathered.push(span);
            }
            if self.gathered.is_empty() {
                return;
            }
            let batch = self.take_batch();
            let sent = timeout_at(deadline, self.send(&batch)).await;
            self.settle(&batch, sent.ok().and_then(Result::ok));
        }
    }

    /// Sends a batch; again where the collector may take it later. Once `stop` fired nothing is waited for, and
    /// one more try is the last.
    async fn send_patiently(
        &self,
        batch: &Batch,
        stop: &CancellationToken,
    ) -> Result<u64, SendError> {
        let waits = ExponentialBuilder::default()
            .with_min_delay(RETRY_AFTER)
            .with_max_times(RETRIES)
            .with_jitter();
        let stopping = stop.clone();
        let pause = move |wait| {
            let stopping = stopping.clone();
            async move {
                stopping.run_until_cancelled(sleep(wait)).await;
            }
        };
        let mut is_last = false;
        (|| self.send(batch))
            .retry(waits)
            .sleep(pause)
            .when(|error| {
                let was_last = std::mem::replace(&mut is_last, stop.is_cancelled());
                error.is_transient() && !was_last
            })
            .await
    }

    /// Sends a batch; gives how many of its spans the collector does not want.
    async fn send(&self, batch: &Batch) -> Result<u64, SendError> {
        let request = self.client.post(self.url.clone()).body(batch.body.clone());
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        let mut answer = request
            .header(CONTENT_TYPE, protobuf)
            .send()
            .await
            .map_err(|error| SendError::Unreachable(error.without_url()))?;
        if !answer.status().is_success() {
            return Err(SendError::Refused(answer.status()));
        }
        let mut told = Vec::new();
        while told.len() < ANSWER_BYTES_MAX
            && let Ok(Some(chunk)) = answer.chunk().await
        {
            told.extend_from_slice(&chunk);
        }
        // It has the batch; an answer that cannot be read says nothing against that.
        let told = ExportTraceServiceResponse::decode(&*told).unwrap_or_default();
        let unwanted = told.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(unwanted).unwrap_or(0).min(batch.count))
    }

    fn settle(&self, batch: &Batch, unwanted: Option<u64>) {
        let dropped = unwanted.unwrap_or(batch.count);
        self.counts.count_sent(batch.count - dropped);
        self.counts.count_dropped(dropped);
    }
}

/// One line when it begins to fail, and one when it does not any more.
fn note_change(was_failing: bool, sent: &Result<u64, SendError>) {
    match sent {
        Err(error) if !was_failing => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(
                event = "spans_not_sent",
                error = %error,
                cause,
                "the collector takes no spans; they are dropped until it does"
            );
        }
        Ok(_) if was_failing => {
            tracing::info!(event = "spans_sent_again", "the collector takes spans again");
        }
        _ => {}
    }
}
