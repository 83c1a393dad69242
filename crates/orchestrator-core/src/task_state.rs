/// States of a task (ORCH-061).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskState {
    /// Waits for a slot.
    Queued,
    /// Waits while a model is loaded for it.
    Preparing,
    /// Waits for a guard.
    Guarding,
    /// Waits for a person.
    Review,
    /// An attempt is at work.
    Running,
    Succeeded,
    Failed,
    Canceled,
    Expired,
    /// Made room for a newcomer.
    Evicted,
}

impl TaskState {
    /// All states, those of live tasks first.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Preparing,
        Self::Guarding,
        Self::Review,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Canceled,
        Self::Expired,
        Self::Evicted,
    ];

    /// Whether the task has ended. Terminal states never change.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Queued | Self::Preparing | Self::Guarding | Self::Review | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Canceled | Self::Expired | Self::Evicted => true,
        }
    }

    /// Whether a task in this state may move to `next`; every other move is refused.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match next {
            Self::Queued => matches!(self, Self::Preparing | Self::Guarding | Self::Running),
            Self::Preparing => self == Self::Queued,
            Self::Guarding => matches!(self, Self::Queued | Self::Review | Self::Running),
            Self::Review => self == Self::Guarding,
            Self::Running => matches!(self, Self::Queued | Self::Preparing),
            Self::Succeeded => matches!(self, Self::Running | Self::Guarding),
            Self::Failed | Self::Canceled | Self::Expired => !self.is_terminal(),
            // Only what waits and never ran makes room (ORCH-050).
            Self::Evicted => self == Self::Queued,
        }
    }
}
