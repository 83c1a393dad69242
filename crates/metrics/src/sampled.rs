use std::{collections::BTreeMap, fmt, sync::Arc};

use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder},
    metrics::exemplar::Exemplar,
};

use crate::{Declaration, Exposed, Kind, LabelValues};

/// A family whose values are looked up when a page is written.
#[derive(Debug)]
pub struct Sampled {
    declaration: &'static Declaration,
    series: BTreeMap<Vec<Arc<str>>, f64>,
}

impl Sampled {
    /// The values of a family, each with its label values in the order of the declaration. Those beyond the
    /// bound of a label are added up.
    pub fn new<'a>(
        declaration: &'static Declaration,
        label_values: &LabelValues,
        samples: impl IntoIterator<Item = (Vec<&'a str>, f64)>,
    ) -> Self {
        let labels = declaration.labels;
        let mut values: Vec<_> =
            labels.iter().map(|label| label_values.for_one_page(label)).collect();
        let mut series = BTreeMap::new();
        for (sample, value) in samples {
            debug_assert_eq!(sample.len(), labels.len(), "{} has its labels", declaration.name);
            let pairs = values.iter_mut().zip(sample);
            let key: Vec<Arc<str>> = pairs.map(|(values, value)| values.take(value)).collect();
            *series.entry(key).or_insert(0.0) += value;
        }
        Self { declaration, series }
    }

    /// The value of a family without labels.
    #[must_use]
    pub fn single(declaration: &'static Declaration, value: f64) -> Self {
        debug_assert!(declaration.labels.is_empty(), "{} has no labels", declaration.name);
        Self { declaration, series: BTreeMap::from([(Vec::new(), value)]) }
    }
}

impl Exposed for Sampled {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Declaration { help, labels, kind, .. } = *self.declaration;
        let unit = self.declaration.registry_unit();
        let stem = self.declaration.stem();
        let metric_type = self.declaration.metric_type();
        let mut encoder = encoder.encode_descriptor(stem, help, unit.as_ref(), metric_type)?;
        for (key, value) in &self.series {
            let pairs: Vec<(&str, &str)> =
                labels.iter().copied().zip(key.iter().map(|value| &**value)).collect();
            match (kind, pairs.is_empty()) {
                (Kind::Info, _) => encoder.encode_info(&pairs)?,
                (_, true) => encode_value(kind, *value, &mut encoder)?,
                (_, false) => encode_value(kind, *value, &mut encoder.encode_family(&pairs)?)?,
            }
        }
        Ok(())
    }
}

fn encode_value(kind: Kind, value: f64, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    const NO_EXEMPLAR: Option<&Exemplar<Vec<(&str, &str)>, f64>> = None;
    match kind {
        Kind::Counter => encoder.encode_counter(&value, NO_EXEMPLAR),
        Kind::Gauge => encoder.encode_gauge(&value),
        // What stands in a bucket cannot be looked up afterwards, and an info has no value.
        Kind::Histogram | Kind::Info => Err(fmt::Error),
    }
}
