//! Who may start an attempt, and when. Pure: `(offer | release | time, now) -> decisions`.
//!
//! A global slot, a stage slot, a critic's slot, a token, a breaker's permission and a share of the run's budget
//! are taken together or not at all, so nothing is held while waiting for another. Instants are nanoseconds on the
//! executor's clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

pub(crate) mod breaker;
mod queue;
pub(crate) mod resource;
mod retry_window;
mod running;
#[cfg(test)]
mod tests;
mod token_bucket;

use breaker::{BreakerAnswer, BreakerSignal, BreakerState};
pub(crate) use queue::RunSlot;
use queue::{ColumnId, WaitQueue, Waiter};
use resource::Resource;
use running::{RunningAttempts, RunningEntry, RunningPlace};

use crate::money::MicroDollars;
use crate::plan::Budget;
use crate::spec::CriticSpec;
use crate::stage::Stage;
use crate::status::RejectReason;

/// Place of a critic's shared state.
pub(crate) type ResourceId = u32;

/// A critic that wants to start an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer {
    pub(crate) run: RunSlot,
    pub(crate) critic: u32,
    pub(crate) resource: ResourceId,
    pub(crate) stage: Stage,
    pub(crate) priority: u8,
    pub(crate) arrival_ns: u64,
    /// A token later than this is of no use.
    pub(crate) deadline_ns: u64,
    pub(crate) estimate: MicroDollars,
    pub(crate) is_blocking: bool,
    pub(crate) is_first_attempt: bool,
}

/// Everything that an attempt holds. It must come back through [`Admission::release`] exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permit {
    pub(crate) run: RunSlot,
    resource: ResourceId,
    stage: Stage,
    reserved: MicroDollars,
    breaker_generation: Option<u64>,
    /// The bucket that a token was taken from.
    bucket_number: Option<u32>,
    is_first_attempt: bool,
    is_blocking: bool,
    /// How much of its wait there was no token.
    pub(crate) token_wait_ns: u64,
    place: RunningPlace,
}

/// How an attempt that held a permit ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Release {
    pub(crate) permit: Permit,
    /// Whether its status was settled before it ended, and it was counted as detached.
    pub(crate) was_detached: bool,
}

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Granted(Permit),
    Rejected(RejectReason),
    CircuitOpen {
        retry_at_ns: u64,
    },
    /// No token can come before the deadline.
    TokenTooLate,
}

/// How many permits are in use, and how many may be.
pub(crate) type PermitCounts = (usize, Option<usize>);

/// A decision and whom it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) run: RunSlot,
    pub(crate) critic: u32,
    pub(crate) decision: Decision,
}

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

/// A breaker that changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BreakerChange {
    pub(crate) critic: Arc<str>,
    pub(crate) from: BreakerState,
    pub(crate) to: BreakerState,
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
    offers: HashMap<(RunSlot, u32), Offer, PlaceHashing>,
    /// When critics whose waiters wait for tokens get one.
    tokens: BTreeSet<(u64, ResourceId)>,
    /// Waiters for tokens by their deadlines, for those that a token cannot reach any more; and how long the bucket
    /// had been without a token when they came.
    token_deadlines: BTreeMap<(ResourceId, u64, RunSlot, u32), u64>,
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
            offers: HashMap::default(),
            tokens: BTreeSet::new(),
            token_deadlines: BTreeMap::new(),
            decided: Vec::new(),
            breaker_changes: Vec::new(),
        }
    }

    /// Finds or makes the shared state of a critic, for one more plan that names it.
    pub(crate) fn bind(&mut self, spec: &CriticSpec, now_ns: u64) -> ResourceId {
        let known = self.resource_names.get(&spec.name).copied();
        let id = match known {
            Some(id) => {
                self.change_limits(id, now_ns, |resource| resource.change(spec, now_ns));
                id
            }
            None => {
                let resource = Resource::new(spec);
                let id = match self.free_resources.pop() {
                    Some(id) => {
                        self.resources[id as usize] = resource;
                        id
                    }
                    None => {
                        self.resources.push(resource);
                        u32::try_from(self.resources.len() - 1)
                            .expect("there are fewer names than bytes of memory")
                    }
                };
                self.resource_names.insert(Arc::clone(&spec.name), id);
                id
            }
        };
        self.resources[id as usize].plans += 1;
        id
    }

    /// Forgets a plan's interest in a critic, and the critic with its last plan. Only for plans without runs.
    pub(crate) fn unbind(&mut self, id: ResourceId) {
        let resource = &mut self.resources[id as usize];
        resource.plans = resource.plans.saturating_sub(1);
        let is_adjusted = resource.adjusted_limit.is_some();
        if resource.plans > 0 || resource.in_use > 0 || is_adjusted {
            return;
        }
        if let Some(timer) = resource.timer_ns.take() {
            self.tokens.remove(&(timer, id));
        }
        for column in resource.columns.iter_mut().filter_map(Option::take) {
            self.column_resources.remove(&column);
            self.free_columns.push(column);
        }
        self.resource_names.remove(&resource.name);
        self.free_resources.push(id);
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

    /// Takes a waiter out of the queue, if it is there.
    pub(crate) fn withdraw(&mut self, run: RunSlot, critic: u32, now_ns: u64) {
        if let Some(offer) = self.offers.get(&(run, critic)).copied() {
            let waiter = self.waiter(&offer, now_ns);
            self.take_out(&waiter, now_ns);
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

    pub(crate) fn set_global_limit(&mut self, limit: Option<usize>, now_ns: u64) {
        self.limits.global = limit;
        self.grant_all(now_ns);
    }

    pub(crate) fn set_stage_limit(&mut self, stage: Stage, limit: Option<usize>, now_ns: u64) {
        self.limits.stages[stage.index()] = limit;
        self.open_stage(stage, now_ns);
        self.grant_all(now_ns);
    }

    /// False if no plan names the critic.
    pub(crate) fn set_critic_limit(
        &mut self,
        name: &str,
        limit: Option<usize>,
        now_ns: u64,
    ) -> bool {
        let Some(id) = self.resource_names.get(name).copied() else { return false };
        self.change_limits(id, now_ns, |resource| resource.adjusted_limit = Some(limit));
        true
    }

    /// Holds a breaker open or closed, or lets it decide again. False if no plan gives the critic a breaker.
    pub(crate) fn force_breaker(&mut self, name: &str, forced: Option<bool>, now_ns: u64) -> bool {
        let Some(id) = self.resource_names.get(name).copied() else { return false };
        let has_breaker = self.resources[id as usize].breaker.is_some();
        self.change_breaker(id, now_ns, |breaker| breaker.force(forced));
        self.grant_all(now_ns);
        has_breaker
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

    /// What can be said without waiting: the breaker is open, or a token cannot come in time.
    fn refuse_at_once(&mut self, offer: &Offer, now_ns: u64) -> Option<Decision> {
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

    fn waiter(&mut self, offer: &Offer, now_ns: u64) -> Waiter {
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

    fn enqueue(&mut self, offer: Offer, now_ns: u64) {
        let waiter = self.waiter(&offer, now_ns);
        self.offers.insert((offer.run, offer.critic), offer);
        self.queue.push(&waiter);
        if let Some(bucket) = &self.resources[offer.resource as usize].bucket {
            let empty_ns = bucket.empty_ns(now_ns);
            self.token_deadlines.insert(token_wait(&offer), empty_ns);
            // Tokens that came while nobody waited have told nobody.
            self.open_columns(offer.resource, now_ns);
        }
    }

    fn take_out(&mut self, waiter: &Waiter, now_ns: u64) {
        self.queue.remove(waiter);
        if let Some(offer) = self.offers.remove(&(waiter.run, waiter.critic)) {
            self.forget_token_wait(&offer, now_ns);
        }
    }

    fn forget_token_wait(&mut self, offer: &Offer, now_ns: u64) {
        if self.resources[offer.resource as usize].bucket.is_some() {
            self.token_deadlines.remove(&token_wait(offer));
            self.watch_tokens(offer.resource, now_ns);
        }
    }

    /// Opens or shuts a stage by its limit.
    fn open_stage(&mut self, stage: Stage, now_ns: u64) {
        let is_open = self.limits.stages[stage.index()]
            .is_none_or(|limit| self.stage_in_use[stage.index()] < limit);
        self.queue.set_stage_open(stage, is_open, now_ns);
    }

    /// Opens or shuts the columns of a critic by its limits.
    fn open_columns(&mut self, id: ResourceId, now_ns: u64) {
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

    /// Changes the limits of a critic, whose waiters may have to wait in another column after that.
    fn change_limits(&mut self, id: ResourceId, now_ns: u64, change: impl FnOnce(&mut Resource)) {
        let mut offers: Vec<Offer> =
            self.offers.values().filter(|offer| offer.resource == id).copied().collect();
        offers.sort_unstable_by_key(|offer| (offer.arrival_ns, offer.critic, offer.run));
        for offer in &offers {
            let waiter = self.waiter(offer, now_ns);
            self.take_out(&waiter, now_ns);
        }
        change(&mut self.resources[id as usize]);
        for offer in offers {
            self.enqueue(offer, now_ns);
        }
        self.open_columns(id, now_ns);
        if self.resources[id as usize].bucket.is_some() {
            self.refuse_unreachable(id, now_ns);
        }
        self.grant_all(now_ns);
    }

    /// Grants permits for as long as there are some and somebody can use one.
    fn grant_all(&mut self, now_ns: u64) {
        while self.limits.global.is_none_or(|limit| self.in_use < limit) {
            let Some(waiter) = self.queue.first(now_ns) else { return };
            self.try_grant(&waiter, now_ns);
        }
    }

    /// Whether nothing but its breaker and its run's budget could keep an offer from starting. With a rate limit
    /// it has to ask the queue, because a token may have come for somebody who does not know of it yet.
    fn may_start_now(&self, offer: &Offer) -> bool {
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
        match self.offers.get(&(waiter.run, waiter.critic)).copied() {
            Some(offer) => self.try_start(&offer, Some(waiter), now_ns),
            None => self.queue.remove(waiter),
        }
    }

    /// Grants a permit to an offer that nothing stops but its budget and its breaker, which may have it wait or
    /// send it away. It may be in the queue or not.
    fn try_start(&mut self, offer: &Offer, waiter: Option<&Waiter>, now_ns: u64) {
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
            Some(waiter) => {
                self.queue.grant(waiter, now_ns);
                self.offers.remove(&(offer.run, offer.critic));
            }
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
            let empty_ns = self.token_deadlines.remove(&token_wait(offer));
            token_wait_ns = empty_ns.map_or(0, |before| bucket.empty_ns(now_ns) - before);
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

    /// Everybody whose deadline is before the next token gives up now.
    fn refuse_unreachable(&mut self, id: ResourceId, now_ns: u64) {
        let token_at_ns = self.resources[id as usize].token_at(now_ns);
        while let Some((&(_, _, run, critic), _)) =
            self.token_deadlines.range((id, 0, 0, 0)..(id, token_at_ns, 0, 0)).next()
        {
            let Some(offer) = self.offers.get(&(run, critic)).copied() else { return };
            let waiter = self.waiter(&offer, now_ns);
            self.take_out(&waiter, now_ns);
            self.decide(run, critic, Decision::TokenTooLate);
        }
    }

    /// Changes a breaker, tells about a change of state, and sends its waiters away if it is open now.
    fn change_breaker(
        &mut self,
        id: ResourceId,
        now_ns: u64,
        change: impl FnOnce(&mut breaker::Breaker),
    ) {
        let resource = &mut self.resources[id as usize];
        let Some(breaker) = &mut resource.breaker else { return };
        let from = breaker.state(now_ns);
        let generation_before = breaker.half_open_since_ns();
        change(breaker);
        let to = breaker.state(now_ns);
        // An open breaker whose time is up counts as half open already; its first probe is what makes it so.
        let was_announced = from == to && generation_before == breaker.half_open_since_ns();
        if !was_announced {
            let from = if from == to { BreakerState::Open } else { from };
            self.breaker_changes.push(BreakerChange {
                critic: Arc::clone(&resource.name),
                from,
                to,
            });
        }
        if to == BreakerState::Open && from != BreakerState::Open {
            let BreakerAnswer::Open { retry_at_ns } = breaker.peek(now_ns) else { return };
            let mut sent_away: Vec<Offer> =
                self.offers.values().filter(|offer| offer.resource == id).copied().collect();
            sent_away.sort_unstable_by_key(|offer| (offer.arrival_ns, offer.critic, offer.run));
            for offer in sent_away {
                let waiter = self.waiter(&offer, now_ns);
                self.take_out(&waiter, now_ns);
                self.decide(offer.run, offer.critic, Decision::CircuitOpen { retry_at_ns });
            }
        }
    }
}

/// Hashing of places, which nobody outside chooses: each is mixed in by one multiplication.
type PlaceHashing = BuildHasherDefault<PlaceHasher>;

#[derive(Default)]
struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, place: u32) {
        // The multiplier of Knuth's multiplicative hashing, 2^64 divided by the golden ratio.
        let mixed = (self.0.rotate_left(29) ^ u64::from(place)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// A waiter's place among those that wait for tokens.
fn token_wait(offer: &Offer) -> (ResourceId, u64, RunSlot, u32) {
    (offer.resource, offer.deadline_ns, offer.run, offer.critic)
}

enum BudgetAnswer {
    Fits,
    Wait,
    Never,
}
