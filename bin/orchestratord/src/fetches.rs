use std::sync::{Arc, Mutex};

use api_types::{PreparationStep, StepStatus};
use catalog_core::{Alias, ModelDigest};

/// Models that operations fetch now, so that tasks may wait for them.
#[derive(Default)]
pub(crate) struct Fetches {
    /// As many as operations run.
    running: Arc<Mutex<Vec<Arc<Fetch>>>>,
}

/// One of them.
pub(crate) struct Fetch {
    names: Vec<Alias>,
    pub(crate) digest: Option<ModelDigest>,
    state: Mutex<Progress>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    bytes_done: Option<u64>,
    bytes_total: Option<u64>,
    estimated_ms: Option<u64>,
}

/// A fetch that runs, until this is dropped.
pub(crate) struct Fetching {
    fetch: Arc<Fetch>,
    running: Arc<Mutex<Vec<Arc<Fetch>>>>,
}

impl Fetches {
    /// Notes that a model is being fetched that will have these names.
    pub(crate) fn begin(&self, names: Vec<Alias>, digest: Option<ModelDigest>) -> Fetching {
        let fetch = Arc::new(Fetch { names, digest, state: Mutex::default() });
        self.running.lock().expect("no holder panics").push(Arc::clone(&fetch));
        Fetching { fetch, running: Arc::clone(&self.running) }
    }

    /// The fetch of a model, by a name that it will have or its id.
    pub(crate) fn find(&self, model_ref: &str) -> Option<Arc<Fetch>> {
        let running = self.running.lock().expect("no holder panics");
        let is_it = |fetch: &&Arc<Fetch>| {
            fetch.names.iter().any(|name| name.as_str() == model_ref)
                || fetch.digest.is_some_and(|digest| digest.to_string() == model_ref)
        };
        running.iter().find(is_it).cloned()
    }
}

impl Fetch {
    /// How far it is, as tasks that wait for it show it.
    pub(crate) fn step(&self) -> PreparationStep {
        let Progress { bytes_done, bytes_total, estimated_ms } =
            *self.state.lock().expect("no holder panics");
        PreparationStep {
            id: "fetch".to_owned(),
            kind: "model_fetch".to_owned(),
            status: StepStatus::Running,
            estimated_ms,
            bytes_total,
            bytes_done,
        }
    }
}

impl Fetching {
    /// Says how far it is.
    pub(crate) fn note(&self, progress: &operations::Progress) {
        *self.fetch.state.lock().expect("no holder panics") = Progress {
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
            estimated_ms: progress.estimated_ms,
        };
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let mut running = self.running.lock().expect("no holder panics");
        running.retain(|fetch| !Arc::ptr_eq(fetch, &self.fetch));
    }
}
