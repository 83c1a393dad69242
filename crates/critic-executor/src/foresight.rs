//! What a run will do, as far as it can be told without calling a critic. Pure.

use std::fmt;
use std::sync::Arc;

use crate::evidence::{EvidenceSummary, EvidenceView, Outcome};
use crate::gate::{self, GateDecision, GateInputs};
use crate::input::{RiskLevel, RunInput};
use crate::plan::{ExecutionPlan, PlanInner};
use crate::policy::Policy;
use crate::spec::DependencyKind;
use crate::status::Status;
use crate::ternary::Ternary;

/// What [`Executor::dry_run`](crate::Executor::dry_run) tells of a plan and an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// Every critic of the plan and what will become of it, in plan order.
    pub critics: Vec<(Arc<str>, Foreseen)>,
}

/// What will become of a critic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreseen {
    /// No gate stops it. It may still be skipped if a critic that it requires fails.
    Runs {
        /// Why, for people.
        reason: Arc<str>,
    },
    /// Its gate says no, whatever its evidence will be.
    Gated {
        /// The policy's name.
        policy: Arc<str>,
        /// Why it says no.
        reason: Arc<str>,
    },
    /// A critic that it requires is gated.
    Skipped {
        /// The critic that it requires.
        upstream: Arc<str>,
        /// The gated critic that the chain begins with.
        root: Arc<str>,
    },
    /// Its own gate, or that of a critic it requires, depends on how these end, in plan order.
    Depends {
        /// The evidence that is to be waited for.
        evidence: Vec<Arc<str>>,
    },
}

impl DryRun {
    /// Looks at the gates of a plan over an input.
    pub(crate) fn of(plan: &ExecutionPlan, input: &RunInput) -> Self {
        let inner = &plan.inner;
        let mut foresight = Foresight {
            plan: inner,
            input,
            fates: vec![None; inner.nodes.len()],
            outcomes: vec![None; inner.nodes.len()],
        };
        inner.topological.iter().for_each(|index| foresight.look_at(*index));
        let name_of = |index: u32| Arc::clone(&inner.node(index).spec.name);
        let critics = (0..).zip(foresight.fates).map(|(index, fate)| {
            let foreseen = match fate.expect("the order holds every critic") {
                Fate::Runs(reason) => Foreseen::Runs { reason },
                Fate::Gated(reason) => {
                    let policy = inner.node(index).spec.policy.name().into();
                    Foreseen::Gated { policy, reason }
                }
                Fate::Skipped { upstream, root } => {
                    Foreseen::Skipped { upstream: name_of(upstream), root: name_of(root) }
                }
                Fate::Depends(evidence) => {
                    Foreseen::Depends { evidence: evidence.into_iter().map(name_of).collect() }
                }
            };
            (name_of(index), foreseen)
        });
        Self { critics: critics.collect() }
    }

    /// What will become of a critic, if the plan has it.
    #[must_use]
    pub fn critic(&self, name: &str) -> Option<&Foreseen> {
        self.critics.iter().find(|(known, _)| &**known == name).map(|(_, foreseen)| foreseen)
    }
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.critics.iter().try_for_each(|(name, foreseen)| writeln!(f, "{name}: {foreseen}"))
    }
}

impl fmt::Display for Foreseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs { reason } => write!(f, "runs: {reason}"),
            Self::Gated { policy, reason } => write!(f, "gated by {policy}: {reason}"),
            Self::Skipped { upstream, root } if upstream == root => {
                write!(f, "skipped: `{root}` is gated")
            }
            Self::Skipped { upstream, root } => {
                write!(f, "skipped: `{upstream}` is skipped because `{root}` is gated")
            }
            Self::Depends { evidence } => write!(f, "depends on {}", evidence.join(", ")),
        }
    }
}

/// The same by places in the plan.
#[derive(Clone)]
enum Fate {
    Runs(Arc<str>),
    Gated(Arc<str>),
    Skipped { upstream: u32, root: u32 },
    Depends(Vec<u32>),
}

struct Foresight<'a> {
    plan: &'a PlanInner,
    input: &'a RunInput,
    fates: Vec<Option<Fate>>,
    /// How those end that will not be called.
    outcomes: Vec<Option<Outcome>>,
}

impl Foresight<'_> {
    /// Everybody a critic waits for has been looked at.
    fn look_at(&mut self, index: u32) {
        let fate = self.fate(index);
        let name_of = |index: u32| Arc::clone(&self.plan.node(index).spec.name);
        let status = match &fate {
            Fate::Runs(_) | Fate::Depends(_) => None,
            Fate::Gated(reason) => Some(Status::Gated {
                policy: self.plan.node(index).spec.policy.name().into(),
                reason: Arc::clone(reason),
            }),
            Fate::Skipped { upstream, root } => Some(Status::Skipped {
                upstream: name_of(*upstream),
                root: name_of(*root),
                root_gated: true,
            }),
        };
        self.outcomes[index as usize] = status.map(Outcome::without_answer);
        self.fates[index as usize] = Some(fate);
    }

    fn fate(&self, index: u32) -> Fate {
        let node = self.plan.node(index);
        let mut waits_for: Vec<u32> = Vec::new();
        for (upstream, kind) in &node.depends_on {
            if *kind == DependencyKind::After {
                continue;
            }
            match &self.fates[*upstream as usize] {
                Some(Fate::Gated(_)) => {
                    return Fate::Skipped { upstream: *upstream, root: *upstream };
                }
                Some(Fate::Skipped { root, .. }) => {
                    return Fate::Skipped { upstream: *upstream, root: *root };
                }
                Some(Fate::Depends(evidence)) => waits_for.extend(evidence),
                Some(Fate::Runs(_)) | None => {}
            }
        }
        let policy = &node.spec.policy;
        let unknown: Vec<u32> = self
            .plan
            .evidence_of(index)
            .filter(|other| self.outcomes[*other as usize].is_none())
            .collect();
        let decision = self.ask(index, unknown.is_empty());
        match decision.answer {
            Ternary::False => return Fate::Gated(decision.reason),
            Ternary::Unknown
                if !unknown.is_empty() && !never_gates(policy, self.input.risk_level()) =>
            {
                waits_for.extend(unknown);
            }
            Ternary::True | Ternary::Unknown => {}
        }
        if waits_for.is_empty() {
            return Fate::Runs(decision.reason);
        }
        waits_for.sort_unstable();
        waits_for.dedup();
        Fate::Depends(waits_for)
    }

    /// Those who will not be called have nothing to say, so there is nothing to sum up.
    fn ask(&self, index: u32, is_complete: bool) -> GateDecision {
        let view = EvidenceView { plan: self.plan, critic: index, outcomes: &self.outcomes };
        let inputs = GateInputs {
            input: self.input,
            summary: EvidenceSummary::default(),
            complete: is_complete.then_some(view),
            name_of: &|other| &self.plan.node(other).spec.name,
        };
        gate::decide(&self.plan.node(index).spec.policy, &inputs)
    }
}

/// Whether a policy can say yes or that it cannot tell, and never no.
fn never_gates(policy: &Policy, risk: Option<RiskLevel>) -> bool {
    match policy {
        Policy::Always => true,
        Policy::OnHighRisk { .. } => risk.is_none(),
        Policy::Any(policies) => policies.iter().any(|policy| never_gates(policy, risk)),
        Policy::All(policies) => policies.iter().all(|policy| never_gates(policy, risk)),
        _ => false,
    }
}
