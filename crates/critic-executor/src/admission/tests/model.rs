//! The admission as plain lists that are looked at as a whole each time.

use super::{AGING_NS, KINDS};
use crate::admission::breaker::{Breaker, BreakerAnswer, BreakerState};
use crate::admission::{Offer, Permit};

/// A token bucket: when it will be full again, and how long one token takes. Two fit into it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModelBucket {
    pub(super) full_ns: u64,
    pub(super) interval_ns: u64,
}

impl ModelBucket {
    pub(super) fn ready_ns(&self, now_ns: u64) -> u64 {
        self.full_ns.saturating_sub(self.interval_ns).max(now_ns)
    }
}

#[derive(Debug, Default)]
pub(super) struct ModelKind {
    pub(super) limit: Option<usize>,
    pub(super) adjusted: Option<Option<usize>>,
    pub(super) bucket: Option<ModelBucket>,
    pub(super) breaker: Option<Breaker>,
}

#[derive(Debug, Default)]
pub(super) struct ModelRun {
    pub(super) number: u64,
    pub(super) last_grant_ns: u64,
    pub(super) budget: Option<u64>,
    pub(super) spent: u64,
    pub(super) is_closed: bool,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) offer: Offer,
    /// What the breaker said that let it through, for as long as that breaker is there.
    pub(super) generation: Option<u64>,
    /// Whether the bucket that its token came from is still there.
    pub(super) has_token: bool,
    pub(super) permit: Option<Permit>,
    pub(super) is_settled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Granted,
    Full,
    Budget,
    Open,
    TooLate,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) all: Option<usize>,
    pub(super) stages: [Option<usize>; 2],
    pub(super) queue: usize,
    pub(super) kinds: Vec<ModelKind>,
    pub(super) runs: Vec<ModelRun>,
    pub(super) next_number: u64,
    pub(super) waiting: Vec<Offer>,
    pub(super) held: Vec<Held>,
    pub(super) said: Vec<(u32, u32, Said)>,
}

impl Model {
    pub(super) fn stage(critic: u32) -> usize {
        (critic / KINDS) as usize
    }

    pub(super) fn reserved(&self, run: u32) -> u64 {
        let held = self.held.iter().filter(|held| held.offer.run == run && !held.is_settled);
        held.map(|held| held.offer.estimate.0).sum()
    }

    pub(super) fn held_by(&self, run: u32) -> usize {
        self.held.iter().filter(|held| held.offer.run == run).count()
    }

    pub(super) fn effective_priority(&self, offer: &Offer, now_ns: u64) -> u64 {
        let since = offer.arrival_ns.max(self.runs[offer.run as usize].last_grant_ns);
        let aged = now_ns.saturating_sub(since) / AGING_NS;
        u64::from(offer.priority).saturating_sub(aged).max(1)
    }

    pub(super) fn may_start(&self, offer: &Offer, now_ns: u64) -> bool {
        let stage = Self::stage(offer.critic);
        let in_stage =
            self.held.iter().filter(|held| Self::stage(held.offer.critic) == stage).count();
        let kind = &self.kinds[offer.resource as usize];
        let of_kind = self.held.iter().filter(|held| held.offer.resource == offer.resource).count();
        let run = &self.runs[offer.run as usize];
        let estimate = offer.estimate.0;
        let waits_for_reservations = estimate > 0
            && run.budget.is_some_and(|budget| {
                run.spent + estimate <= budget
                    && run.spent + self.reserved(offer.run) + estimate > budget
            });
        self.all.is_none_or(|limit| self.held.len() < limit)
            && self.stages[stage].is_none_or(|limit| in_stage < limit)
            && kind.adjusted.unwrap_or(kind.limit).is_none_or(|limit| of_kind < limit)
            && kind.bucket.is_none_or(|bucket| bucket.ready_ns(now_ns) <= now_ns)
            && !waits_for_reservations
    }

    pub(super) fn say(&mut self, offer: &Offer, said: Said) {
        self.said.push((offer.run, offer.critic, said));
    }

    pub(super) fn take_out(&mut self, run: u32, critic: u32) {
        self.waiting.retain(|offer| (offer.run, offer.critic) != (run, critic));
    }

    pub(super) fn send_away(&mut self, which: impl Fn(&Offer) -> bool, said: Said) {
        let mut gone: Vec<Offer> = self.waiting.iter().copied().filter(|o| which(o)).collect();
        match said {
            Said::TooLate => gone.sort_by_key(|offer| (offer.deadline_ns, offer.run, offer.critic)),
            _ => gone.sort_by_key(|offer| (offer.arrival_ns, offer.critic, offer.run)),
        }
        for offer in gone {
            self.take_out(offer.run, offer.critic);
            self.say(&offer, said);
        }
    }

    pub(super) fn change_breaker(
        &mut self,
        kind: u32,
        now_ns: u64,
        change: impl FnOnce(&mut Breaker),
    ) {
        let Some(breaker) = &mut self.kinds[kind as usize].breaker else { return };
        let before = breaker.state(now_ns);
        change(breaker);
        if before != BreakerState::Open && breaker.state(now_ns) == BreakerState::Open {
            self.send_away(|offer| offer.resource == kind, Said::Open);
        }
    }

    pub(super) fn refuse_unreachable(&mut self, kind: u32, now_ns: u64) {
        if let Some(bucket) = self.kinds[kind as usize].bucket {
            let token_ns = bucket.ready_ns(now_ns);
            self.send_away(
                |offer| offer.resource == kind && offer.deadline_ns < token_ns,
                Said::TooLate,
            );
        }
    }

    /// Starts whoever may start, the first in order first.
    pub(super) fn grant(&mut self, now_ns: u64) {
        while let Some(offer) = self
            .waiting
            .iter()
            .filter(|offer| self.may_start(offer, now_ns))
            .min_by_key(|offer| {
                (
                    self.effective_priority(offer, now_ns),
                    self.held_by(offer.run),
                    offer.arrival_ns,
                    offer.critic,
                    self.runs[offer.run as usize].number,
                )
            })
            .copied()
        {
            self.take_out(offer.run, offer.critic);
            let run = &self.runs[offer.run as usize];
            if run.budget.is_some_and(|budget| run.spent + offer.estimate.0 > budget) {
                self.say(&offer, Said::Budget);
                continue;
            }
            let mut generation = None;
            if let Some(breaker) = &mut self.kinds[offer.resource as usize].breaker {
                match breaker.admit(now_ns) {
                    BreakerAnswer::Pass { generation: passed } => generation = Some(passed),
                    BreakerAnswer::Open { .. } => {
                        self.say(&offer, Said::Open);
                        continue;
                    }
                }
            }
            let bucket = self.kinds[offer.resource as usize].bucket.as_mut();
            let has_token = bucket.is_some();
            if let Some(bucket) = bucket {
                bucket.full_ns = bucket.full_ns.max(now_ns) + bucket.interval_ns;
            }
            self.held.push(Held { offer, generation, has_token, permit: None, is_settled: false });
            self.runs[offer.run as usize].last_grant_ns = now_ns;
            self.refuse_unreachable(offer.resource, now_ns);
            self.say(&offer, Said::Granted);
        }
    }

    pub(super) fn offer(&mut self, offer: Offer, now_ns: u64) {
        let kind = &self.kinds[offer.resource as usize];
        let is_open = kind
            .breaker
            .as_ref()
            .is_some_and(|b| matches!(b.peek(now_ns), BreakerAnswer::Open { .. }));
        if is_open {
            return self.say(&offer, Said::Open);
        }
        if kind.bucket.is_some_and(|bucket| bucket.ready_ns(now_ns) > offer.deadline_ns) {
            return self.say(&offer, Said::TooLate);
        }
        self.waiting.push(offer);
        self.grant(now_ns);
        if self.waiting.len() > self.queue {
            let worst = self.waiting.iter().max_by_key(|offer| {
                let number = self.runs[offer.run as usize].number;
                (self.effective_priority(offer, now_ns), offer.arrival_ns, offer.critic, number)
            });
            let worst = *worst.expect("somebody waits");
            self.take_out(worst.run, worst.critic);
            self.say(&worst, Said::Full);
            self.grant(now_ns);
        }
    }

    pub(super) fn open_run(&mut self, run: u32, now_ns: u64) {
        let budget = run.is_multiple_of(2).then_some(35);
        self.runs[run as usize] = ModelRun {
            number: self.next_number,
            last_grant_ns: now_ns,
            budget,
            ..ModelRun::default()
        };
        self.next_number += 1;
    }
}
