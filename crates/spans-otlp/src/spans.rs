use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1 as proto;
use orchestrator::{Span, SpanSink};
use tokio::sync::mpsc;

use crate::{SpanCounts, wire};

/// Takes spans for the exporter; cheap to clone.
#[derive(Debug, Clone)]
pub struct OtlpSpans {
    /// A full queue drops what is told: tasks never wait for their telemetry.
    pub(crate) queue: mpsc::Sender<proto::Span>,
    pub(crate) counts: Arc<SpanCounts>,
}

impl OtlpSpans {
    /// What became of the spans so far.
    #[must_use]
    pub fn counts(&self) -> &Arc<SpanCounts> {
        &self.counts
    }
}

impl SpanSink for OtlpSpans {
    fn ended(&self, span: &Span<'_>) {
        if !span.place.is_recorded() {
            return; // whoever began the trace does not want it recorded
        }
        match self.queue.try_reserve() {
            Ok(place) => place.send(wire::span(span)),
            Err(_full_or_over) => self.counts.count_dropped(1),
        }
    }
}
