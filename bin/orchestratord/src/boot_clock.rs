use nix::time::{ClockId, clock_gettime};
use orchestrator::Clock;

/// The machine's own clocks.
pub(crate) struct BootClock {
    boot_id: String,
}

impl BootClock {
    /// Reads which boot this is. Where the kernel does not tell, each start counts as a boot of its own:
    /// then the wall clock decides over times that passed between two starts.
    pub(crate) fn new() -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_or_else(|_unknown| uuid::Uuid::now_v7().to_string(), |id| id.trim().to_owned());
        Self { boot_id }
    }
}

fn milliseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("Linux has this clock");
    let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
    let nanoseconds = u64::try_from(time.tv_nsec()).unwrap_or_default();
    seconds * 1000 + nanoseconds / 1_000_000
}

impl Clock for BootClock {
    fn boot_ms(&self) -> u64 {
        milliseconds(ClockId::CLOCK_BOOTTIME)
    }

    fn wall_ms(&self) -> u64 {
        milliseconds(ClockId::CLOCK_REALTIME)
    }

    fn boot_id(&self) -> &str {
        &self.boot_id
    }
}
