use super::ResourceId;
use super::permit::Permit;
use super::queue::RunSlot;
use crate::money::MicroDollars;
use crate::stage::Stage;
use crate::status::RejectReason;

/// A critic that wants to start an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer {
    pub(crate) run: RunSlot,
    pub(crate) critic: u32,
    pub(crate) resource: ResourceId,
    pub(crate) stage: Stage,
    pub(crate) priority: u8,
    pub(crate) arrival_ns: u64,
    /// A token later than this is of no use.
    pub(crate) deadline_ns: u64,
    pub(crate) estimate: MicroDollars,
    pub(crate) is_blocking: bool,
    pub(crate) is_first_attempt: bool,
}

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Granted(Permit),
    Rejected(RejectReason),
    CircuitOpen {
        retry_at_ns: u64,
    },
    /// No token can come before the deadline.
    TokenTooLate,
}

/// A decision and whom it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) run: RunSlot,
    pub(crate) critic: u32,
    pub(crate) decision: Decision,
}
