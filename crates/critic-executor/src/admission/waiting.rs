//! Waiters in their columns, and what opens and shuts those.

use super::breaker::BreakerAnswer;
use super::offer::{Decision, Offer};
use super::queue::{ColumnId, RunSlot, Waiter};
use super::{Admission, ResourceId};
use crate::money::MicroDollars;
use crate::stage::Stage;
use crate::status::RejectReason;

impl Admission {
    /// What can be said without waiting: the breaker is open, or a token cannot come in time.
    pub(super) fn refuse_at_once(&mut self, offer: &Offer, now_ns: u64) -> Option<Decision> {
        let resource = &self.resources[offer.resource as usize];
        if let Some(breaker) = &resource.breaker
            && let BreakerAnswer::Open { retry_at_ns } = breaker.peek(now_ns)
        {
            return Some(Decision::CircuitOpen { retry_at_ns });
        }
        let token_at_ns = resource.token_at(now_ns);
        if token_at_ns > now_ns && resource.rejects_without_token() {
            return Some(Decision::Rejected(RejectReason::RateLimited));
        }
        (token_at_ns > offer.deadline_ns).then_some(Decision::TokenTooLate)
    }

    pub(super) fn waiter(&mut self, offer: &Offer, now_ns: u64) -> Waiter {
        let has_budget = self.account(offer.run).is_some_and(|account| account.budget.is_some());
        Waiter {
            run: offer.run,
            critic: offer.critic,
            priority: offer.priority,
            arrival_ns: offer.arrival_ns,
            column: self.column(offer.resource, offer.stage, now_ns),
            is_costly: has_budget && offer.estimate > MicroDollars::ZERO,
        }
    }

    fn column(&mut self, id: ResourceId, stage: Stage, now_ns: u64) -> ColumnId {
        let resource = &self.resources[id as usize];
        if !resource.is_narrow() {
            return self.wide_columns[stage.index()];
        }
        if let Some(column) = resource.columns[stage.index()] {
            return column;
        }
        let column = match self.free_columns.pop() {
            Some(column) => {
                self.queue.reuse_column(column, stage);
                column
            }
            None => self.queue.add_column(stage),
        };
        self.resources[id as usize].columns[stage.index()] = Some(column);
        self.column_resources.insert(column, id);
        self.open_columns(id, now_ns);
        column
    }

    pub(super) fn enqueue(&mut self, offer: Offer, now_ns: u64) {
        let waiter = self.waiter(&offer, now_ns);
        self.queue.push(&waiter, offer);
        if let Some(bucket) = &self.resources[offer.resource as usize].bucket {
            let empty_ns = bucket.empty_ns(now_ns);
            self.token_deadlines.insert(token_wait(&offer), (waiter, empty_ns));
            // Tokens that came while nobody waited have told nobody.
            self.open_columns(offer.resource, now_ns);
        }
    }

    /// False if nobody was there.
    pub(super) fn take_out(&mut self, waiter: &Waiter, now_ns: u64) -> bool {
        let Some(offer) = self.queue.remove(waiter) else { return false };
        self.forget_token_wait(&offer, now_ns);
        true
    }

    fn forget_token_wait(&mut self, offer: &Offer, now_ns: u64) {
        if self.resources[offer.resource as usize].bucket.is_some() {
            self.token_deadlines.remove(&token_wait(offer));
            self.watch_tokens(offer.resource, now_ns);
        }
    }

    /// Opens or shuts a stage by its limit.
    pub(super) fn open_stage(&mut self, stage: Stage, now_ns: u64) {
        let is_open = self.limits.stages[stage.index()]
            .is_none_or(|limit| self.stage_in_use[stage.index()] < limit);
        self.queue.set_stage_open(stage, is_open, now_ns);
    }

    /// Opens or shuts the columns of a critic by its limits.
    pub(super) fn open_columns(&mut self, id: ResourceId, now_ns: u64) {
        let resource = &self.resources[id as usize];
        let is_open = resource.has_slot() && resource.token_at(now_ns) <= now_ns;
        for column in resource.columns.into_iter().flatten() {
            self.queue.set_column_open(column, is_open, now_ns);
        }
        self.watch_tokens(id, now_ns);
    }

    /// Keeps a timer for the next token exactly while somebody waits for one.
    fn watch_tokens(&mut self, id: ResourceId, now_ns: u64) {
        let resource = &self.resources[id as usize];
        if resource.bucket.is_none() {
            return;
        }
        let token_at_ns = resource.token_at(now_ns);
        let somebody_waits =
            self.token_deadlines.range((id, 0, 0, 0)..(id + 1, 0, 0, 0)).next().is_some();
        let wanted = (somebody_waits && token_at_ns > now_ns).then_some(token_at_ns);
        let resource = &mut self.resources[id as usize];
        if resource.timer_ns != wanted {
            if let Some(old) = resource.timer_ns {
                self.tokens.remove(&(old, id));
            }
            resource.timer_ns = wanted;
            if let Some(new) = wanted {
                self.tokens.insert((new, id));
            }
        }
    }

    /// Everybody whose deadline is before the next token gives up now.
    pub(super) fn refuse_unreachable(&mut self, id: ResourceId, now_ns: u64) {
        let token_at_ns = self.resources[id as usize].token_at(now_ns);
        while let Some((_, (waiter, _))) =
            self.token_deadlines.range((id, 0, 0, 0)..(id, token_at_ns, 0, 0)).next()
        {
            let waiter = *waiter;
            if !self.take_out(&waiter, now_ns) {
                return;
            }
            self.decide(waiter.run, waiter.critic, Decision::TokenTooLate);
        }
    }
}

/// A waiter's place among those that wait for tokens.
pub(super) fn token_wait(offer: &Offer) -> (ResourceId, u64, RunSlot, u32) {
    (offer.resource, offer.deadline_ns, offer.run, offer.critic)
}
