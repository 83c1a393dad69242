//! What a plan will do, as data and as text, before anything runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{ExecutionPlan, PlanWarning, RunTimeout};
use crate::money::MicroDollars;
use crate::spec::{CriticSpec, DependencyKind, FailureMode};
use crate::stage::Stage;

/// What [`ExecutionPlan::explain`] tells of a plan. Its text form is one line per fact, the same for equal plans.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// All critics in plan order.
    pub critics: Vec<ExplainedCritic>,
    /// The critics in an order in which each comes after those it waits for.
    pub order: Vec<Arc<str>>,
    /// The stages that have critics, in order.
    pub stages: Vec<ExplainedStage>,
    /// How long a run may take, as the plan says it.
    pub run_timeout: RunTimeout,
    /// The longest that a run can take by the plan's own deadlines, retries and their delays included, if critics
    /// never wait for permits or tokens and no service asks for longer delays. `None` if a deadline is missing.
    pub worst_latency: Option<Duration>,
    /// The most that a run can cost by the estimates, with every critic running and every attempt made, but no
    /// more than the plan's budget.
    pub worst_cost: MicroDollars,
    /// Settings that are legal but suspect.
    pub warnings: Vec<PlanWarning>,
}

/// What is to be known of one critic.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedCritic {
    /// Its name.
    pub name: Arc<str>,
    /// Its stage.
    pub stage: Stage,
    /// Its priority, from 1 (most urgent) to 10.
    pub priority: u8,
    /// Whom it waits for, and how, in the order of declaration.
    pub depends_on: Vec<(Arc<str>, DependencyKind)>,
    /// The name of its policy.
    pub policy: Arc<str>,
    /// The critics whose outcomes decide its policy, in plan order.
    pub evidence: Vec<Arc<str>>,
    /// How many of its attempts may be outstanding.
    pub concurrency: Option<usize>,
    /// How many of its attempts may start per second.
    pub per_second: Option<f64>,
    /// How long one attempt may take: the least of its own, its critic's, its stage's and the run's timeout.
    pub attempt_limit: Option<Duration>,
    /// How long all of it may take from the moment it is ready.
    pub total_limit: Option<Duration>,
    /// How many attempts it makes at most.
    pub max_attempts: u32,
    /// The longest that it can take once it is ready.
    pub worst_latency: Option<Duration>,
    /// The most that its attempts can cost by its estimate.
    pub worst_cost: MicroDollars,
    /// What a missing answer of it adds to the verdict.
    pub failure_mode: FailureMode,
}

/// What is to be known of one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedStage {
    /// The stage.
    pub stage: Stage,
    /// Its critics in plan order.
    pub critics: Vec<Arc<str>>,
    /// How long it may take from the moment all earlier ones have ended.
    pub timeout: Option<Duration>,
    /// Whether nothing of later stages starts before everything up to this one has ended.
    pub is_barrier: bool,
}

impl ExecutionPlan {
    /// What the plan will do: order, stages, edges, evidence, limits, the worst latency and cost, and warnings.
    ///
    /// ```
    /// use critic_executor::{CriticContext, CriticOutput, CriticSpec, ExecutionPlan, MicroDollars, RetryPolicy};
    ///
    /// let fine = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
    /// let judge = CriticSpec::new("judge", fine).cost(MicroDollars(20)).retry(RetryPolicy::attempts(2));
    /// let explained = ExecutionPlan::build([judge])?.explain();
    /// assert_eq!(explained.worst_cost, MicroDollars(40));
    /// assert!(explained.to_string().contains("judge: core_analysis, priority 5, always"));
    /// # Ok::<(), critic_executor::PlanErrors>(())
    /// ```
    #[must_use]
    pub fn explain(&self) -> Explanation {
        let inner = &self.inner;
        let name_of = |index: u32| Arc::clone(&inner.node(index).spec.name);
        let run = self.own_run_timeout();
        let critics: Vec<ExplainedCritic> = (0..inner.len())
            .map(|index| {
                let (node, stage) = (inner.node(index), inner.node(index).spec.stage);
                let spec = &node.spec;
                let outer = least([self.stage_timeout(stage), run]);
                let total_limit = least([spec.total_timeout, outer]);
                let attempt_limit = least([spec.attempt_timeout, total_limit]);
                ExplainedCritic {
                    name: Arc::clone(&spec.name),
                    stage,
                    priority: spec.priority,
                    depends_on: node
                        .depends_on
                        .iter()
                        .map(|(i, kind)| (name_of(*i), *kind))
                        .collect(),
                    policy: spec.policy.name().into(),
                    evidence: inner.evidence_of(index).map(name_of).collect(),
                    concurrency: spec.concurrency,
                    per_second: spec.rate_limit.map(|limit| limit.per_second),
                    attempt_limit,
                    total_limit,
                    max_attempts: spec.retry.max_attempts,
                    worst_latency: least([worst_latency(spec), total_limit]),
                    worst_cost: MicroDollars(
                        spec.cost.0.saturating_mul(u64::from(spec.retry.max_attempts)),
                    ),
                    failure_mode: spec.failure_mode,
                }
            })
            .collect();
        let budget = self.budget().map(|budget| budget.limit);
        let costs: MicroDollars = critics.iter().map(|critic| critic.worst_cost).sum();
        let stages = Stage::ALL.into_iter().filter_map(|stage| {
            let critics: Vec<_> = inner.stages[stage.index()].clone().map(name_of).collect();
            (!critics.is_empty()).then(|| ExplainedStage {
                stage,
                critics,
                timeout: self.stage_timeout(stage),
                is_barrier: self.has_barrier_after(stage),
            })
        });
        Explanation {
            order: inner.topological.iter().copied().map(name_of).collect(),
            stages: stages.collect(),
            run_timeout: self.run_timeout(),
            worst_latency: least([self.longest_path(&critics), run]),
            worst_cost: budget.map_or(costs, |budget| costs.min(budget)),
            warnings: inner.warnings.clone(),
            critics,
        }
    }

    fn own_run_timeout(&self) -> Option<Duration> {
        match self.run_timeout() {
            RunTimeout::After(timeout) => Some(timeout),
            RunTimeout::Executor | RunTimeout::Unlimited => None,
        }
    }

    /// When the last critic can end, if each takes its longest and nobody waits for permits. `None` if somebody
    /// can take for ever.
    fn longest_path(&self, critics: &[ExplainedCritic]) -> Option<Duration> {
        let inner = &self.inner;
        let mut ends = vec![Duration::ZERO; critics.len()];
        // When everything up to a stage has ended, at the latest.
        let mut closed = [Duration::ZERO; Stage::COUNT];
        for stage in Stage::ALL {
            let place = stage.index();
            let before = place.checked_sub(1).map_or(Duration::ZERO, |earlier| closed[earlier]);
            let held =
                inner.barrier_before(place).map_or(Duration::ZERO, |barrier| closed[barrier]);
            let mut end = before;
            let of_stage = inner.topological.iter().copied();
            for index in of_stage.filter(|index| inner.node(*index).spec.stage == stage) {
                let waits = inner.upstream(index).iter().map(|other| ends[*other as usize]);
                // A gate over all earlier stages may have to wait for them to the end.
                let gate = match inner.node(index).evidence {
                    super::EvidenceSet::Earlier => before,
                    super::EvidenceSet::Empty | super::EvidenceSet::Listed(_) => Duration::ZERO,
                };
                let ready = waits.fold(held.max(gate), Duration::max);
                let critic_end = ready.saturating_add(critics[index as usize].worst_latency?);
                // A stage's time begins when all earlier ones have ended.
                let cut = self.stage_timeout(stage).map(|timeout| before.saturating_add(timeout));
                ends[index as usize] =
                    cut.map_or(critic_end, |cut| critic_end.min(cut.max(before)));
                end = end.max(ends[index as usize]);
            }
            closed[place] = end;
        }
        closed.last().copied()
    }
}

/// All attempts and the longest delays between them, and the fallback. `None` if an attempt may take for ever.
fn worst_latency(spec: &CriticSpec) -> Option<Duration> {
    let attempts = spec.retry.max_attempts;
    // A fallback is an attempt by another name.
    let calls = attempts.saturating_add(u32::from(spec.fallback.is_some()));
    let work = spec.attempt_timeout?.saturating_mul(calls);
    Some(work.saturating_add(super::checks::longest_delays(spec)))
}

fn least<const N: usize>(limits: [Option<Duration>; N]) -> Option<Duration> {
    limits.into_iter().flatten().min()
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} critics in the order {}", self.critics.len(), self.order.join(", "))?;
        for stage in &self.stages {
            write!(f, "stage {}: {}", stage.stage, stage.critics.join(", "))?;
            if let Some(timeout) = stage.timeout {
                write!(f, "; at most {timeout:?}")?;
            }
            writeln!(f, "{}", if stage.is_barrier { "; then a barrier" } else { "" })?;
        }
        for critic in &self.critics {
            writeln!(f, "{critic}")?;
        }
        match self.run_timeout {
            RunTimeout::After(timeout) => writeln!(f, "a run takes at most {timeout:?}")?,
            RunTimeout::Executor => writeln!(f, "a run takes at most what its executor allows")?,
            RunTimeout::Unlimited => writeln!(f, "a run may take for ever")?,
        }
        match self.worst_latency {
            Some(latency) => writeln!(f, "worst latency {latency:?}, waits for permits aside")?,
            None => writeln!(f, "worst latency without limit")?,
        }
        writeln!(f, "worst cost {}", self.worst_cost)?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

impl fmt::Display for ExplainedCritic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, priority {}, {}", self.name, self.stage, self.priority, self.policy)?;
        if !self.evidence.is_empty() {
            write!(f, " by {}", self.evidence.join(", "))?;
        }
        for (name, kind) in &self.depends_on {
            let how = match kind {
                DependencyKind::Requires => "requires",
                DependencyKind::After => "after",
            };
            write!(f, "; {how} {name}")?;
        }
        if let Some(limit) = self.concurrency {
            write!(f, "; {limit} at once")?;
        }
        if let Some(rate) = self.per_second {
            write!(f, "; {rate} per second")?;
        }
        write!(f, "; {} × ", self.max_attempts)?;
        match self.attempt_limit {
            Some(limit) => write!(f, "{limit:?}")?,
            None => f.write_str("no limit")?,
        }
        if let Some(limit) = self.total_limit {
            write!(f, ", together {limit:?}")?;
        }
        write!(f, "; at most {}; {}", self.worst_cost, self.failure_mode.as_str())
    }
}
