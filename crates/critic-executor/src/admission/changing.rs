//! Limits and breakers that change, by a new plan or by hand.

use std::sync::Arc;

use super::breaker::{Breaker, BreakerAnswer, BreakerState};
use super::offer::{Decision, Offer};
use super::resource::Resource;
use super::{Admission, ResourceId};
use crate::spec::CriticSpec;
use crate::stage::Stage;

/// A breaker that changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BreakerChange {
    pub(crate) critic: Arc<str>,
    pub(crate) from: BreakerState,
    pub(crate) to: BreakerState,
}

impl Admission {
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

    /// Changes the limits of a critic, whose waiters may have to wait in another column after that.
    fn change_limits(&mut self, id: ResourceId, now_ns: u64, change: impl FnOnce(&mut Resource)) {
        let mut offers: Vec<Offer> =
            self.queue.offers().filter(|offer| offer.resource == id).copied().collect();
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

    /// Changes a breaker, tells about a change of state, and sends its waiters away if it is open now.
    pub(super) fn change_breaker(
        &mut self,
        id: ResourceId,
        now_ns: u64,
        change: impl FnOnce(&mut Breaker),
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
                self.queue.offers().filter(|offer| offer.resource == id).copied().collect();
            sent_away.sort_unstable_by_key(|offer| (offer.arrival_ns, offer.critic, offer.run));
            for offer in sent_away {
                let waiter = self.waiter(&offer, now_ns);
                self.take_out(&waiter, now_ns);
                self.decide(offer.run, offer.critic, Decision::CircuitOpen { retry_at_ns });
            }
        }
    }
}
