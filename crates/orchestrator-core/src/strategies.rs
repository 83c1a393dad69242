use std::collections::BTreeMap;

use placement::Strategy;

use crate::ModelId;

/// How replicas are chosen among those that can run a task (ORCH-117).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Strategies {
    /// Where nothing else is said.
    pub default: Strategy,
    /// Models with a strategy of their own.
    pub models: BTreeMap<ModelId, Strategy>,
}

impl Strategies {
    /// The strategy for tasks of `model`.
    #[must_use]
    pub fn of(&self, model: &ModelId) -> Strategy {
        self.models.get(model).copied().unwrap_or(self.default)
    }
}
