//! Who is granted a permit, and what a permit takes with it.

use super::breaker::BreakerAnswer;
use super::offer::{Decision, Offer};
use super::permit::Permit;
use super::queue::Waiter;
use super::running::RunningEntry;
use super::waiting::token_wait;
use super::{Admission, ResourceId};
use crate::money::MicroDollars;
use crate::status::RejectReason;

impl Admission {
    /// Grants permits for as long as there are some and somebody can use one.
    pub(super) fn grant_all(&mut self, now_ns: u64) {
        while self.limits.global.is_none_or(|limit| self.in_use < limit) {
            let Some(waiter) = self.queue.first(now_ns) else { return };
            self.try_grant(&waiter, now_ns);
        }
    }

    /// Whether nothing but its breaker and its run's budget could keep an offer from starting. With a rate limit
    /// it has to ask the queue, because a token may have come for somebody who does not know of it yet.
    pub(super) fn may_start_now(&self, offer: &Offer) -> bool {
        let resource = &self.resources[offer.resource as usize];
        let stage = offer.stage.index();
        self.limits.global.is_none_or(|limit| self.in_use < limit)
            && self.limits.stages[stage].is_none_or(|limit| self.stage_in_use[stage] < limit)
            && resource.bucket.is_none()
            && resource.has_slot()
            && !matches!(self.budget_allows(offer), BudgetAnswer::Wait)
    }

    /// Grants a permit to the first waiter, or takes it out of the others' way.
    fn try_grant(&mut self, waiter: &Waiter, now_ns: u64) {
        if let Some(offer) = self.queue.offer_of(waiter).copied() {
            self.try_start(&offer, Some(waiter), now_ns);
        }
    }

    /// Grants a permit to an offer that nothing stops but its budget and its breaker, which may have it wait or
    /// send it away. It may be in the queue or not.
    pub(super) fn try_start(&mut self, offer: &Offer, waiter: Option<&Waiter>, now_ns: u64) {
        let refusal = match self.budget_allows(offer) {
            BudgetAnswer::Wait => {
                self.queue.hold_costly(offer.run, true);
                return;
            }
            BudgetAnswer::Never => Some(Decision::Rejected(RejectReason::Budget)),
            BudgetAnswer::Fits
                if offer.is_blocking && self.detached_blocking > self.limits.detached_blocking =>
            {
                Some(Decision::Rejected(RejectReason::BlockingSaturated))
            }
            BudgetAnswer::Fits => None,
        };
        let (refusal, breaker_generation) = match refusal {
            Some(refusal) => (Some(refusal), None),
            None => self.ask_breaker(offer.resource, now_ns),
        };
        if let Some(decision) = refusal {
            if let Some(waiter) = waiter {
                self.take_out(waiter, now_ns);
            }
            self.decide(offer.run, offer.critic, decision);
            return;
        }
        match waiter {
            Some(waiter) => self.queue.grant(waiter, now_ns),
            None => self.queue.granted(offer.run, now_ns),
        }
        let resource = &mut self.resources[offer.resource as usize];
        resource.in_use += 1;
        if offer.is_first_attempt {
            resource.retries.first(now_ns);
        }
        let bucket_number = resource.bucket.as_ref().map(|_| resource.bucket_number);
        let mut token_wait_ns = 0;
        if let Some(bucket) = &mut resource.bucket {
            let waited = self.token_deadlines.remove(&token_wait(offer));
            token_wait_ns = waited.map_or(0, |(_, before)| bucket.empty_ns(now_ns) - before);
            bucket.take(now_ns);
        }
        self.in_use += 1;
        self.stage_in_use[offer.stage.index()] += 1;
        if let Some(account) = self.account(offer.run) {
            account.reserved += offer.estimate;
        }
        if bucket_number.is_some() {
            self.refuse_unreachable(offer.resource, now_ns);
        }
        if self.resources[offer.resource as usize].is_narrow() {
            self.open_columns(offer.resource, now_ns);
        }
        if self.limits.stages[offer.stage.index()].is_some() {
            self.open_stage(offer.stage, now_ns);
        }
        let permit = Permit {
            run: offer.run,
            resource: offer.resource,
            stage: offer.stage,
            reserved: offer.estimate,
            breaker_generation,
            bucket_number,
            is_first_attempt: offer.is_first_attempt,
            is_blocking: offer.is_blocking,
            token_wait_ns,
            place: self.running.add(RunningEntry {
                run: offer.run,
                resource: offer.resource,
                since_ns: now_ns,
            }),
        };
        self.decide(offer.run, offer.critic, Decision::Granted(permit));
    }

    /// Lets an attempt through its breaker, if it has one, or says why not.
    fn ask_breaker(&mut self, id: ResourceId, now_ns: u64) -> (Option<Decision>, Option<u64>) {
        if self.resources[id as usize].breaker.is_none() {
            return (None, None);
        }
        let mut answer = None;
        self.change_breaker(id, now_ns, |breaker| answer = Some(breaker.admit(now_ns)));
        match answer {
            Some(BreakerAnswer::Open { retry_at_ns }) => {
                (Some(Decision::CircuitOpen { retry_at_ns }), None)
            }
            Some(BreakerAnswer::Pass { generation }) => (None, Some(generation)),
            None => (None, None),
        }
    }

    fn budget_allows(&self, offer: &Offer) -> BudgetAnswer {
        let Some(Some(account)) = self.accounts.get(offer.run as usize) else {
            return BudgetAnswer::Fits;
        };
        let Some(budget) = account.budget else { return BudgetAnswer::Fits };
        if account.spent + offer.estimate > budget.limit {
            BudgetAnswer::Never
        } else if offer.estimate > MicroDollars::ZERO
            && account.spent + account.reserved + offer.estimate > budget.limit
        {
            // What costs nothing needs nothing of what is reserved, even if others cost more than they were to.
            BudgetAnswer::Wait
        } else {
            BudgetAnswer::Fits
        }
    }
}

enum BudgetAnswer {
    Fits,
    Wait,
    Never,
}
