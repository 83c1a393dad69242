use std::sync::Arc;

use crate::money::MicroDollars;
use crate::stage::Stage;

/// What was spent and saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// What all attempts cost.
    pub spent: MicroDollars,
    /// The part of it that went to attempts without an answer.
    pub wasted: MicroDollars,
    /// What gated critics, and those skipped because of a gate, would have cost.
    pub saved_by_gating: MicroDollars,
    /// What answers from the cache would have cost.
    pub saved_by_cache: MicroDollars,
}

impl Cost {
    /// What it would have cost without gates: everything spent, and what gates saved.
    #[must_use]
    pub fn ungated(&self) -> MicroDollars {
        self.spent + self.saved_by_gating
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.spent += other.spent;
        self.wasted += other.wasted;
        self.saved_by_gating += other.saved_by_gating;
        self.saved_by_cache += other.saved_by_cache;
    }
}

/// Costs in total, per critic and per stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CostSummary {
    /// All together.
    pub total: Cost,
    /// Per critic, in plan order.
    pub critics: Vec<(Arc<str>, Cost)>,
    /// Per stage, in order.
    pub stages: [Cost; Stage::COUNT],
}
