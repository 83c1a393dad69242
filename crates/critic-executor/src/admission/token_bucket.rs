use crate::settings::RateLimit;

const SECOND_NS: f64 = 1_000_000_000.0;

/// A token bucket kept as the one instant at which it will be full again (GCRA). Pure: instants are nanoseconds
/// on the executor's clock.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    /// Time between two tokens, rounded up, so that the rate is never exceeded.
    interval_ns: u128,
    /// How far ahead of now `full_at_ns` may be for another token to be there.
    tolerance_ns: u128,
    full_at_ns: u128,
    /// How long it had no token, up to `counted_ns`; from there on it has none until it is ready.
    empty_ns: u64,
    counted_ns: u64,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(limit: &RateLimit) -> Self {
        let mut bucket =
            Self { interval_ns: 0, tolerance_ns: 0, full_at_ns: 0, empty_ns: 0, counted_ns: 0 };
        bucket.set(limit);
        bucket
    }

    /// Changes rate and size; what was taken stays taken.
    pub(crate) fn change(&mut self, limit: &RateLimit, now_ns: u64) {
        self.count(now_ns);
        self.set(limit);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "capped to 64 bits just before"
    )]
    fn set(&mut self, limit: &RateLimit) {
        let interval = (SECOND_NS / limit.per_second).ceil().clamp(1.0, u64::MAX as f64);
        self.interval_ns = interval as u128;
        self.tolerance_ns = self.interval_ns * u128::from(limit.burst.saturating_sub(1));
    }

    /// The first instant, now or later, at which there is a token.
    pub(crate) fn ready_at(&self, now_ns: u64) -> u64 {
        self.ready_ns().max(now_ns)
    }

    fn ready_ns(&self) -> u64 {
        let earliest = self.full_at_ns.saturating_sub(self.tolerance_ns);
        u64::try_from(earliest).unwrap_or(u64::MAX)
    }

    /// How long it had no token, all in all.
    pub(crate) fn empty_ns(&self, now_ns: u64) -> u64 {
        self.empty_ns + self.ready_ns().min(now_ns).saturating_sub(self.counted_ns)
    }

    fn count(&mut self, now_ns: u64) {
        self.empty_ns = self.empty_ns(now_ns);
        self.counted_ns = now_ns;
    }

    /// Takes a token; there must be one.
    pub(crate) fn take(&mut self, now_ns: u64) {
        debug_assert_eq!(self.ready_at(now_ns), now_ns, "a token is taken only when it is there");
        self.count(now_ns);
        self.full_at_ns = self.full_at_ns.max(u128::from(now_ns)) + self.interval_ns;
    }

    /// Puts back a token that was not used.
    pub(crate) fn give_back(&mut self, now_ns: u64) {
        self.count(now_ns);
        self.full_at_ns = self.full_at_ns.saturating_sub(self.interval_ns);
    }
}
