use std::{fmt, sync::Arc};

use camino::Utf8PathBuf;
use event_log::SegmentLog;
use http_edge::EdgeCounters;
use orchestrator::{EventStore as _, Orchestrator};
use orchestrator_metrics::{DaemonMetrics, Samples};

use crate::telemetry::Telemetry;

/// Where a page of metrics gets its numbers.
pub(crate) struct Scrape {
    pub(crate) metrics: Arc<DaemonMetrics>,
    pub(crate) edge: Arc<EdgeCounters>,
    pub(crate) events: Arc<SegmentLog>,
    /// The database; its log stands beside it.
    pub(crate) store: Utf8PathBuf,
    pub(crate) telemetry: Arc<Telemetry>,
}

impl Scrape {
    /// All metrics as they stand. Looks up file sizes, so it does not belong on the token path's thread.
    ///
    /// # Errors
    /// A declaration and its values do not go together.
    pub(crate) fn page(&self, orchestrator: &Orchestrator) -> Result<String, fmt::Error> {
        let denied = self.edge.denied_by_code().into_iter();
        let spans = self.telemetry.totals();
        let samples = Samples {
            standing: orchestrator.standing(),
            store_bytes: vec![("records", self.record_bytes()), ("events", self.event_bytes())],
            torn_tails: self.events.torn_tails(),
            auth_failures: denied.map(|(code, count)| (code.name(), count)).collect(),
            connections_open: self.edge.connections_open(),
            connections_refused: self.edge.connections_refused(),
            panics: self.edge.panics(),
            spans_sent: spans.sent,
            spans_dropped: spans.dropped,
            version: env!("CARGO_PKG_VERSION"),
        };
        self.metrics.page(&samples)
    }

    /// What cannot be looked up counts as nothing: a scrape is no place to fail for it.
    fn record_bytes(&self) -> u64 {
        let files = [self.store.clone(), format!("{}-wal", self.store).into()];
        files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum()
    }

    fn event_bytes(&self) -> u64 {
        let segments = self.events.segments().unwrap_or_default();
        segments.iter().map(|segment| segment.len_bytes).sum()
    }
}
