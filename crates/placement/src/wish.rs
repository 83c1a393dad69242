use std::sync::Arc;

use crate::{DeviceId, Pool};

/// Where a client wants its task (ORCH-119). The caller has seen to it that nothing in it contradicts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub struct Wish {
    pub mode: WishMode,
    /// Under `Pin`, the only pool.
    pub pin_pool: Option<Arc<str>>,
    /// Under `Pin`, the only node.
    pub pin_node: Option<Arc<str>>,
    /// Under `Prefer`, the pools to take first.
    pub prefer_pools: Vec<Arc<str>>,
    /// Pools never to take.
    pub avoid_pools: Vec<Arc<str>>,
    /// The exact device mask of the pool, each device once, in any order.
    pub device_mask: Option<Vec<DeviceId>>,
    /// Under `Prefer`, no other pools even where none of the preferred ones can take the task.
    pub no_fallback: bool,
}

/// How much a client cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub enum WishMode {
    /// Anywhere.
    #[default]
    Auto,
    /// Some pools first.
    Prefer,
    /// One pool or node only.
    Pin,
}

impl Wish {
    pub(crate) fn is_pinned_elsewhere(&self, pool: &Pool) -> bool {
        let differs = |pin: &Option<Arc<str>>, name| pin.as_ref().is_some_and(|pin| pin != name);
        self.mode == WishMode::Pin
            && (differs(&self.pin_pool, &pool.id) || differs(&self.pin_node, &pool.node))
    }

    pub(crate) fn avoids(&self, pool: &Pool) -> bool {
        self.avoid_pools.contains(&pool.id)
    }

    /// Under any mode but `Prefer`, every pool is as good as preferred.
    pub(crate) fn prefers(&self, pool: &Pool) -> bool {
        self.mode != WishMode::Prefer || self.prefer_pools.contains(&pool.id)
    }

    pub(crate) fn wants_other_devices(&self, pool: &Pool) -> bool {
        self.device_mask.as_ref().is_some_and(|mask| {
            mask.len() != pool.devices.len()
                || pool.devices.iter().any(|device| !mask.contains(&device.id))
        })
    }
}
