//! The admission against a model that keeps plain lists and looks at everything each time.

use std::time::Duration;

use proptest::prelude::*;

use super::breaker::{Breaker, BreakerAnswer, BreakerSignal, BreakerState};
use super::{Admission, AdmissionLimits, Decision, Offer, Permit, Release};
use crate::context::CriticContext;
use crate::finding::CriticOutput;
use crate::money::MicroDollars;
use crate::plan::{Budget, OnExhausted};
use crate::settings::{BreakerPolicy, RateLimit};
use crate::spec::CriticSpec;
use crate::stage::Stage;
use crate::status::RejectReason;

const MS: u64 = 1_000_000;
const AGING_NS: u64 = 20 * MS;
const STAGES: [Stage; 2] = [Stage::FastCritics, Stage::DeepAnalysis];
const RUNS: u32 = 4;
const KINDS: u32 = 4;
const PRICE: MicroDollars = MicroDollars(10);

#[derive(Debug, Clone)]
enum Op {
    Offer { run: u32, critic: u32, priority: u8, waited_ms: u64, patience_ms: u64, costly: bool },
    Settle { which: usize, signal: u8, extra: u64 },
    Release { which: usize },
    TakeBack { which: usize },
    Withdraw { which: usize },
    CloseRun { run: u32 },
    Pass { millis: u64 },
    LimitAll { limit: Option<usize> },
    LimitStage { stage: usize, limit: Option<usize> },
    LimitCritic { kind: u32, limit: Option<usize> },
    Rebind { kind: u32, limit: Option<usize>, interval_ms: Option<u64>, has_breaker: bool },
    Force { forced: Option<bool> },
}

fn op() -> impl Strategy<Value = Op> {
    let limit = || prop::option::of(0_usize..4);
    prop_oneof![
        12 => (0..RUNS, 0..2 * KINDS, 1_u8..=10, 0_u64..90, 0_u64..120, any::<bool>()).prop_map(
            |(run, critic, priority, waited_ms, patience_ms, costly)| Op::Offer {
                run, critic, priority, waited_ms, patience_ms, costly,
            }
        ),
        4 => (any::<usize>(), 0_u8..3, 0_u64..12).prop_map(
            |(which, signal, extra)| Op::Settle { which, signal, extra }
        ),
        6 => any::<usize>().prop_map(|which| Op::Release { which }),
        2 => any::<usize>().prop_map(|which| Op::TakeBack { which }),
        2 => any::<usize>().prop_map(|which| Op::Withdraw { which }),
        1 => (0..RUNS).prop_map(|run| Op::CloseRun { run }),
        6 => (0_u64..60).prop_map(|millis| Op::Pass { millis }),
        1 => limit().prop_map(|limit| Op::LimitAll { limit }),
        1 => (0_usize..2, limit()).prop_map(|(stage, limit)| Op::LimitStage { stage, limit }),
        1 => (0..KINDS, limit()).prop_map(|(kind, limit)| Op::LimitCritic { kind, limit }),
        2 => (0..KINDS, limit(), prop::option::of(1_u64..50), any::<bool>()).prop_map(
            |(kind, limit, interval_ms, has_breaker)| Op::Rebind {
                kind, limit, interval_ms, has_breaker,
            }
        ),
        1 => prop::option::of(any::<bool>()).prop_map(|forced| Op::Force { forced }),
    ]
}

fn breaker_policy() -> BreakerPolicy {
    BreakerPolicy {
        open: Duration::from_millis(40),
        probes: 2,
        successes: 2,
        ..BreakerPolicy::consecutive(2)
    }
}

fn spec(
    kind: u32,
    limit: Option<usize>,
    interval_ms: Option<u64>,
    has_breaker: bool,
) -> CriticSpec {
    let critic = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
    let mut spec = CriticSpec::new(format!("kind-{kind}"), critic);
    spec.concurrency = limit;
    spec.rate_limit =
        interval_ms.map(|millis| RateLimit::per_second(1000.0 / millis as f64).burst(2));
    spec.breaker = has_breaker.then(breaker_policy);
    spec
}

/// A token bucket: when it will be full again, and how long one token takes. Two fit into it.
#[derive(Debug, Clone, Copy)]
struct ModelBucket {
    full_ns: u64,
    interval_ns: u64,
}

impl ModelBucket {
    fn ready_ns(&self, now_ns: u64) -> u64 {
        self.full_ns.saturating_sub(self.interval_ns).max(now_ns)
    }
}

#[derive(Debug, Default)]
struct ModelKind {
    limit: Option<usize>,
    adjusted: Option<Option<usize>>,
    bucket: Option<ModelBucket>,
    breaker: Option<Breaker>,
}

#[derive(Debug, Default)]
struct ModelRun {
    number: u64,
    last_grant_ns: u64,
    budget: Option<u64>,
    spent: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Held {
    offer: Offer,
    /// What the breaker said that let it through, for as long as that breaker is there.
    generation: Option<u64>,
    /// Whether the bucket that its token came from is still there.
    has_token: bool,
    permit: Option<Permit>,
    is_settled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Granted,
    Full,
    Budget,
    Open,
    TooLate,
}

#[derive(Debug)]
struct Model {
    all: Option<usize>,
    stages: [Option<usize>; 2],
    queue: usize,
    kinds: Vec<ModelKind>,
    runs: Vec<ModelRun>,
    next_number: u64,
    waiting: Vec<Offer>,
    held: Vec<Held>,
    said: Vec<(u32, u32, Said)>,
}

impl Model {
    fn stage(critic: u32) -> usize {
        (critic / KINDS) as usize
    }

    fn reserved(&self, run: u32) -> u64 {
        let held = self.held.iter().filter(|held| held.offer.run == run && !held.is_settled);
        held.map(|held| held.offer.estimate.0).sum()
    }

    fn held_by(&self, run: u32) -> usize {
        self.held.iter().filter(|held| held.offer.run == run).count()
    }

    fn effective_priority(&self, offer: &Offer, now_ns: u64) -> u64 {
        let since = offer.arrival_ns.max(self.runs[offer.run as usize].last_grant_ns);
        let aged = now_ns.saturating_sub(since) / AGING_NS;
        u64::from(offer.priority).saturating_sub(aged).max(1)
    }

    fn may_start(&self, offer: &Offer, now_ns: u64) -> bool {
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

    fn say(&mut self, offer: &Offer, said: Said) {
        self.said.push((offer.run, offer.critic, said));
    }

    fn take_out(&mut self, run: u32, critic: u32) {
        self.waiting.retain(|offer| (offer.run, offer.critic) != (run, critic));
    }

    fn send_away(&mut self, which: impl Fn(&Offer) -> bool, said: Said) {
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

    fn change_breaker(&mut self, kind: u32, now_ns: u64, change: impl FnOnce(&mut Breaker)) {
        let Some(breaker) = &mut self.kinds[kind as usize].breaker else { return };
        let before = breaker.state(now_ns);
        change(breaker);
        if before != BreakerState::Open && breaker.state(now_ns) == BreakerState::Open {
            self.send_away(|offer| offer.resource == kind, Said::Open);
        }
    }

    fn refuse_unreachable(&mut self, kind: u32, now_ns: u64) {
        if let Some(bucket) = self.kinds[kind as usize].bucket {
            let token_ns = bucket.ready_ns(now_ns);
            self.send_away(
                |offer| offer.resource == kind && offer.deadline_ns < token_ns,
                Said::TooLate,
            );
        }
    }

    /// Starts whoever may start, the first in order first.
    fn grant(&mut self, now_ns: u64) {
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

    fn offer(&mut self, offer: Offer, now_ns: u64) {
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

    fn open_run(&mut self, run: u32, now_ns: u64) {
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

/// The admission and its model, moved together.
struct Pair {
    real: Admission,
    model: Model,
    now_ns: u64,
}

impl Pair {
    fn new() -> Self {
        let mut stages = [None; Stage::COUNT];
        stages[STAGES[1].index()] = Some(2);
        let mut real = Admission::new(AdmissionLimits {
            global: Some(4),
            stages,
            queue: Some(6),
            detached_blocking: 8,
            aging_ns: AGING_NS,
        });
        let mut model = Model {
            all: Some(4),
            stages: [None, Some(2)],
            queue: 6,
            kinds: Vec::new(),
            runs: (0..RUNS).map(|_| ModelRun::default()).collect(),
            next_number: 0,
            waiting: Vec::new(),
            held: Vec::new(),
            said: Vec::new(),
        };
        for kind in 0..KINDS {
            let (limit, interval_ms) = ((kind == 1).then_some(1), (kind == 2).then_some(30));
            let has_breaker = kind == 3;
            assert_eq!(real.bind(&spec(kind, limit, interval_ms, has_breaker), 0), kind);
            model.kinds.push(ModelKind {
                limit,
                bucket: interval_ms
                    .map(|millis| ModelBucket { full_ns: 0, interval_ns: millis * MS }),
                breaker: has_breaker.then(|| Breaker::new(breaker_policy(), 0)),
                ..ModelKind::default()
            });
        }
        let mut pair = Self { real, model, now_ns: 1000 * MS };
        (0..RUNS).for_each(|run| pair.open_run(run));
        pair
    }

    fn open_run(&mut self, run: u32) {
        self.model.open_run(run, self.now_ns);
        let budget = self.model.runs[run as usize].budget.map(|limit| Budget {
            limit: MicroDollars(limit),
            on_exhausted: OnExhausted::SkipCritic,
        });
        self.real.open_run(run, budget, self.now_ns);
    }

    fn apply(&mut self, op: Op) {
        let now_ns = self.now_ns;
        match op {
            Op::Offer { run, critic, priority, waited_ms, patience_ms, costly } => {
                let waits = |offer: &Offer| (offer.run, offer.critic) == (run, critic);
                if self.model.runs[run as usize].is_closed || self.model.waiting.iter().any(waits) {
                    return;
                }
                let offer = Offer {
                    run,
                    critic,
                    resource: critic % KINDS,
                    stage: STAGES[Model::stage(critic)],
                    priority,
                    arrival_ns: now_ns - waited_ms * MS,
                    deadline_ns: now_ns + patience_ms * MS,
                    estimate: if costly { PRICE } else { MicroDollars::ZERO },
                    is_blocking: false,
                    is_first_attempt: true,
                };
                self.real.offer(offer, now_ns);
                self.model.offer(offer, now_ns);
            }
            Op::Settle { which, signal, extra } => {
                let open: Vec<usize> = (0..self.model.held.len())
                    .filter(|index| !self.model.held[*index].is_settled)
                    .collect();
                if let Some(index) = open.get(which % open.len().max(1)) {
                    self.settle(*index, signal, extra);
                }
            }
            Op::Release { which } => {
                if !self.model.held.is_empty() {
                    self.release(which % self.model.held.len());
                }
            }
            Op::TakeBack { which } => {
                let open: Vec<usize> = (0..self.model.held.len())
                    .filter(|index| !self.model.held[*index].is_settled)
                    .collect();
                if let Some(index) = open.get(which % open.len().max(1)) {
                    self.take_back(*index);
                }
            }
            Op::Withdraw { which } => {
                if !self.model.waiting.is_empty() {
                    let index = which % self.model.waiting.len();
                    let offer = self.model.waiting.remove(index);
                    self.real.withdraw(offer.run, offer.critic, now_ns);
                    self.model.grant(now_ns);
                }
            }
            Op::CloseRun { run } => self.close_run(run),
            Op::Pass { millis } => {
                let end_ns = now_ns + millis * MS;
                while let Some(due_ns) = self.real.next_timer_ns().filter(|due| *due <= end_ns) {
                    self.now_ns = due_ns;
                    self.real.advance(due_ns);
                    self.model.grant(due_ns);
                    self.compare();
                }
                self.now_ns = end_ns;
                // Nothing but a token can come with time alone, and there was a timer for each.
                self.model.grant(end_ns);
            }
            Op::LimitAll { limit } => {
                self.real.set_global_limit(limit, now_ns);
                self.model.all = limit;
                self.model.grant(now_ns);
            }
            Op::LimitStage { stage, limit } => {
                self.real.set_stage_limit(STAGES[stage], limit, now_ns);
                self.model.stages[stage] = limit;
                self.model.grant(now_ns);
            }
            Op::LimitCritic { kind, limit } => {
                assert!(self.real.set_critic_limit(&format!("kind-{kind}"), limit, now_ns));
                self.model.kinds[kind as usize].adjusted = Some(limit);
                self.model.refuse_unreachable(kind, now_ns);
                self.model.grant(now_ns);
            }
            Op::Rebind { kind, limit, interval_ms, has_breaker } => {
                self.real.bind(&spec(kind, limit, interval_ms, has_breaker), now_ns);
                let known = &mut self.model.kinds[kind as usize];
                known.limit = limit;
                let full_ns = known.bucket.map_or(0, |bucket| bucket.full_ns);
                let held = self.model.held.iter_mut().filter(|held| held.offer.resource == kind);
                for held in held {
                    held.has_token &= interval_ms.is_some();
                    held.generation = held.generation.filter(|_| has_breaker);
                }
                known.bucket =
                    interval_ms.map(|millis| ModelBucket { full_ns, interval_ns: millis * MS });
                if has_breaker != known.breaker.is_some() {
                    known.breaker = has_breaker.then(|| Breaker::new(breaker_policy(), 0));
                }
                self.model.refuse_unreachable(kind, now_ns);
                self.model.grant(now_ns);
            }
            Op::Force { forced } => {
                let has_breaker = self.model.kinds[3].breaker.is_some();
                assert_eq!(self.real.force_breaker("kind-3", forced, now_ns), has_breaker);
                self.model.change_breaker(3, now_ns, |breaker| breaker.force(forced));
                self.model.grant(now_ns);
            }
        }
        self.compare();
    }

    /// An attempt may cost more than it was to.
    fn settle(&mut self, index: usize, signal: u8, extra: u64) {
        let now_ns = self.now_ns;
        let signal = [BreakerSignal::Success, BreakerSignal::Failure, BreakerSignal::Neutral]
            [usize::from(signal)];
        let held = &mut self.model.held[index];
        held.is_settled = true;
        let permit = held.permit.expect("what is held was granted");
        let (offer, generation) = (held.offer, held.generation);
        let cost = offer.estimate + MicroDollars(extra);
        self.real.settle(&permit, cost, signal, now_ns);
        self.model.runs[offer.run as usize].spent += cost.0;
        if let Some(generation) = generation {
            self.model.change_breaker(offer.resource, now_ns, |breaker| {
                breaker.end(generation, signal, now_ns)
            });
        }
        self.model.grant(now_ns);
    }

    fn release(&mut self, index: usize) {
        if !self.model.held[index].is_settled {
            self.settle(index, 2, 0);
            self.compare();
        }
        let held = self.model.held.remove(index);
        let permit = held.permit.expect("what is held was granted");
        let is_over = self.real.release(&Release { permit, was_detached: false }, self.now_ns);
        self.model.grant(self.now_ns);
        self.reopen_if(is_over, held.offer.run);
    }

    /// A run that holds nothing any more after its end gives its place to another.
    fn reopen_if(&mut self, is_over: bool, run: u32) {
        let is_closed = self.model.runs[run as usize].is_closed;
        assert_eq!(is_over, is_closed && self.model.held_by(run) == 0);
        if is_over {
            self.compare();
            self.open_run(run);
        }
    }

    /// What was granted and never started leaves no trace.
    fn take_back(&mut self, index: usize) {
        let now_ns = self.now_ns;
        let held = &mut self.model.held[index];
        held.is_settled = true;
        let permit = held.permit.expect("what is held was granted");
        let (offer, generation) = (held.offer, held.generation);
        if let Some(generation) = generation {
            self.model.change_breaker(offer.resource, now_ns, |breaker| {
                breaker.end(generation, BreakerSignal::Neutral, now_ns)
            });
        }
        self.model.grant(now_ns);
        let held = self.model.held.remove(index);
        if held.has_token
            && let Some(bucket) = &mut self.model.kinds[offer.resource as usize].bucket
        {
            bucket.full_ns = bucket.full_ns.saturating_sub(bucket.interval_ns);
        }
        let is_over = self.real.take_back(&permit, now_ns);
        self.model.grant(now_ns);
        self.reopen_if(is_over, offer.run);
    }

    fn close_run(&mut self, run: u32) {
        if self.model.runs[run as usize].is_closed {
            return;
        }
        self.model.waiting.retain(|offer| offer.run != run);
        self.model.runs[run as usize].is_closed = true;
        let is_over = self.real.close_run(run, self.now_ns);
        assert_eq!(is_over, self.model.held_by(run) == 0);
        if is_over {
            self.open_run(run);
        }
    }

    /// Both said the same, hold the same and wait alike.
    fn compare(&mut self) {
        let mut said = Vec::new();
        for decided in std::mem::take(&mut self.real.decided) {
            let what = match decided.decision {
                Decision::Granted(permit) => {
                    let held = self.model.held.iter_mut().find(|held| {
                        (held.offer.run, held.offer.critic) == (decided.run, decided.critic)
                            && held.permit.is_none()
                    });
                    if let Some(held) = held {
                        assert_eq!(held.generation.is_some(), permit.breaker_generation.is_some());
                        held.permit = Some(permit);
                    }
                    Said::Granted
                }
                Decision::Rejected(RejectReason::QueueFull) => Said::Full,
                Decision::Rejected(RejectReason::Budget) => Said::Budget,
                Decision::Rejected(reason) => panic!("nobody is rejected for {reason:?} here"),
                Decision::CircuitOpen { .. } => Said::Open,
                Decision::TokenTooLate => Said::TooLate,
            };
            said.push((decided.run, decided.critic, what));
        }
        assert_eq!(said, std::mem::take(&mut self.model.said), "at {} ms", self.now_ns / MS);
        assert_eq!(self.real.queue_len(), self.model.waiting.len());
        assert_eq!(self.real.offers.len(), self.model.waiting.len());
        assert_eq!(self.real.in_use(), self.model.held.len());
        let waits_for_tokens = |kind: u32| {
            self.model.kinds[kind as usize].bucket.is_some()
                && self.model.waiting.iter().any(|offer| offer.resource == kind)
        };
        if !(0..KINDS).any(waits_for_tokens) {
            assert_eq!(self.real.next_timer_ns(), None, "nobody waits for a token");
        }
        let probes: u32 = self
            .real
            .resources()
            .filter_map(|r| r.breaker.as_ref())
            .map(|breaker| breaker.outstanding_probes())
            .sum();
        assert!(probes <= KINDS * breaker_policy().probes);
    }

    /// Ends everything and looks for what is left.
    fn end(mut self) {
        while !self.model.held.is_empty() {
            self.release(0);
            self.compare();
        }
        for run in 0..RUNS {
            self.close_run(run);
            self.compare();
        }
        assert_eq!((self.real.queue_len(), self.real.in_use()), (0, 0));
        assert!(self.real.offers.is_empty() && self.real.token_deadlines.is_empty());
        assert!(self.real.tokens.is_empty());
        assert!(self.real.resources().all(|resource| resource.in_use == 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Verifies: CRIT-302, CRIT-085, CRIT-087, CRIT-101, CRIT-102, CRIT-107, CRIT-110, CRIT-202
    #[test]
    fn admission_does_what_a_plain_list_would(ops in prop::collection::vec(op(), 1..150)) {
        let mut pair = Pair::new();
        for op in ops {
            pair.apply(op);
        }
        pair.end();
    }
}

/// A breaker that remembers each attempt it let through, and at which change of its state.
#[derive(Debug, Default)]
struct ModelBreaker {
    /// Until when it is open, since its last failure that counted; `None` is closed.
    open_until_ns: Option<u64>,
    is_probing: bool,
    failures_in_a_row: u32,
    successes: u32,
    changes: u64,
    /// Attempts under way: the generation to hand back, and the change they were let through at.
    under_way: Vec<(u64, u64)>,
}

impl ModelBreaker {
    fn probes(&self) -> usize {
        self.under_way.iter().filter(|(_, change)| *change == self.changes).count()
    }

    fn passes(&self, now_ns: u64) -> bool {
        match (self.open_until_ns, self.is_probing) {
            (None, _) => true,
            (Some(_), true) => self.probes() < breaker_policy().probes as usize,
            (Some(until_ns), false) => until_ns <= now_ns,
        }
    }

    fn admit(&mut self, generation: u64) {
        if self.open_until_ns.is_some() && !self.is_probing {
            self.is_probing = true;
            self.successes = 0;
            self.changes += 1;
        }
        self.under_way.push((generation, self.changes));
    }

    fn end(&mut self, index: usize, signal: BreakerSignal, now_ns: u64) -> u64 {
        let (generation, change) = self.under_way.remove(index);
        if change != self.changes {
            return generation;
        }
        match signal {
            BreakerSignal::Neutral => {}
            BreakerSignal::Success if self.is_probing => {
                self.successes += 1;
                if self.successes == breaker_policy().successes {
                    self.open_until_ns = None;
                    self.is_probing = false;
                    self.failures_in_a_row = 0;
                    self.changes += 1;
                }
            }
            BreakerSignal::Success => self.failures_in_a_row = 0,
            BreakerSignal::Failure => {
                self.failures_in_a_row += 1;
                if self.is_probing || self.failures_in_a_row == 2 {
                    self.open_until_ns = Some(now_ns + 40 * MS);
                    self.is_probing = false;
                    self.failures_in_a_row = 0;
                    self.changes += 1;
                }
            }
        }
        generation
    }
}

proptest! {
    /// Verifies: CRIT-302, CRIT-143
    #[test]
    fn a_breaker_does_what_its_attempts_say_and_never_sticks(
        ops in prop::collection::vec((0_u8..8, any::<usize>(), 0_u64..50), 1..200),
    ) {
        let (mut real, mut model) = (Breaker::new(breaker_policy(), 0), ModelBreaker::default());
        let signals = [BreakerSignal::Success, BreakerSignal::Failure, BreakerSignal::Neutral];
        let mut now_ns = 0;
        for (what, which, millis) in ops {
            match what {
                0..=3 => match real.admit(now_ns) {
                    BreakerAnswer::Pass { generation } => {
                        assert!(model.passes(now_ns));
                        model.admit(generation);
                    }
                    BreakerAnswer::Open { .. } => assert!(!model.passes(now_ns)),
                },
                4..=6 if !model.under_way.is_empty() => {
                    let signal = signals[usize::from(what - 4)];
                    let generation = model.end(which % model.under_way.len(), signal, now_ns);
                    real.end(generation, signal, now_ns);
                }
                _ => now_ns += millis * MS,
            }
            let probes = if model.is_probing { model.probes() } else { 0 };
            assert_eq!(real.outstanding_probes() as usize, probes);
            assert!(probes <= breaker_policy().probes as usize);
        }
        while !model.under_way.is_empty() {
            let generation = model.end(0, BreakerSignal::Neutral, now_ns);
            real.end(generation, BreakerSignal::Neutral, now_ns);
        }
        let passes = matches!(real.admit(now_ns + 40 * MS), BreakerAnswer::Pass { .. });
        assert!(passes, "it is stuck");
    }
}
