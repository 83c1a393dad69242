//! Sends the spans of tasks to a collector, as OTLP over HTTP with protobuf bodies
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).
//!
//! [`export`] gives two halves: [`OtlpSpans`], which the orchestrator tells its spans, and [`OtlpExporter`],
//! which somebody runs. Between them is a bounded queue.
//!
//! Invariants: telling a span never waits, and one that finds the queue full is dropped and counted; every span
//! told is counted once, as sent or as dropped; only spans of traces that are marked as recorded are sent; the
//! exporter ends within its limit after it was told to, whatever the collector does.

mod counts;
mod error;
mod exporter;
mod headers;
mod options;
mod spans;
mod wire;

pub use counts::SpanCounts;
pub use error::OtlpError;
pub use exporter::{OtlpExporter, export};
pub use headers::read_headers;
pub use options::OtlpOptions;
pub use spans::OtlpSpans;
