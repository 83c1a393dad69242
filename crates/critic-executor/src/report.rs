use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::cost::CostSummary;
use crate::coverage::Coverage;
use crate::edit::MergedEdits;
use crate::finding::{CriticOutput, Finding};
use crate::gate::GateDecision;
use crate::input::RunInput;
use crate::money::MicroDollars;
use crate::plan::ExecutionPlan;
use crate::record::RunRecord;
use crate::stage::Stage;
use crate::status::{CancelReason, OutputProblem, Status};
use crate::verdict::Verdict;

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// With an answer.
    Answered,
    /// With an error; the text is the name of its kind.
    Failed(&'static str),
    /// With an output that broke the rules.
    Invalid,
    /// It ran out of its own time.
    TimedOut,
    /// It was stopped from outside.
    Cancelled,
}

impl AttemptOutcome {
    /// The outcome's name in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed(kind) => kind,
            Self::Invalid => "invalid",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One call of a critic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptReport {
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// From its start to its end or its deadline.
    pub duration: Duration,
    /// The wait before the next attempt, if there was one.
    pub delay: Option<Duration>,
    /// What it cost.
    pub cost: MicroDollars,
}

/// What became of one critic.
#[derive(Debug, Clone)]
pub struct CriticReport {
    /// Its name.
    pub name: Arc<str>,
    /// Its stage.
    pub stage: Stage,
    /// How it ended.
    pub status: Status,
    /// Its attempts in order; none for a critic that was never called.
    pub attempts: Vec<AttemptReport>,
    /// Time spent waiting for admission, of all attempts together.
    pub queue_time: Duration,
    /// The part of it in which its rate limit had no token; zero without a rate limit.
    pub rate_limit_wait: Duration,
    /// Time spent in attempts.
    pub execution_time: Duration,
    /// What its attempts cost.
    pub cost: MicroDollars,
    /// What its gate said; `None` if it has none or was never asked.
    pub gate: Option<GateDecision>,
    /// What it returned, if it answered.
    pub output: Option<Arc<CriticOutput>>,
    /// What it adds to the verdict, missing or not.
    pub contribution: Verdict,
    /// Problems that a lenient critic's output was accepted with.
    pub warnings: Vec<OutputProblem>,
}

impl CriticReport {
    /// What it found, if it answered.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        self.output.as_deref().map(|output| &output.finding)
    }
}

/// What decided a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decider {
    /// A critic.
    Critic(Arc<str>),
    /// Fewer answers than the quorum.
    Quorum,
    /// Edits that contradict each other.
    EditConflict,
}

/// Who decided, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deciding {
    /// Who.
    pub decider: Decider,
    /// Why, for people.
    pub reason: Cow<'static, str>,
}

/// A verdict, and how much of the plan it rests on. The one is not to be had without the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What is to happen.
    pub verdict: Verdict,
    /// Who answered and who did not.
    pub coverage: Coverage,
}

/// When the critics of a stage worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageTiming {
    /// The stage.
    pub stage: Stage,
    /// When all earlier stages had ended, from the start of the run.
    pub opened: Duration,
    /// When all its critics and all earlier stages had ended, from the start of the run.
    pub closed: Duration,
}

/// Everything about a run that has ended.
#[derive(Debug, Clone)]
pub struct RunReport {
    pub(crate) plan: ExecutionPlan,
    pub(crate) run_id: Arc<str>,
    pub(crate) critics: Vec<CriticReport>,
    pub(crate) decision: Decision,
    pub(crate) deciding: Vec<Deciding>,
    pub(crate) edits: MergedEdits,
    pub(crate) cost: CostSummary,
    pub(crate) stages: Vec<StageTiming>,
    pub(crate) elapsed: Duration,
    pub(crate) cancelled: Option<CancelReason>,
    pub(crate) is_degraded: bool,
    pub(crate) is_short_circuited: bool,
    pub(crate) input: Arc<RunInput>,
    pub(crate) seed: u64,
    pub(crate) is_gating: bool,
}

impl RunReport {
    /// The verdict and its coverage.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Everybody whose contribution equals the verdict, in plan order, then the rules.
    #[must_use]
    pub fn deciding(&self) -> &[Deciding] {
        &self.deciding
    }

    /// One entry for every critic of the plan, in plan order.
    #[must_use]
    pub fn critics(&self) -> &[CriticReport] {
        &self.critics
    }

    /// The entry of a critic.
    #[must_use]
    pub fn critic(&self, name: &str) -> Option<&CriticReport> {
        self.plan.inner.index_of(name).and_then(|index| self.critics.get(index as usize))
    }

    /// The edits of all answers, merged.
    #[must_use]
    pub fn edits(&self) -> &MergedEdits {
        &self.edits
    }

    /// What the run cost and what it saved.
    #[must_use]
    pub fn cost(&self) -> &CostSummary {
        &self.cost
    }

    /// When the stages worked. Stages that were never opened are not in it.
    #[must_use]
    pub fn stages(&self) -> &[StageTiming] {
        &self.stages
    }

    /// From the call of `run` to the report.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Why the run was cancelled, if it was.
    #[must_use]
    pub fn cancelled(&self) -> Option<&CancelReason> {
        self.cancelled.as_ref()
    }

    /// Whether an answer came from a fallback, or a missing critic was let pass.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.is_degraded
    }

    /// Whether the run ended early because its verdict was reached.
    #[must_use]
    pub fn is_short_circuited(&self) -> bool {
        self.is_short_circuited
    }

    /// The id of the run.
    #[must_use]
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The plan that ran.
    #[must_use]
    pub fn plan(&self) -> &ExecutionPlan {
        &self.plan
    }

    /// What is worth keeping: everything that decided, and neither times nor texts.
    #[must_use]
    pub fn record(&self) -> RunRecord {
        RunRecord::of(self)
    }

    /// The mean severity of all answers, for information; it decides nothing. `None` without answers.
    #[must_use]
    pub fn mean_severity(&self) -> Option<f64> {
        let severities: Vec<f64> =
            self.critics.iter().filter_map(|critic| Some(critic.finding()?.severity)).collect();
        (!severities.is_empty()).then(|| severities.iter().sum::<f64>() / severities.len() as f64)
    }
}
