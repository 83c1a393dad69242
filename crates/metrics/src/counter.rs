use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use prometheus_client::{encoding::MetricEncoder, metrics::exemplar::Exemplar};

use crate::{Declaration, family::Value};

type Labels = Vec<(&'static str, String)>;
const NO_EXEMPLAR: Option<&Exemplar<Labels, u64>> = None;

/// Counts up; one relaxed addition.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Value for Counter {
    fn new(_declaration: &Declaration) -> Self {
        Self::default()
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_counter(&self.get(), NO_EXEMPLAR)
    }
}
