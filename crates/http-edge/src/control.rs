use std::sync::{Arc, RwLock};

use crate::{EdgeLimits, cors::Cors};

/// What can be changed while a server serves. Clones are handles to the same.
#[derive(Clone, Default)]
pub struct EdgeControl(Arc<RwLock<Option<Arc<Rules>>>>);

/// What holds for a request.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) limits: Arc<EdgeLimits>,
    pub(crate) cors: Cors,
}

impl EdgeControl {
    /// Lets other limits and allowed origins hold, from the next request on; what a connection itself bears
    /// (its head, its blocked writes, its requests at once), from the next connection on. Open ones stay.
    pub fn set(&self, limits: EdgeLimits, allowed_origins: Vec<String>) {
        *self.0.write().expect("no holder panics") = Some(rules_of(limits, allowed_origins));
    }

    /// Lets these hold unless others do already.
    pub(crate) fn begin(&self, limits: EdgeLimits, allowed_origins: Vec<String>) {
        let mut rules = self.0.write().expect("no holder panics");
        rules.get_or_insert_with(|| rules_of(limits, allowed_origins));
    }

    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.0.read().expect("no holder panics").clone().unwrap_or_default()
    }
}

fn rules_of(limits: EdgeLimits, allowed_origins: Vec<String>) -> Arc<Rules> {
    Arc::new(Rules { limits: Arc::new(limits), cors: Cors::new(allowed_origins) })
}
