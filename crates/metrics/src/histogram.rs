use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

use crate::{Declaration, family::Value};

/// How often values fell below which bound; lock-free.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One more than there are bounds.
    counts: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

impl Histogram {
    /// Takes in a duration.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Takes in values that were counted elsewhere, in the same buckets; those beyond the last bound last.
    pub fn add(&self, counts: &[u32], sum: Duration) {
        debug_assert_eq!(counts.len(), self.counts.len(), "the buckets are the same");
        for (bucket, count) in self.counts.iter().zip(counts) {
            if *count > 0 {
                bucket.fetch_add((*count).into(), Ordering::Relaxed);
            }
        }
        let us = u64::try_from(sum.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Values taken in so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

impl Value for Histogram {
    fn new(declaration: &Declaration) -> Self {
        let buckets = declaration.buckets.len() + 1;
        Self {
            bounds: declaration.buckets,
            counts: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
            sum_us: AtomicU64::new(0),
        }
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_micros(self.sum_us.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum.as_secs_f64(), count, &buckets, None)
    }
}
