use std::time::{Duration, Instant, SystemTime};

/// Now, to measure by.
#[expect(clippy::disallowed_methods, reason = "this program measures, and nothing decides by it")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970: the clock that the engine stamps its tokens with.
#[expect(clippy::disallowed_methods, reason = "two processes compare their times by it")]
pub(crate) fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Waits outside of any runtime.
#[expect(clippy::disallowed_methods, reason = "a server comes up while this program waits")]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
