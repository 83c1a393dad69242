//! Who may start an attempt, and when. Pure: `(offer | release | time, now) -> decisions`.
//!
//! A global slot, a stage slot, a critic's slot, a token, a breaker's permission and a share of the run's budget
//! are taken together or not at all, so nothing is held while waiting for another. Instants are nanoseconds on the
//! executor's clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub(crate) mod breaker;
mod changing;
mod granting;
mod offer;
mod permit;
mod queue;
pub(crate) mod resource;
mod retry_window;
mod running;
#[cfg(test)]
mod tests;
mod token_bucket;
mod waiting;

use breaker::BreakerSignal;
pub(crate) use changing::BreakerChange;
pub(crate) use offer::{Decided, Decision, Offer};
pub(crate) use permit::{Permit, Release};
pub(crate) use queue::RunSlot;
use queue::{ColumnId, WaitQueue, Waiter};
use resource::Resource;
use running::RunningAttempts;

use crate::money::MicroDollars;
use crate::plan::Budget;
use crate::stage::Stage;
use crate::status::RejectReason;

/// Place of a critic's shared state.
pub(crate) type ResourceId = u32;

/// How many permits are in use, and how many may be.
pub(crate) type PermitCounts = (usize, Option<usize>);

/// The limits of an executor. `None` is no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdmissionLimits {
    pub(crate) global: Option<usize>,
    pub(crate) stages: [Option<usize>; Stage::COUNT],
    pub(crate) queue: Option<usize>,
    pub(crate) detached_blocking: usize,
    pub(crate) aging_ns: u64,
}

#[derive(Debug)]
struct RunAccount {
    budget: Option<Budget>,
    spent: MicroDollars,
    reserved: MicroDollars,
    is_closed: bool,
}

/// The admission of an executor.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: AdmissionLimits,
    in_use: usize,
    stage_in_use: [usize; Stage::COUNT],
    detached_blocking: usize,
    queue: WaitQueue,
    /// The column of critics without limits of their own, per stage.
    wide_columns: [ColumnId; Stage::COUNT],
    free_columns: Vec<ColumnId>,
    column_resources: HashMap<ColumnId, ResourceId>,
    resources: Vec<Resource>,
    running: RunningAttempts,
    free_resources: Vec<ResourceId>,
    resource_names: HashMap<Arc<str>, ResourceId>,
    /// By slot.
    accounts: Vec<Option<RunAccount>>,
    /// When critics whose waiters wait for tokens get one.
    tokens: BTreeSet<(u64, ResourceId)>,
    /// Waiters for tokens by their deadlines, for those that a token cannot reach any more; and how long the bucket
    /// had been without a token when they came.
    token_deadlines: BTreeMap<(ResourceId, u64, RunSlot, u32), (Waiter, u64)>,
    /// Decisions since they were last taken.
    pub(crate) decided: Vec<Decided>,
    pub(crate) breaker_changes: Vec<BreakerChange>,
}

impl Admission {
    pub(crate) fn new(limits: AdmissionLimits) -> Self {
        let mut queue = WaitQueue::new(limits.aging_ns);
        let wide_columns = Stage::ALL.map(|stage| queue.add_column(stage));
        Self {
            limits,
            in_use: 0,
            stage_in_use: [0; Stage::COUNT],
            detached_blocking: 0,
            queue,
            wide_columns,
            free_columns: Vec::new(),
            column_resources: HashMap::new(),
            resources: Vec::new(),
            running: RunningAttempts::default(),
            free_resources: Vec::new(),
            resource_names: HashMap::new(),
            accounts: Vec::new(),
            tokens: BTreeSet::new(),
            token_deadlines: BTreeMap::new(),
            decided: Vec::new(),
            breaker_changes: Vec::new(),
        }
    }

    pub(crate) fn open_run(&mut self, run: RunSlot, budget: Option<Budget>, now_ns: u64) {
        self.queue.open_run(run, now_ns);
        let account = RunAccount {
            budget,
            spent: MicroDollars::ZERO,
            reserved: MicroDollars::ZERO,
            is_closed: false,
        };
        let place = run as usize;
        if self.accounts.len() <= place {
            self.accounts.resize_with(place + 1, || None);
        }
        self.accounts[place] = Some(account);
    }

    /// Takes out all waiters of a run that has ended. Returns whether it holds nothing any more; otherwise its
    /// slot is free only after [`Admission::release`] says so.
    pub(crate) fn close_run(&mut self, run: RunSlot, now_ns: u64) -> bool {
        if self.queue.waiting_of(run) > 0 {
            for waiter in self.queue.waiters(Some(run), None) {
                self.take_out(&waiter, now_ns);
            }
        }
        if let Some(account) = self.account(run) {
            account.is_closed = true;
        }
        self.forget_if_over(run)
    }

    /// Lets a critic wait, and decides whatever can be decided now.
    pub(crate) fn offer(&mut self, offer: Offer, now_ns: u64) {
        if let Some(decision) = self.refuse_at_once(&offer, now_ns) {
            self.decide(offer.run, offer.critic, decision);
            return;
        }
        if self.may_start_now(&offer) {
            // Whoever else could start has started already, so nobody is passed over.
            self.try_start(&offer, None, now_ns);
            return;
        }
        self.enqueue(offer, now_ns);
        self.grant_all(now_ns);
        let is_full = self.limits.queue.is_some_and(|limit| self.queue.len() > limit);
        if is_full && let Some(worst) = self.queue.worst(now_ns) {
            self.take_out(&worst, now_ns);
            self.decide(worst.run, worst.critic, Decision::Rejected(RejectReason::QueueFull));
            self.grant_all(now_ns);
        }
    }

    /// Takes a waiter out of the queue, if it is there. Of its offer only what cannot change counts: run, critic,
    /// resource, stage, priority, arrival and estimate.
    pub(crate) fn withdraw(&mut self, offer: &Offer, now_ns: u64) {
        let waiter = self.waiter(offer, now_ns);
        if self.take_out(&waiter, now_ns) {
            self.grant_all(now_ns);
        }
    }

    /// Notes what an attempt cost and what it means for its breaker, at the moment its status is settled.
    pub(crate) fn settle(
        &mut self,
        permit: &Permit,
        cost: MicroDollars,
        signal: BreakerSignal,
        now_ns: u64,
    ) {
        if let Some(Some(account)) = self.accounts.get_mut(permit.run as usize) {
            account.reserved = account.reserved.saturating_sub(permit.reserved);
            account.spent += cost;
            if account.budget.is_some() {
                self.queue.hold_costly(permit.run, false);
            }
        }
        if let Some(generation) = permit.breaker_generation {
            self.change_breaker(permit.resource, now_ns, |breaker| {
                breaker.end(generation, signal, now_ns)
            });
        }
        // What was reserved may be what another waited for, long before the permit comes back.
        self.grant_all(now_ns);
    }

    /// Counts a blocking attempt whose status is settled while its thread goes on.
    pub(crate) fn detach(&mut self, permit: &Permit) {
        if permit.is_blocking {
            self.detached_blocking += 1;
        }
    }

    /// Takes back what a settled attempt held. Returns whether its run is over and its slot free.
    pub(crate) fn release(&mut self, release: &Release, now_ns: u64) -> bool {
        let permit = &release.permit;
        if release.was_detached && permit.is_blocking {
            self.detached_blocking = self.detached_blocking.saturating_sub(1);
        }
        self.running.remove(permit.place);
        self.in_use = self.in_use.saturating_sub(1);
        let stage = permit.stage.index();
        self.stage_in_use[stage] = self.stage_in_use[stage].saturating_sub(1);
        let resource = &mut self.resources[permit.resource as usize];
        resource.in_use = resource.in_use.saturating_sub(1);
        self.queue.released(permit.run);
        self.open_stage(permit.stage, now_ns);
        self.open_columns(permit.resource, now_ns);
        self.grant_all(now_ns);
        self.forget_if_over(permit.run)
    }

    /// Takes back a permit with which nothing was started: as if it had never been granted. Returns whether its
    /// run is over and its slot free.
    pub(crate) fn take_back(&mut self, permit: &Permit, now_ns: u64) -> bool {
        self.settle(permit, MicroDollars::ZERO, BreakerSignal::Neutral, now_ns);
        let resource = &mut self.resources[permit.resource as usize];
        if permit.is_first_attempt {
            resource.retries.take_back_first(now_ns);
        }
        if permit.bucket_number == Some(resource.bucket_number)
            && let Some(bucket) = &mut resource.bucket
        {
            bucket.give_back(now_ns);
        }
        self.release(&Release { permit: *permit, was_detached: false }, now_ns)
    }

    /// Takes a retry out of a critic's budget.
    pub(crate) fn take_retry(&mut self, resource: ResourceId, now_ns: u64) -> bool {
        self.resources[resource as usize].retries.retry(now_ns)
    }

    /// Lets tokens arrive that are due.
    pub(crate) fn advance(&mut self, now_ns: u64) {
        while let Some((due_ns, resource)) = self.tokens.first().copied()
            && due_ns <= now_ns
        {
            self.tokens.remove(&(due_ns, resource));
            self.resources[resource as usize].timer_ns = None;
            self.open_columns(resource, now_ns);
        }
        self.grant_all(now_ns);
    }

    /// When [`Admission::advance`] has something to do.
    pub(crate) fn next_timer_ns(&self) -> Option<u64> {
        self.tokens.first().map(|(due_ns, _)| *due_ns)
    }

    pub(crate) fn queue_len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    pub(crate) fn detached_blocking(&self) -> usize {
        self.detached_blocking
    }

    /// Attempts that hold a permit: run, critic and instant of the grant, in no order.
    pub(crate) fn running(&self) -> impl Iterator<Item = (RunSlot, &Arc<str>, u64)> {
        self.running.iter().map(|entry| {
            let critic = &self.resources[entry.resource as usize].name;
            (entry.run, critic, entry.since_ns)
        })
    }

    /// Permits in use and their limits, over all stages and per stage.
    pub(crate) fn permits(&self) -> (PermitCounts, [PermitCounts; Stage::COUNT]) {
        let of_stage = |index: usize| (self.stage_in_use[index], self.limits.stages[index]);
        ((self.in_use, self.limits.global), std::array::from_fn(of_stage))
    }

    /// The shared state of all critics that plans name.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Resource> {
        let mut ids: Vec<_> = self.resource_names.iter().collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| &self.resources[*id as usize])
    }

    fn decide(&mut self, run: RunSlot, critic: u32, decision: Decision) {
        self.decided.push(Decided { run, critic, decision });
    }

    fn account(&mut self, run: RunSlot) -> Option<&mut RunAccount> {
        self.accounts.get_mut(run as usize)?.as_mut()
    }

    fn forget_if_over(&mut self, run: RunSlot) -> bool {
        let is_over = self.account(run).is_some_and(|account| account.is_closed)
            && self.queue.held_by(run) == 0;
        if is_over {
            self.accounts[run as usize] = None;
            self.queue.close_run(run);
        }
        is_over
    }
}
