use crate::{Class, Identity};

/// When a task should start and end, by what attempts of its model took before. Times are milliseconds from
/// the instant that it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// When it starts.
    pub start_ms: u64,
    /// Four of five such tasks start no sooner than this and no later than [`Self::start_ms_latest`].
    pub start_ms_earliest: u64,
    pub start_ms_latest: u64,
    /// From its start to its first token.
    pub prefill_ms: u64,
    /// From its first token to its end, with as many tokens as the client expects, or else as the middle one
    /// of the answers before.
    pub decode_ms: u64,
    /// Starts before it on the slots that it may get, those included that are still to come.
    pub starts_ahead: u64,
    /// Slots that it may get one of.
    pub slots: u32,
    /// Attempts that this was measured of.
    pub samples: u32,
}

impl Forecast {
    /// When it ends.
    #[must_use]
    pub fn end_ms(&self) -> u64 {
        self.start_ms.saturating_add(self.service_ms())
    }

    /// How long it runs; when it would end on an idle system.
    #[must_use]
    pub fn service_ms(&self) -> u64 {
        self.prefill_ms.saturating_add(self.decode_ms)
    }
}

/// Queued tasks that start before another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    pub class: Class,
    /// `None` for those that had an attempt and go ahead of everybody in their class.
    pub identity: Option<Identity>,
    pub tasks: u64,
}
