use std::sync::Arc;

use anyhow::Context as _;
use config_schema::Telemetry as Settings;
use http::HeaderMap;
use orchestrator::SpanSink;
use spans_otlp::{OtlpExporter, OtlpOptions, OtlpSpans};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::SpanTotals;

/// Takes the spans of tasks, for the collector where one is configured.
pub(crate) struct Telemetry(Option<OtlpSpans>);

/// The export at work; dropping it ends it at once.
#[derive(Default)]
pub(crate) struct Exporting {
    stop: CancellationToken,
    run: JoinSet<()>,
}

/// # Errors
/// The export that is configured cannot be set up; with the key at fault.
pub(crate) fn check(settings: &Settings) -> Result<(), (&'static str, anyhow::Error)> {
    halves(settings).map(drop)
}

type Halves = (OtlpSpans, OtlpExporter);

fn halves(settings: &Settings) -> Result<Option<Halves>, (&'static str, anyhow::Error)> {
    let Some(endpoint) = &settings.otlp_endpoint else { return Ok(None) };
    let options = OtlpOptions {
        endpoint: endpoint.clone(),
        headers: headers(settings).map_err(|error| ("otlp_headers_file", error))?,
        service_version: env!("CARGO_PKG_VERSION").to_owned(),
        queue_max: settings.otlp_queue_max,
        batch_max: settings.otlp_batch_max,
        interval_ms: settings.otlp_interval_ms,
        timeout_ms: settings.otlp_timeout_ms,
        flush_ms: settings.otlp_flush_ms,
    };
    spans_otlp::export(options).map(Some).map_err(|error| ("otlp_endpoint", error.into()))
}

/// The header fields for the collector; their values are secrets.
fn headers(settings: &Settings) -> anyhow::Result<HeaderMap> {
    let Some(path) = &settings.otlp_headers_file else { return Ok(HeaderMap::new()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let headers = spans_otlp::read_headers(&text).with_context(|| path.to_string())?;
    for value in headers.values().filter_map(|value| value.to_str().ok()) {
        crate::logging::masker().register(value);
        // Behind the scheme stands what others would use.
        value.split_whitespace().for_each(|word| crate::logging::masker().register(word));
    }
    Ok(headers)
}

impl Telemetry {
    /// Starts the export where one is configured.
    ///
    /// # Errors
    /// As [`check`].
    pub(crate) fn open(settings: &Settings) -> anyhow::Result<(Self, Exporting)> {
        let mut exporting = Exporting::default();
        let halves =
            halves(settings).map_err(|(key, error)| error.context(format!("telemetry.{key}")))?;
        let spans = halves.map(|(spans, exporter)| {
            exporting.run.spawn(exporter.run(exporting.stop.clone()));
            spans
        });
        Ok((Self(spans), exporting))
    }

    pub(crate) fn sink(&self) -> Arc<dyn SpanSink> {
        match &self.0 {
            Some(spans) => Arc::new(spans.clone()),
            None => Arc::new(()),
        }
    }

    pub(crate) fn is_exporting(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn totals(&self) -> SpanTotals {
        let counts = self.0.as_ref().map(OtlpSpans::counts);
        counts.map_or_else(SpanTotals::default, |counts| SpanTotals {
            sent: counts.sent(),
            dropped: counts.dropped(),
        })
    }
}

impl Exporting {
    /// Sends the last spans, for no longer than the configuration allows.
    pub(crate) async fn finish(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.run.join_next().await {
            ended.expect("the export never panics");
        }
    }
}
