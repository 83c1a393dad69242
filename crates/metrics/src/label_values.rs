use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

/// Values of one label that are told apart (ORCH-265).
pub const LABEL_VALUES_MAX: usize = 200;

/// What stands for all further values.
pub const OTHER: &str = "other";

/// Longest value that is told apart, in bytes; longer ones count as further ones.
const VALUE_BYTES_MAX: usize = 256;

/// The values of all labels of a page, first come, first kept; families share one, so that a value has its
/// own series in all of them or in none.
#[derive(Debug, Default)]
pub struct LabelValues {
    by_label: Mutex<HashMap<&'static str, HashSet<Arc<str>>>>,
}

impl LabelValues {
    /// The value as it is shown; takes up a new one where there is room.
    pub(crate) fn take(&self, label: &'static str, value: &str) -> Arc<str> {
        let mut by_label = self.by_label.lock().expect("no holder panics");
        let values = by_label.entry(label).or_default();
        if let Some(known) = values.get(value) {
            return Arc::clone(known);
        }
        if values.len() >= LABEL_VALUES_MAX || value.len() > VALUE_BYTES_MAX || value == OTHER {
            return OTHER.into();
        }
        let value: Arc<str> = value.into();
        values.insert(Arc::clone(&value));
        value
    }

    /// The values that one page adds to those taken, which leaves nothing behind.
    pub(crate) fn for_one_page(&self, label: &'static str) -> PageValues {
        let by_label = self.by_label.lock().expect("no holder panics");
        PageValues { known: by_label.get(label).cloned().unwrap_or_default() }
    }
}

/// Values of a label on one page.
pub(crate) struct PageValues {
    known: HashSet<Arc<str>>,
}

impl PageValues {
    pub(crate) fn take(&mut self, value: &str) -> Arc<str> {
        if let Some(known) = self.known.get(value) {
            return Arc::clone(known);
        }
        if self.known.len() >= LABEL_VALUES_MAX || value.len() > VALUE_BYTES_MAX || value == OTHER {
            return OTHER.into();
        }
        let value: Arc<str> = value.into();
        self.known.insert(Arc::clone(&value));
        value
    }
}
