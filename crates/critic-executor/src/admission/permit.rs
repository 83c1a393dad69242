use super::ResourceId;
use super::queue::RunSlot;
use super::running::RunningPlace;
use crate::money::MicroDollars;
use crate::stage::Stage;

/// Everything that an attempt holds. It must come back through [`Admission::release`] exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permit {
    pub(crate) run: RunSlot,
    pub(super) resource: ResourceId,
    pub(super) stage: Stage,
    pub(super) reserved: MicroDollars,
    pub(super) breaker_generation: Option<u64>,
    /// The bucket that a token was taken from.
    pub(super) bucket_number: Option<u32>,
    pub(super) is_first_attempt: bool,
    pub(super) is_blocking: bool,
    /// How much of its wait there was no token.
    pub(crate) token_wait_ns: u64,
    pub(super) place: RunningPlace,
}

/// How an attempt that held a permit ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Release {
    pub(crate) permit: Permit,
    /// Whether its status was settled before it ended, and it was counted as detached.
    pub(crate) was_detached: bool,
}
