use std::time::{Duration, Instant, SystemTime};

/// Now, for figures and for limits of patience.
#[expect(clippy::disallowed_methods, reason = "this program measures, and nothing decides by it")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970, to be held against what the daemon tells.
#[expect(clippy::disallowed_methods, reason = "this program measures, and nothing decides by it")]
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Waits: a kill comes at a random time, and a client comes back after a while.
#[expect(clippy::disallowed_methods, reason = "what is tested is what happens at random times")]
pub(crate) fn pause_ms(duration_ms: u64) {
    std::thread::sleep(Duration::from_millis(duration_ms));
}
