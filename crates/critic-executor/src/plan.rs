use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

mod build;
mod checks;
mod digest;
pub(crate) mod error;
pub(crate) mod explain;
mod export;
mod graph;
mod nearest;

pub use build::PlanBuilder;

use error::PlanWarning;
use graph::Lists;

use crate::evidence::Outcome;
use crate::finding::CriticOutput;
use crate::input::RunInput;
use crate::money::MicroDollars;
use crate::spec::{CriticSpec, DependencyKind, FailureMode, SeverityRule};
use crate::stage::Stage;
use crate::status::OutputProblem;
use crate::validation::{OutputLimits, Validator};
use crate::verdict::{Verdict, VerdictMap};

/// A validated, frozen graph of critics, shared cheaply by any number of concurrent runs.
///
/// Plan order is by stage, then by name, whatever the order in which critics were added.
///
/// ```
/// use critic_executor::{CriticContext, CriticOutput, CriticSpec, ExecutionPlan, Policy, Stage};
///
/// let fine = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
/// let plan = ExecutionPlan::builder()
///     .critic(CriticSpec::new("judge", fine).stage(Stage::DeepAnalysis).policy(Policy::OnViolation))
///     .critic(CriticSpec::new("words", fine).stage(Stage::FastCritics))
///     .build()?;
/// assert_eq!(plan.names().collect::<Vec<_>>(), ["words", "judge"]);
/// # Ok::<(), critic_executor::PlanErrors>(())
/// ```
#[derive(Clone)]
pub struct ExecutionPlan {
    pub(crate) inner: Arc<PlanInner>,
}

/// What happens to a run whose budget does not pay for an attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// The critic is rejected; cheaper ones may still run.
    #[default]
    SkipCritic,
    /// The run is cancelled.
    StopRun,
}

/// What a run may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Budget {
    /// The most that may be spent or reserved.
    pub limit: MicroDollars,
    /// What happens when it does not suffice.
    pub on_exhausted: OnExhausted,
}

/// The settings of a plan as a whole.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlanSettings {
    pub(crate) barriers: [bool; Stage::COUNT],
    pub(crate) stage_timeouts: [Option<Duration>; Stage::COUNT],
    pub(crate) run_timeout: RunTimeout,
    pub(crate) verdict_map: VerdictMap,
    pub(crate) missing_verdict: Verdict,
    pub(crate) quorum: Option<usize>,
    pub(crate) early_stop: Option<Verdict>,
    pub(crate) is_fail_fast: bool,
    pub(crate) budget: Option<Budget>,
    pub(crate) output_limits: OutputLimits,
}

/// How long a run may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RunTimeout {
    /// As long as the executor says.
    #[default]
    Executor,
    /// So long.
    After(Duration),
    /// For ever.
    Unlimited,
}

/// Where the outcomes that decide a gate come from.
#[derive(Debug)]
pub(crate) enum EvidenceSet {
    /// The policy looks at nothing.
    Empty,
    /// All critics of earlier stages, and the direct dependencies.
    Earlier,
    /// These.
    Listed(Box<[u32]>),
}

pub(crate) struct PlanNode {
    pub(crate) spec: CriticSpec,
    /// Declared dependencies in the order of declaration.
    pub(crate) depends_on: Box<[(u32, DependencyKind)]>,
    pub(crate) evidence: EvidenceSet,
    pub(crate) validators: Box<[Arc<dyn Validator>]>,
    #[cfg(feature = "json-schema")]
    pub(crate) schema: Option<crate::schema::CompiledSchema>,
    /// The settings of the critic itself as canonical JSON, for digests and cache keys; `None` if it has none.
    pub(crate) critic_settings: Option<Box<str>>,
}

impl PlanNode {
    /// What an output is accepted with, or why it is not.
    pub(crate) fn judge_output(
        &self,
        output: &CriticOutput,
        input: &RunInput,
        limits: &OutputLimits,
    ) -> Result<Vec<OutputProblem>, Vec<OutputProblem>> {
        let mut errors = output.problems(input, limits);
        let is_usable = errors.is_empty();
        let rules = self.validators.iter().flat_map(|validator| validator.validate(output, input));
        errors.extend(rules);
        #[cfg(feature = "json-schema")]
        if is_usable && let Some(schema) = &self.schema {
            errors.extend(schema.problems(output));
        }
        if is_usable && (errors.is_empty() || self.spec.is_lenient) {
            Ok(errors)
        } else {
            Err(errors)
        }
    }
}

pub(crate) struct PlanInner {
    /// Unique within the process, so that executors can remember plans.
    pub(crate) id: u64,
    pub(crate) nodes: Vec<PlanNode>,
    pub(crate) by_name: HashMap<Arc<str>, u32>,
    /// Whom each critic waits for by name: dependencies and listed evidence, without repetition.
    pub(crate) upstream: Lists,
    /// Who waits for each critic by name.
    pub(crate) downstream: Lists,
    /// Everybody after those they wait for, earlier stages first.
    pub(crate) topological: Vec<u32>,
    pub(crate) stages: [Range<u32>; Stage::COUNT],
    /// Severities and uncertainties at which some gate may turn true, ascending.
    pub(crate) severity_thresholds: Vec<f64>,
    pub(crate) uncertainty_thresholds: Vec<f64>,
    pub(crate) settings: PlanSettings,
    pub(crate) digest: [u8; 32],
    pub(crate) warnings: Vec<PlanWarning>,
}

impl PlanInner {
    pub(crate) fn node(&self, index: u32) -> &PlanNode {
        &self.nodes[index as usize]
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.nodes.len()).expect("building refuses larger plans")
    }

    pub(crate) fn index_of(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn upstream(&self, index: u32) -> &[u32] {
        self.upstream.of(index)
    }

    pub(crate) fn downstream(&self, index: u32) -> &[u32] {
        self.downstream.of(index)
    }

    /// Whether one critic is in the evidence set of another.
    pub(crate) fn is_evidence(&self, critic: u32, other: u32) -> bool {
        let node = self.node(critic);
        match &node.evidence {
            EvidenceSet::Empty => false,
            EvidenceSet::Listed(listed) => listed.binary_search(&other).is_ok(),
            EvidenceSet::Earlier => {
                other < self.stages[node.spec.stage.index()].start
                    || node.depends_on.iter().any(|(index, _)| *index == other)
            }
        }
    }

    /// The evidence set of a critic in plan order.
    pub(crate) fn evidence_of(&self, critic: u32) -> impl Iterator<Item = u32> + use<'_> {
        let node = self.node(critic);
        let first_of_stage = self.stages[node.spec.stage.index()].start;
        let (earlier, listed): (u32, Vec<u32>) = match &node.evidence {
            EvidenceSet::Empty => (0, Vec::new()),
            EvidenceSet::Listed(listed) => (0, listed.to_vec()),
            EvidenceSet::Earlier => {
                let dependencies = node.depends_on.iter().map(|(index, _)| *index);
                let mut same_stage: Vec<u32> =
                    dependencies.filter(|index| *index >= first_of_stage).collect();
                same_stage.sort_unstable();
                same_stage.dedup();
                (first_of_stage, same_stage)
            }
        };
        (0..earlier).chain(listed)
    }

    /// What an answer of a critic adds to the verdict.
    pub(crate) fn contribution(&self, index: u32, outcome: &crate::finding::Finding) -> Verdict {
        let map = match &self.node(index).spec.severity_rule {
            SeverityRule::Plan => Some(&self.settings.verdict_map),
            SeverityRule::Own(map) => Some(map),
            SeverityRule::Off => None,
        };
        outcome.contribution(map)
    }

    /// What the ending of a critic adds to the verdict, an answer or not.
    pub(crate) fn total_contribution(&self, index: u32, outcome: &Outcome) -> Verdict {
        let fails_closed = self.node(index).spec.failure_mode == FailureMode::FailClosed;
        if outcome.status.is_missing() && fails_closed {
            self.settings.missing_verdict
        } else {
            outcome.contribution
        }
    }

    /// The earliest stage that a stage has to wait for as a whole: the last one before it with a barrier.
    pub(crate) fn barrier_before(&self, stage: usize) -> Option<usize> {
        (0..stage).rev().find(|earlier| self.settings.barriers[*earlier])
    }
}

impl ExecutionPlan {
    /// A plan without critics, to add to.
    #[must_use]
    pub fn builder() -> PlanBuilder {
        PlanBuilder::default()
    }

    /// Validates and freezes a plan of these critics with default settings.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn build(critics: impl IntoIterator<Item = CriticSpec>) -> Result<Self, error::PlanErrors> {
        critics.into_iter().fold(Self::builder(), PlanBuilder::critic).build()
    }

    /// How many critics it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.nodes.len()
    }

    /// Whether it has no critics. Such a plan allows everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.nodes.is_empty()
    }

    /// The critics' names in plan order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.inner.nodes.iter().map(|node| &*node.spec.name)
    }

    /// What the plan knows of a critic.
    #[must_use]
    pub fn spec(&self, name: &str) -> Option<&CriticSpec> {
        self.inner.index_of(name).map(|index| &self.inner.node(index).spec)
    }

    /// All critics in plan order.
    pub fn specs(&self) -> impl Iterator<Item = &CriticSpec> {
        self.inner.nodes.iter().map(|node| &node.spec)
    }

    /// The names of the critics whose outcomes decide a critic's policy, in plan order.
    #[must_use]
    pub fn evidence_of(&self, name: &str) -> Vec<&str> {
        let name_of = |index| &*self.inner.node(index).spec.name;
        self.inner
            .index_of(name)
            .map_or(Vec::new(), |index| self.inner.evidence_of(index).map(name_of).collect())
    }

    /// The critics in an order in which each comes after those it waits for.
    pub fn topological_order(&self) -> impl Iterator<Item = &str> {
        self.inner.topological.iter().map(|index| &*self.inner.node(*index).spec.name)
    }

    /// Whether nothing of later stages starts before everything up to this stage has ended.
    #[must_use]
    pub fn has_barrier_after(&self, stage: Stage) -> bool {
        self.inner.settings.barriers[stage.index()]
    }

    /// How long a stage may take from the moment all earlier ones have ended.
    #[must_use]
    pub fn stage_timeout(&self, stage: Stage) -> Option<Duration> {
        self.inner.settings.stage_timeouts[stage.index()]
    }

    /// How long a run may take.
    #[must_use]
    pub fn run_timeout(&self) -> RunTimeout {
        self.inner.settings.run_timeout
    }

    /// What a run may spend, if that is limited.
    #[must_use]
    pub fn budget(&self) -> Option<Budget> {
        self.inner.settings.budget
    }

    /// SHA-256 over everything of the plan that can change a result. Equal for equal plans, whatever the order
    /// in which critics were added. Closures count by the names and [settings](crate::Critic::settings) that they
    /// give.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.inner.digest
    }

    /// Settings that are legal but suspect.
    #[must_use]
    pub fn warnings(&self) -> &[PlanWarning] {
        &self.inner.warnings
    }
}

impl fmt::Debug for ExecutionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutionPlan").field("critics", &self.len()).finish_non_exhaustive()
    }
}

/// A number that no other plan of this process has.
fn next_plan_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
