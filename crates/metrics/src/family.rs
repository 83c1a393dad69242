use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};

use crate::{Declaration, Exposed, LabelValues};

/// What a family holds for each set of label values.
pub trait Value: fmt::Debug + Send + Sync + Sized + 'static {
    /// Its start.
    fn new(declaration: &Declaration) -> Self;

    /// Writes it.
    ///
    /// # Errors
    /// The writer's own.
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result;
}

/// All series of one name.
#[derive(Debug)]
pub struct Family<V> {
    declaration: &'static Declaration,
    label_values: Arc<LabelValues>,
    /// As many as the labels' values give.
    series: Mutex<BTreeMap<Vec<Arc<str>>, Arc<V>>>,
}

impl<V: Value> Family<V> {
    /// A family without series; one without labels has its only one from the start.
    #[must_use]
    pub fn new(declaration: &'static Declaration, label_values: &Arc<LabelValues>) -> Self {
        let family =
            Self { declaration, label_values: Arc::clone(label_values), series: Mutex::default() };
        if declaration.labels.is_empty() {
            family.of(&[]);
        }
        family
    }

    /// The series of these label values, in the order of the declaration. Whoever counts often keeps it.
    pub fn of(&self, values: &[&str]) -> Arc<V> {
        let labels = self.declaration.labels;
        debug_assert_eq!(values.len(), labels.len(), "{} has a value for each label", self.name());
        let pairs = labels.iter().zip(values);
        let key: Vec<Arc<str>> =
            pairs.map(|(label, value)| self.label_values.take(label, value)).collect();
        let mut series = self.series.lock().expect("no holder panics");
        Arc::clone(series.entry(key).or_insert_with(|| Arc::new(V::new(self.declaration))))
    }

    fn name(&self) -> &'static str {
        self.declaration.name
    }
}

impl<V: Value> Exposed for Family<V> {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Declaration { help, labels, .. } = *self.declaration;
        let unit = self.declaration.registry_unit();
        let kind = self.declaration.metric_type();
        let stem = self.declaration.stem();
        let mut encoder = encoder.encode_descriptor(stem, help, unit.as_ref(), kind)?;
        let series: Vec<(Vec<Arc<str>>, Arc<V>)> = {
            let series = self.series.lock().expect("no holder panics");
            series.iter().map(|(key, value)| (key.clone(), Arc::clone(value))).collect()
        };
        if labels.is_empty() {
            let only = series.first().map(|(_, only)| only.encode(encoder));
            return only.unwrap_or(Ok(()));
        }
        for (key, value) in &series {
            let pairs: Vec<(&str, &str)> =
                labels.iter().copied().zip(key.iter().map(|value| &**value)).collect();
            value.encode(encoder.encode_family(&pairs)?)?;
        }
        Ok(())
    }
}
