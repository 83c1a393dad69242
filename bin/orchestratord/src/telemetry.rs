//! Where the spans of tasks go: to a collector, in builds with the feature `otlp`, or nowhere.

#[cfg(not(feature = "otlp"))]
mod absent;
#[cfg(feature = "otlp")]
mod otlp;

#[cfg(not(feature = "otlp"))]
pub(crate) use absent::{Telemetry, check};
#[cfg(feature = "otlp")]
pub(crate) use otlp::{Telemetry, check};

/// What became of the spans so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SpanTotals {
    pub(crate) sent: u64,
    pub(crate) dropped: u64,
}
