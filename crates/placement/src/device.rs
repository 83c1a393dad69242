/// Memory of a device that is never given out, in bytes, where nothing else is configured (ORCH-114).
pub const HEADROOM_BYTES: u64 = 512 * 1024 * 1024;

/// What is known of a device's memory. All figures in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceMemory {
    /// As built in.
    pub total_bytes: u64,
    /// Taken by anybody, as the driver tells it.
    pub used_bytes: u64,
    /// Never given out.
    pub headroom_bytes: u64,
    /// The project's own workers on the device.
    pub own: Vec<OwnMemory>,
}

/// The memory of one worker on one device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnMemory {
    /// Set aside for it when it was started.
    pub reserved_bytes: u64,
    /// Seen in use by it; 0 where its processes cannot be told apart.
    pub measured_bytes: u64,
}

impl DeviceMemory {
    /// A device with nothing of the project's own on it, and the usual headroom.
    #[must_use]
    pub fn new(total_bytes: u64, used_bytes: u64) -> Self {
        Self { total_bytes, used_bytes, headroom_bytes: HEADROOM_BYTES, own: Vec::new() }
    }

    /// What others than the project's own workers use: used less what is measured of the own ones.
    #[must_use]
    pub fn foreign_bytes(&self) -> u64 {
        self.used_bytes.saturating_sub(sum(self.own.iter().map(|own| own.measured_bytes)))
    }

    /// What may be given to another worker: total less foreign, less the larger of reserved and measured of
    /// each own worker, less headroom; 0 where that is less than nothing (ORCH-114).
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        let own = sum(self.own.iter().map(|own| own.reserved_bytes.max(own.measured_bytes)));
        self.total_bytes
            .saturating_sub(self.foreign_bytes())
            .saturating_sub(own)
            .saturating_sub(self.headroom_bytes)
    }
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

/// The share of `bytes` that falls on the device with `ratio` of a model that is split by ratios which sum
/// to `ratios`, rounded up.
pub(crate) fn share_bytes(bytes: u64, ratio: u32, ratios: u64) -> u64 {
    let share = (u128::from(bytes) * u128::from(ratio)).div_ceil(u128::from(ratios.max(1)));
    u64::try_from(share).unwrap_or(u64::MAX)
}
