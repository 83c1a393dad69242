use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

/// Shortest pause before trying again; each further one is twice as long, and jitter at most doubles it, so
/// that clients of one daemon do not come back together.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause, before jitter.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How much longer to try, counted from when it was made.
#[derive(Debug)]
pub(crate) struct Patience {
    since: Instant,
    pauses: ExponentialBackoff,
}

impl Patience {
    pub(crate) fn new(now: Instant) -> Self {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(PAUSE_MIN)
            .with_max_delay(PAUSE_MAX)
            .with_factor(2.0)
            .without_max_times()
            .with_jitter();
        Self { since: now, pauses: pauses.build() }
    }

    /// How long to wait before the next try, at least `asked`; `None` once `limit` would be passed. The last
    /// try is at the limit itself.
    pub(crate) fn pause(
        &mut self,
        asked: Duration,
        limit: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let left = limit.saturating_sub(now.duration_since(self.since));
        let pause = self.pauses.next()?;
        (!left.is_zero() && asked <= left).then(|| pause.max(asked).min(left))
    }
}
