//! How far a run has come: who is ready, whose gate is decided, which barriers are open. Pure and iterative: each
//! critic that ends is one call of [`RunState::settle`], which appends [`Step`]s for whoever drives the run.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::evidence::{EvidenceSummary, EvidenceView, Outcome};
use crate::gate::{self, GateDecision, GateInputs};
use crate::input::RunInput;
use crate::plan::{EvidenceSet, ExecutionPlan};
use crate::spec::DependencyKind;
use crate::stage::Stage;
use crate::status::Status;
use crate::ternary::Ternary;

/// What a change of state leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// All earlier stages have ended.
    StageOpened(Stage),
    /// This stage and all earlier ones have ended.
    StageClosed(Stage),
    /// A critic's gate said something.
    GateDecided(u32),
    /// A critic is to be offered for admission.
    Ready(u32),
    /// A critic ended without having been ready: it was gated or skipped.
    Settled(u32),
}

/// How far the gate of a critic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    /// It is in the list of those that wait for evidence.
    Undecided,
    /// It was told to run, or not to.
    Decided,
}

/// How far a run is.
pub(crate) struct RunState {
    plan: ExecutionPlan,
    input: Arc<RunInput>,
    is_gating: bool,
    outcomes: Vec<Option<Outcome>>,
    gates: Vec<Option<GateDecision>>,
    /// Gates that are not to be decided here; empty outside of replays.
    taken_over: Vec<Option<(Ternary, Arc<str>)>>,
    marks: Vec<Mark>,
    /// Gates that were decided by a witness, before their evidence was complete.
    early: Vec<u32>,
    /// How many of those a critic waits for by name have not ended.
    waits: Vec<u32>,
    left: usize,
    left_in_stage: [u32; Stage::COUNT],
    /// The first stage of which all earlier ones have ended.
    frontier: usize,
    summaries: [EvidenceSummary; Stage::COUNT],
    /// Critics that only wait for a barrier.
    held: [Vec<u32>; Stage::COUNT],
    /// Critics that only wait for the evidence of earlier stages.
    undecided: [Vec<u32>; Stage::COUNT],
    work: VecDeque<u32>,
    steps: Vec<Step>,
}

impl RunState {
    pub(crate) fn new(plan: ExecutionPlan, input: Arc<RunInput>, is_gating: bool) -> Self {
        let inner = &plan.inner;
        let count = inner.nodes.len();
        let waits = (0..inner.len())
            .map(|index| u32::try_from(inner.upstream(index).len()).unwrap_or(u32::MAX));
        let waits: Vec<u32> = waits.collect();
        let left_in_stage = Stage::ALL.map(|stage| {
            let range = &inner.stages[stage.index()];
            range.end - range.start
        });
        let work = (0..inner.len()).filter(|index| waits[*index as usize] == 0).collect();
        let mut state = Self {
            input,
            is_gating,
            outcomes: vec![None; count],
            gates: vec![None; count],
            taken_over: Vec::new(),
            marks: vec![Mark::None; count],
            early: Vec::new(),
            waits,
            left: count,
            left_in_stage,
            frontier: 0,
            summaries: [EvidenceSummary::default(); Stage::COUNT],
            held: std::array::from_fn(|_| Vec::new()),
            undecided: std::array::from_fn(|_| Vec::new()),
            work,
            steps: vec![Step::StageOpened(Stage::PreValidation)],
            plan,
        };
        state.move_frontier();
        state
    }

    /// Sets what gates say that cannot be decided again, in plan order.
    pub(crate) fn take_over_gates(&mut self, gates: Vec<Option<(Ternary, Arc<str>)>>) {
        self.taken_over = gates;
    }

    /// Puts what has become possible since the last call into `steps`, in place of what was there.
    pub(crate) fn advance(&mut self, steps: &mut Vec<Step>) {
        while let Some(index) = self.work.pop_front() {
            self.consider(index);
        }
        steps.clear();
        std::mem::swap(&mut self.steps, steps);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }

    pub(crate) fn outcome(&self, index: u32) -> Option<&Outcome> {
        self.outcomes[index as usize].as_ref()
    }

    /// Notes how a critic ended; the first ending counts.
    pub(crate) fn settle(&mut self, index: u32, outcome: Outcome) {
        let place = &mut self.outcomes[index as usize];
        if place.is_some() {
            return;
        }
        let spec = &self.plan.inner.nodes[index as usize].spec;
        let stage = spec.stage.index();
        let new = EvidenceSummary::of(index, &outcome, spec.failure_mode);
        *place = Some(outcome);
        let before = self.summaries[stage];
        self.summaries[stage].merge(&new);
        self.left -= 1;
        self.left_in_stage[stage] -= 1;
        for dependent in self.plan.inner.downstream(index) {
            let waits = &mut self.waits[*dependent as usize];
            *waits -= 1;
            if *waits == 0 {
                self.work.push_back(*dependent);
            }
        }
        if self.crossed_threshold(&before, stage) {
            for undecided in &self.undecided[stage + 1..] {
                self.work.extend(undecided);
            }
        }
        if self.left_in_stage[stage] == 0 {
            self.move_frontier();
        }
    }

    /// Notes the same ending for everybody who has not ended, without looking at gates any more.
    pub(crate) fn settle_rest(&mut self, status: &Status) -> Vec<u32> {
        let rest: Vec<u32> =
            (0..self.plan.inner.len()).filter(|index| self.outcome(*index).is_none()).collect();
        for index in &rest {
            self.settle(*index, Outcome::without_answer(status.clone()));
        }
        self.work.clear();
        self.steps.retain(|step| !matches!(step, Step::Ready(_)));
        rest
    }

    /// All outcomes and gates, after the end. Gates decided early get the reason that their complete evidence gives.
    pub(crate) fn finish(mut self) -> (Vec<Option<Outcome>>, Vec<Option<GateDecision>>) {
        for index in std::mem::take(&mut self.early) {
            let decision = self.decide(index);
            self.gates[index as usize] = Some(decision);
        }
        (self.outcomes, self.gates)
    }

    pub(crate) fn gate(&self, index: u32) -> Option<&GateDecision> {
        self.gates[index as usize].as_ref()
    }

    pub(crate) fn outcomes(&self) -> &[Option<Outcome>] {
        &self.outcomes
    }

    /// Looks whether a critic that waits for nobody by name can go on.
    fn consider(&mut self, index: u32) {
        if self.outcomes[index as usize].is_some() {
            return;
        }
        let plan = self.plan.clone();
        let node = plan.inner.node(index);
        if let Some(skipped) = self.skipped(index) {
            self.settle(index, Outcome::without_answer(skipped));
            self.steps.push(Step::Settled(index));
            return;
        }
        let stage = node.spec.stage.index();
        if plan.inner.barrier_before(stage).is_some_and(|barrier| self.frontier <= barrier) {
            self.held[stage].push(index);
            return;
        }
        if self.marks[index as usize] == Mark::Decided {
            return;
        }
        if node.spec.policy.is_always() {
            self.marks[index as usize] = Mark::Decided;
            self.steps.push(Step::Ready(index));
            return;
        }
        if !self.is_gating {
            self.marks[index as usize] = Mark::Decided;
            self.gates[index as usize] = Some(GateDecision::switched_off());
            self.steps.extend([Step::GateDecided(index), Step::Ready(index)]);
            return;
        }
        let is_complete = match &node.evidence {
            EvidenceSet::Empty | EvidenceSet::Listed(_) => true,
            EvidenceSet::Earlier => self.frontier >= stage,
        };
        if is_complete {
            self.marks[index as usize] = Mark::Decided;
            let decision = self.decide(index);
            let answer = decision.answer;
            let reason = Arc::clone(&decision.reason);
            self.gates[index as usize] = Some(decision);
            self.steps.push(Step::GateDecided(index));
            if answer == Ternary::False {
                let policy = Arc::from(node.spec.policy.name());
                self.settle(index, Outcome::without_answer(Status::Gated { policy, reason }));
                self.steps.push(Step::Settled(index));
            } else {
                self.steps.push(Step::Ready(index));
            }
        } else if self.has_witness(index) {
            self.marks[index as usize] = Mark::Decided;
            self.early.push(index);
            self.gates[index as usize] = Some(GateDecision {
                answer: Ternary::True,
                reason: Arc::from("decided by a witness"),
            });
            self.steps.extend([Step::GateDecided(index), Step::Ready(index)]);
        } else if self.marks[index as usize] == Mark::None {
            // It may be considered again because of a possible witness, and is in the list already then.
            self.marks[index as usize] = Mark::Undecided;
            self.undecided[stage].push(index);
        }
    }

    /// Why a critic is skipped, if it is. A missing root goes before a gated one.
    fn skipped(&self, index: u32) -> Option<Status> {
        let node = self.plan.inner.node(index);
        let required = node.depends_on.iter().filter(|(_, kind)| *kind == DependencyKind::Requires);
        let mut found = None;
        for (upstream, _) in required {
            let status = &self.outcome(*upstream)?.status;
            if status.is_answer() {
                continue;
            }
            let name = Arc::clone(&self.plan.inner.node(*upstream).spec.name);
            let (root, root_gated) = match status {
                Status::Skipped { root, root_gated, .. } => (Arc::clone(root), *root_gated),
                other => (Arc::clone(&name), matches!(other, Status::Gated { .. })),
            };
            let skipped = Status::Skipped { upstream: name, root, root_gated };
            if !root_gated {
                return Some(skipped);
            }
            found = found.or(Some(skipped));
        }
        found
    }

    fn summary(&self, index: u32) -> EvidenceSummary {
        let plan = &self.plan.inner;
        let node = plan.node(index);
        let mut summary = EvidenceSummary::default();
        let mut add = |other: u32| {
            if let Some(outcome) = self.outcome(other) {
                summary.merge(&EvidenceSummary::of(
                    other,
                    outcome,
                    plan.node(other).spec.failure_mode,
                ));
            }
        };
        match &node.evidence {
            EvidenceSet::Empty => {}
            EvidenceSet::Listed(listed) => listed.iter().copied().for_each(add),
            EvidenceSet::Earlier => {
                node.depends_on.iter().for_each(|(other, _)| add(*other));
                self.summaries[..node.spec.stage.index()]
                    .iter()
                    .for_each(|earlier| summary.merge(earlier));
            }
        }
        summary
    }

    fn gate_inputs<T>(
        &self,
        index: u32,
        is_complete: bool,
        ask: impl FnOnce(&GateInputs<'_>) -> T,
    ) -> T {
        let plan = &self.plan.inner;
        let view = EvidenceView { plan, critic: index, outcomes: &self.outcomes };
        ask(&GateInputs {
            input: &self.input,
            summary: self.summary(index),
            complete: is_complete.then_some(view),
            name_of: &|other| &plan.node(other).spec.name,
        })
    }

    fn decide(&self, index: u32) -> GateDecision {
        if let Some(Some((answer, reason))) = self.taken_over.get(index as usize) {
            return GateDecision { answer: *answer, reason: Arc::clone(reason) };
        }
        let policy = &self.plan.inner.node(index).spec.policy;
        self.gate_inputs(index, true, |inputs| gate::decide(policy, inputs))
    }

    fn has_witness(&self, index: u32) -> bool {
        let policy = &self.plan.inner.node(index).spec.policy;
        self.gate_inputs(index, false, |inputs| gate::has_witness(policy, inputs))
    }

    /// Whether a gate that was not true over the evidence before may be true now.
    fn crossed_threshold(&self, before: &EvidenceSummary, stage: usize) -> bool {
        if self.undecided[stage + 1..].iter().all(Vec::is_empty) {
            return false;
        }
        let now = &self.summaries[stage];
        let crossed = |before: Option<(f64, u32)>, now: Option<(f64, u32)>, thresholds: &[f64]| {
            let reached = |value: Option<(f64, u32)>| {
                value.map_or(0, |(value, _)| {
                    thresholds.partition_point(|threshold| *threshold <= value)
                })
            };
            reached(now) > reached(before)
        };
        let plan = &self.plan.inner;
        now.violation.is_some() != before.violation.is_some()
            || crossed(before.severity, now.severity, &plan.severity_thresholds)
            || crossed(before.uncertainty, now.uncertainty, &plan.uncertainty_thresholds)
    }

    /// Lets everybody be considered again who waited for stages that have ended now.
    fn move_frontier(&mut self) {
        while self.frontier < Stage::COUNT && self.left_in_stage[self.frontier] == 0 {
            self.steps.push(Step::StageClosed(Stage::ALL[self.frontier]));
            self.frontier += 1;
            if let Some(stage) = Stage::ALL.get(self.frontier) {
                self.steps.push(Step::StageOpened(*stage));
                self.work.extend(std::mem::take(&mut self.undecided[self.frontier]));
            }
            for stage in self.frontier..Stage::COUNT {
                if self
                    .plan
                    .inner
                    .barrier_before(stage)
                    .is_none_or(|barrier| self.frontier > barrier)
                {
                    self.work.extend(std::mem::take(&mut self.held[stage]));
                }
            }
        }
    }
}
