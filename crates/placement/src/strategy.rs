/// How one replica is chosen among those that pass every filter (ORCH-116).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strategy {
    /// As `Base` says.
    Plain(Base),
    /// The replica that served the session last, where it can take the task; else as `Base` says.
    SessionSticky(Base),
}

/// Strategies that need no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub enum Base {
    /// The next one in order of keys.
    RoundRobin,
    /// The smallest share of busy slots, then the most free device memory.
    #[default]
    LeastLoaded,
    /// The most free device memory, then the fewest busy slots.
    VramAware,
}

impl Default for Strategy {
    /// `session-sticky` on `least-loaded` (ORCH-117).
    fn default() -> Self {
        Self::SessionSticky(Base::default())
    }
}

impl Strategy {
    /// The strategy for tasks without a session.
    #[must_use]
    pub fn base(self) -> Base {
        match self {
            Self::Plain(base) | Self::SessionSticky(base) => base,
        }
    }

    /// The name in configuration and API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain(base) => base.name(),
            Self::SessionSticky(_) => "session-sticky",
        }
    }
}

impl Base {
    /// The name in configuration and API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::LeastLoaded => "least-loaded",
            Self::VramAware => "vram-aware",
        }
    }
}
