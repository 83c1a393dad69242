use prometheus_client::{metrics::MetricType, registry};
use serde::Serialize;
use serde_json::json;

/// What a family of metrics is called and holds; each daemon has a checked-in list of its own.
#[derive(Debug, PartialEq)]
pub struct Declaration {
    /// As a query names it, with unit and, for counters, `_total`.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// What is counted, where it is more than a number.
    pub unit: Option<Unit>,
    /// Names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// Upper bounds of a histogram's buckets, in its unit, growing; the last bucket has none.
    pub buckets: &'static [f64],
    /// One sentence for whoever reads a page.
    pub help: &'static str,
}

/// What the values of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Grows until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often values fell below which bound.
    Histogram,
    /// Always 1; the labels say something.
    Info,
}

/// Base units only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// `_bytes`
    Bytes,
    /// `_ratio`, from 0 to 1.
    Ratio,
    /// `_seconds`
    Seconds,
}

impl Declaration {
    /// A counter; its name ends in `_total`.
    #[must_use]
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Counter, unit: None, labels, buckets: &[], help }
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(
        name: &'static str,
        unit: Option<Unit>,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Gauge, unit, labels, buckets: &[], help }
    }

    /// A histogram of seconds; its name ends in `_seconds`.
    #[must_use]
    pub const fn seconds(
        name: &'static str,
        labels: &'static [&'static str],
        buckets: &'static [f64],
        help: &'static str,
    ) -> Self {
        let (kind, unit) = (Kind::Histogram, Some(Unit::Seconds));
        Self { name, kind, unit, labels, buckets, help }
    }

    /// Labels that say something; the name ends in `_info`.
    #[must_use]
    pub const fn info(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Info, unit: None, labels, buckets: &[], help }
    }

    /// The name without what the text format adds to it.
    pub(crate) fn stem(&self) -> &'static str {
        let suffix = match (self.kind, self.unit) {
            (Kind::Counter, _) => "_total",
            (Kind::Info, _) => "_info",
            (Kind::Gauge | Kind::Histogram, Some(Unit::Bytes)) => "_bytes",
            (Kind::Gauge | Kind::Histogram, Some(Unit::Ratio)) => "_ratio",
            (Kind::Gauge | Kind::Histogram, Some(Unit::Seconds)) => "_seconds",
            (Kind::Gauge | Kind::Histogram, None) => "",
        };
        let stem = self.name.strip_suffix(suffix);
        debug_assert!(stem.is_some(), "{} ends in {suffix}", self.name);
        stem.unwrap_or(self.name)
    }

    pub(crate) fn registry_unit(&self) -> Option<registry::Unit> {
        self.unit.map(|unit| match unit {
            Unit::Bytes => registry::Unit::Bytes,
            Unit::Ratio => registry::Unit::Other("ratio".to_owned()),
            Unit::Seconds => registry::Unit::Seconds,
        })
    }

    pub(crate) fn metric_type(&self) -> MetricType {
        match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        }
    }
}

/// The checked-in list of a daemon's metrics, by name.
#[must_use]
pub fn list(declarations: &[&Declaration]) -> serde_json::Value {
    let mut sorted = declarations.to_vec();
    sorted.sort_by_key(|declaration| declaration.name);
    let metric = |declaration: &&Declaration| {
        json!({
            "name": declaration.name,
            "type": declaration.kind,
            "unit": declaration.unit,
            "labels": declaration.labels,
            "buckets": (!declaration.buckets.is_empty()).then_some(declaration.buckets),
            "help": declaration.help,
        })
    };
    sorted.iter().map(metric).collect()
}
