use super::model::{Model, ModelBucket, ModelKind, ModelRun, Said};
use super::{AGING_NS, KINDS, MS, Op, PRICE, RUNS, STAGES, breaker_policy, spec};
use crate::admission::breaker::{Breaker, BreakerSignal};
use crate::admission::{Admission, AdmissionLimits, Decision, Offer, Release};
use crate::money::MicroDollars;
use crate::plan::{Budget, OnExhausted};
use crate::stage::Stage;
use crate::status::RejectReason;

/// The admission and its model, moved together.
pub(super) struct Pair {
    real: Admission,
    model: Model,
    now_ns: u64,
}

impl Pair {
    pub(super) fn new() -> Self {
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

    pub(super) fn open_run(&mut self, run: u32) {
        self.model.open_run(run, self.now_ns);
        let budget = self.model.runs[run as usize].budget.map(|limit| Budget {
            limit: MicroDollars(limit),
            on_exhausted: OnExhausted::SkipCritic,
        });
        self.real.open_run(run, budget, self.now_ns);
    }

    pub(super) fn apply(&mut self, op: Op) {
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
                    self.real.withdraw(&offer, now_ns);
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
    pub(super) fn settle(&mut self, index: usize, signal: u8, extra: u64) {
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

    pub(super) fn release(&mut self, index: usize) {
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
    pub(super) fn reopen_if(&mut self, is_over: bool, run: u32) {
        let is_closed = self.model.runs[run as usize].is_closed;
        assert_eq!(is_over, is_closed && self.model.held_by(run) == 0);
        if is_over {
            self.compare();
            self.open_run(run);
        }
    }

    /// What was granted and never started leaves no trace.
    pub(super) fn take_back(&mut self, index: usize) {
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

    pub(super) fn close_run(&mut self, run: u32) {
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
    pub(super) fn compare(&mut self) {
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
        assert_eq!(self.real.queue.offers().count(), self.model.waiting.len());
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
    pub(super) fn end(mut self) {
        while !self.model.held.is_empty() {
            self.release(0);
            self.compare();
        }
        for run in 0..RUNS {
            self.close_run(run);
            self.compare();
        }
        assert_eq!((self.real.queue_len(), self.real.in_use()), (0, 0));
        assert!(self.real.token_deadlines.is_empty());
        assert!(self.real.tokens.is_empty());
        assert!(self.real.resources().all(|resource| resource.in_use == 0));
    }
}
