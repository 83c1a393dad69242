use std::sync::Arc;

use super::breaker::Breaker;
use super::retry_window::RetryWindow;
use super::token_bucket::TokenBucket;
use crate::settings::{RateLimit, RateLimitMode};
use crate::spec::CriticSpec;
use crate::stage::Stage;

/// What all critics of one name share over all runs and plans of an executor.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) name: Arc<str>,
    pub(crate) limit: Option<usize>,
    /// A limit set while running, which goes before those of plans.
    pub(crate) adjusted_limit: Option<Option<usize>>,
    pub(crate) in_use: usize,
    pub(crate) rate: Option<RateLimit>,
    pub(crate) bucket: Option<TokenBucket>,
    /// Which bucket this is, so that no token comes back to another than it was taken from.
    pub(crate) bucket_number: u32,
    pub(crate) breaker: Option<Breaker>,
    /// What the next breaker starts with, so that an attempt let through by one never counts in another.
    breaker_generation: u64,
    pub(crate) retries: RetryWindow,
    /// Its column per stage, where it has one.
    pub(crate) columns: [Option<u32>; Stage::COUNT],
    /// How many plans name it.
    pub(crate) plans: usize,
    /// The token instant that is in the timers.
    pub(crate) timer_ns: Option<u64>,
}

impl Resource {
    pub(crate) fn new(spec: &CriticSpec) -> Self {
        Self {
            name: Arc::clone(&spec.name),
            limit: spec.concurrency,
            adjusted_limit: None,
            in_use: 0,
            rate: spec.rate_limit,
            bucket: spec.rate_limit.as_ref().map(TokenBucket::new),
            bucket_number: 0,
            breaker: spec.breaker.map(|policy| Breaker::new(policy, 0)),
            breaker_generation: 0,
            retries: RetryWindow::new(spec.retry_budget),
            columns: [None; Stage::COUNT],
            plans: 0,
            timer_ns: None,
        }
    }

    /// Takes over the settings of a plan that names it. Its counts, tokens and breaker state stay.
    pub(crate) fn change(&mut self, spec: &CriticSpec, now_ns: u64) {
        self.limit = spec.concurrency;
        self.retries.change(spec.retry_budget);
        self.rate = spec.rate_limit;
        match (&mut self.bucket, &spec.rate_limit) {
            (Some(bucket), Some(limit)) => bucket.change(limit, now_ns),
            (bucket, limit) => {
                *bucket = limit.as_ref().map(TokenBucket::new);
                self.bucket_number = self.bucket_number.wrapping_add(1);
            }
        }
        match (&mut self.breaker, spec.breaker) {
            (Some(breaker), Some(policy)) => breaker.change_policy(policy),
            (Some(breaker), None) => {
                self.breaker_generation = breaker.next_generation();
                self.breaker = None;
            }
            (None, Some(policy)) => {
                self.breaker = Some(Breaker::new(policy, self.breaker_generation));
            }
            (None, None) => {}
        }
    }

    pub(crate) fn effective_limit(&self) -> Option<usize> {
        self.adjusted_limit.unwrap_or(self.limit)
    }

    pub(crate) fn has_slot(&self) -> bool {
        self.effective_limit().is_none_or(|limit| self.in_use < limit)
    }

    /// When there is a token, now or later.
    pub(crate) fn token_at(&self, now_ns: u64) -> u64 {
        self.bucket.as_ref().map_or(now_ns, |bucket| bucket.ready_at(now_ns))
    }

    pub(crate) fn rejects_without_token(&self) -> bool {
        self.rate.is_some_and(|limit| limit.mode == RateLimitMode::Reject)
    }

    /// Whether its waiters can be stopped by it, so that they need a column of their own.
    pub(crate) fn is_narrow(&self) -> bool {
        self.effective_limit().is_some() || self.bucket.is_some()
    }
}
