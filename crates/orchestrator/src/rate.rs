use std::{
    num::NonZeroU32,
    sync::{Arc, RwLock},
    time::Duration,
};

use governor::{Quota, RateLimiter, middleware::NoOpMiddleware, state::keyed::HashMapStateStore};

use crate::Clock;

/// Clients whose buckets are remembered at most. Beyond them, clients that were not seen lately share one.
const CLIENTS_MAX: usize = 10_000;

/// The bucket of all clients beyond the most that are remembered; no client is named like that.
const OTHERS: &str = "";

/// How much each client may hand in (ORCH-034).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    /// Tasks; no limit where this is `None`.
    pub requests: Option<Bucket>,
    /// Tokens of prompts; no limit where this is `None`. A prompt larger than the burst takes all of it.
    pub prompt_tokens: Option<Bucket>,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// What comes in, a second.
    pub per_second: NonZeroU32,
    /// What it holds when full.
    pub burst: NonZeroU32,
}

/// The buckets of all clients.
pub(crate) struct Rates {
    clock: BootClock,
    limiters: RwLock<Limiters>,
}

#[derive(Default)]
struct Limiters {
    requests: Option<Limiter>,
    prompt_tokens: Option<Limiter>,
}

impl Rates {
    pub(crate) fn new(limits: RateLimits, clock: Arc<dyn Clock>) -> Self {
        let rates = Self { clock: BootClock(clock), limiters: RwLock::default() };
        rates.set(limits);
        rates
    }

    /// Lets other limits hold; all buckets are full again.
    pub(crate) fn set(&self, limits: RateLimits) {
        let limiter = |bucket: Option<Bucket>| bucket.map(|it| Limiter::new(it, &self.clock));
        let limiters = Limiters {
            requests: limiter(limits.requests),
            prompt_tokens: limiter(limits.prompt_tokens),
        };
        *self.limiters.write().expect("no holder panics") = limiters;
    }

    /// Takes one request with this many tokens out of the client's buckets.
    ///
    /// # Errors
    /// After how many milliseconds there will be enough in them. A prompt that has to wait has been counted as
    /// a request.
    pub(crate) fn take(&self, client: &Arc<str>, prompt_tokens: u64) -> Result<(), u64> {
        let limiters = self.limiters.read().expect("no holder panics");
        if let Some(requests) = &limiters.requests {
            requests.take(client, 1)?;
        }
        match &limiters.prompt_tokens {
            Some(tokens) => tokens.take(client, prompt_tokens),
            None => Ok(()),
        }
    }
}

struct Limiter {
    burst: NonZeroU32,
    buckets:
        RateLimiter<Arc<str>, HashMapStateStore<Arc<str>>, BootClock, NoOpMiddleware<Duration>>,
    clock: BootClock,
}

impl Limiter {
    fn new(bucket: Bucket, clock: &BootClock) -> Self {
        let quota = Quota::per_second(bucket.per_second).allow_burst(bucket.burst);
        let buckets = RateLimiter::hashmap_with_clock(quota, clock.clone());
        Self { burst: bucket.burst, buckets, clock: clock.clone() }
    }

    fn take(&self, client: &Arc<str>, count: u64) -> Result<(), u64> {
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(self.burst.get());
        let Some(count) = NonZeroU32::new(count) else { return Ok(()) };
        if self.buckets.len() >= CLIENTS_MAX {
            self.buckets.retain_recent(); // a full bucket needs not be remembered
        }
        let shared;
        let client = if self.buckets.len() >= CLIENTS_MAX {
            shared = Arc::from(OTHERS);
            &shared
        } else {
            client
        };
        let taken = self.buckets.check_key_n(client, count);
        let Ok(taken) = taken else { return Ok(()) }; // more than the burst is never asked for
        taken.map_err(|not_until| {
            let now = governor::clock::Clock::now(&self.clock);
            let wait = not_until.wait_time_from(now);
            u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
        })
    }
}

/// The orchestrator's clock as the buckets read it.
#[derive(Clone)]
struct BootClock(Arc<dyn Clock>);

impl governor::clock::Clock for BootClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.boot_ms())
    }
}
