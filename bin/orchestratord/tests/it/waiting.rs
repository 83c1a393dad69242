//! Waiting for conditions.

use std::time::{Duration, Instant};

/// How long anything may take on a machine with much else to do.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Polls until there is an answer.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "bounds a wait for a condition of another process")]
pub(crate) fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "{what} within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
