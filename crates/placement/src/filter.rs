use std::fmt;

/// Why a candidate was rejected (ORCH-113).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Filter {
    /// Its node is not online.
    NodeNotOnline,
    /// What is known of its node is too old.
    SnapshotStale,
    /// It is being prepared, backs off, stopped or failed.
    PoolNotReady,
    /// It takes no new work.
    Draining,
    /// It makes room for another model.
    SwapPending,
    /// It failed too often and rests.
    CircuitOpen,
    /// The task asks for another engine.
    EngineMismatch,
    /// It does not do this kind of work.
    WorkloadUnsupported,
    /// It lacks a feature that the task needs.
    FeatureMissing,
    /// The task asks for another version of the engine or of the sampler profile.
    VersionMismatch,
    /// It does not hold the model.
    ModelAbsent,
    /// It does not hold the model, and may not load it.
    LoadNotAllowed,
    /// The model's digest was not verified, and the task needs that.
    Unverified,
    /// Its context is too small for the task.
    CtxTooSmall,
    /// All its slots are taken, or kept for a task that runs alone.
    NoFreeSlot,
    /// Its devices have no room for the model.
    VramInsufficient,
    /// Nobody knows whether its devices have room for the model.
    VramUnknown,
    /// The task is pinned elsewhere.
    PinMismatch,
    /// The task avoids its pool.
    Avoided,
    /// The task prefers another pool that can take it, or takes no other.
    NotPreferred,
    /// The task asks for other devices.
    DeviceMaskMismatch,
    /// The task failed there before, and another replica is open for it.
    ExcludedAfterFailure,
}

impl Filter {
    /// All filters, in the order of their names in explanations.
    pub const ALL: [Self; 22] = [
        Self::NodeNotOnline,
        Self::SnapshotStale,
        Self::PoolNotReady,
        Self::Draining,
        Self::SwapPending,
        Self::CircuitOpen,
        Self::EngineMismatch,
        Self::WorkloadUnsupported,
        Self::FeatureMissing,
        Self::VersionMismatch,
        Self::ModelAbsent,
        Self::LoadNotAllowed,
        Self::Unverified,
        Self::CtxTooSmall,
        Self::NoFreeSlot,
        Self::VramInsufficient,
        Self::VramUnknown,
        Self::PinMismatch,
        Self::Avoided,
        Self::NotPreferred,
        Self::DeviceMaskMismatch,
        Self::ExcludedAfterFailure,
    ];

    /// The reason code.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NodeNotOnline => "NODE_NOT_ONLINE",
            Self::SnapshotStale => "SNAPSHOT_STALE",
            Self::PoolNotReady => "POOL_NOT_READY",
            Self::Draining => "DRAINING",
            Self::SwapPending => "SWAP_PENDING",
            Self::CircuitOpen => "CIRCUIT_OPEN",
            Self::EngineMismatch => "ENGINE_MISMATCH",
            Self::WorkloadUnsupported => "WORKLOAD_UNSUPPORTED",
            Self::FeatureMissing => "FEATURE_MISSING",
            Self::VersionMismatch => "VERSION_MISMATCH",
            Self::ModelAbsent => "MODEL_ABSENT",
            Self::LoadNotAllowed => "LOAD_NOT_ALLOWED",
            Self::Unverified => "UNVERIFIED",
            Self::CtxTooSmall => "CTX_TOO_SMALL",
            Self::NoFreeSlot => "NO_FREE_SLOT",
            Self::VramInsufficient => "VRAM_INSUFFICIENT",
            Self::VramUnknown => "VRAM_UNKNOWN",
            Self::PinMismatch => "PIN_MISMATCH",
            Self::Avoided => "AVOIDED",
            Self::NotPreferred => "NOT_PREFERRED",
            Self::DeviceMaskMismatch => "DEVICE_MASK_MISMATCH",
            Self::ExcludedAfterFailure => "EXCLUDED_AFTER_FAILURE",
        }
    }
}

/// The filters that a candidate failed; empty where it passed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct FilterSet(u32);

impl FilterSet {
    /// No filter.
    pub const NONE: Self = Self(0);

    /// These filters.
    #[must_use]
    pub const fn of(filters: &[Filter]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < filters.len() {
            bits |= 1 << filters[index] as u32;
            index += 1;
        }
        Self(bits)
    }

    /// Adds `filter` where `failed`.
    pub fn note(&mut self, filter: Filter, failed: bool) {
        self.0 |= u32::from(failed) << filter as u32;
    }

    #[must_use]
    pub fn contains(self, filter: Filter) -> bool {
        self.0 & (1 << filter as u32) != 0
    }

    /// Whether nothing was failed.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The filters in the order of [`Filter::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Filter> {
        Filter::ALL.into_iter().filter(move |filter| self.contains(*filter))
    }

    /// Their reason codes.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.iter().map(Filter::name)
    }
}

impl fmt::Debug for FilterSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<Filter> for FilterSet {
    fn from_iter<I: IntoIterator<Item = Filter>>(filters: I) -> Self {
        filters.into_iter().fold(Self::NONE, |set, filter| set.and(Self::of(&[filter])))
    }
}
