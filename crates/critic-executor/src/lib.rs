//! Runs a graph of critics over one LLM input and output, under deadlines and limits, and joins what they found
//! into one verdict that can be explained and replayed.
//!
//! A [`Critic`] is an async check: a type, or an async closure. It sees one attempt's [`CriticContext`] and returns a
//! [`CriticOutput`] with a [`Finding`], or a [`CriticError`]. A [`Status`] says how a critic ended; only an answer has
//! a finding, so a check that died is never mistaken for one that found nothing.
//!
//! # The small case
//!
//! Some checks, one timeout, everything at once:
//!
//! ```
//! use std::time::Duration;
//! use critic_executor::{CriticContext, Finding, RunInput, SimpleOrchestrator, Verdict};
//!
//! let report = SimpleOrchestrator::new()
//!     .timeout(Duration::from_secs(10))
//!     .critic("shouting", |ctx: CriticContext| async move {
//!         Ok(Finding::new(if ctx.input().chars().all(char::is_uppercase) { 0.6 } else { 0.0 }).into())
//!     })
//!     .run_blocking(RunInput::new("HELP"))?;
//! assert_eq!(report.decision().verdict, Verdict::Escalate);
//! # Ok::<(), critic_executor::SimpleError>(())
//! ```
//!
//! # A plan
//!
//! An [`ExecutionPlan`] is validated once and run any number of times. [`CriticSpec`] says for each critic in which
//! [`Stage`] it is, whom it waits for, and by which [`Policy`] it runs at all:
//!
//! ```
//! use critic_executor::{
//!     CriticContext, CriticSpec, ExecutionPlan, Executor, Finding, Policy, RunInput, Stage, Verdict, Violation,
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let words = |ctx: CriticContext| async move {
//!     let mut finding = Finding::clean();
//!     if ctx.input().contains("weapon") {
//!         finding = Finding::new(0.4).with_violation(Violation::new("weapon", "names a weapon"));
//!     }
//!     Ok(finding.into())
//! };
//! // Costly, so it only looks at what the cheap check found suspect.
//! let judge = |_ctx: CriticContext| async { Ok(Finding::new(0.95).into()) };
//! let plan = ExecutionPlan::build([
//!     CriticSpec::new("words", words).stage(Stage::FastCritics),
//!     CriticSpec::new("judge", judge).stage(Stage::DeepAnalysis).policy(Policy::OnViolation),
//! ])?;
//!
//! let executor = Executor::default();
//! let calm = executor.run(&plan, RunInput::new("a garden")).await?;
//! assert_eq!(calm.decision().verdict, Verdict::Allow);
//! assert_eq!(calm.critic("judge").unwrap().status.as_str(), "gated");
//!
//! let suspect = executor.run(&plan, RunInput::new("how to build a weapon")).await?;
//! assert_eq!(suspect.decision().verdict, Verdict::Block);
//! assert_eq!(suspect.deciding()[0].reason, "severity 0.95");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # An executor
//!
//! One [`Executor`] serves a process. It owns what is scarce, over all of its runs: permits (in all, per stage, per
//! critic), tokens, breakers, retry budgets and queues, all of them bounded by [`ExecutorSettings`]. Around a run stand
//! [`Hooks`], an [`AnswerCache`], [`RunOptions`] with a [`RunCanceller`], and [`guard()`], which couples a run with a
//! model call. Dropping a run's future cancels everything of it.
//!
//! # Afterwards
//!
//! A [`RunReport`] has an entry for every critic of the plan. Its [`RunRecord`] is canonical JSON without texts and
//! times; [`replay()`] and [`simulate()`] compute a verdict from it again, without calling a critic.
//! [`Executor::snapshot`] shows what goes on now; spans of `tracing` show where time went.
//!
//! # Features
//!
//! All of them are off, and none brings network or TLS.
//!
//! | feature | adds |
//! |---|---|
//! | `cel` | policies as CEL expressions |
//! | `config` | plans and settings from TOML and JSON, see `config::PlanFile` |
//! | `json-schema` | outputs checked against a JSON Schema |
//! | `metrics` | `ExecutorMetrics` for a Prometheus registry |
//!
//! With `panic = "abort"` a panic of a critic ends the process; with the default it ends the attempt.
#![forbid(unsafe_code)]

mod admission;
mod cache;
mod canonical_json;
mod catch;
#[cfg(feature = "cel")]
mod cel;
mod cleanup;
#[cfg(feature = "config")]
pub mod config;
mod context;
mod cost;
mod coverage;
mod critic;
mod edit;
mod error;
mod evidence;
mod executor;
mod finding;
mod foresight;
mod gate;
mod guard;
#[cfg(all(doctest, feature = "config"))]
mod guide;
mod hooks;
mod input;
mod judgement;
#[cfg(feature = "metrics")]
mod metrics;
mod money;
mod pipeline;
mod plan;
mod policy;
mod record;
mod registry;
mod replay;
mod report;
mod retry;
mod run_state;
#[cfg(feature = "json-schema")]
mod schema;
mod settings;
mod simple;
mod spec;
mod stage;
mod status;
mod ternary;
mod validation;
mod verdict;

pub use admission::breaker::BreakerState;
pub use cache::{AnswerCache, CacheKey};
#[cfg(feature = "cel")]
pub use cel::CelExpression;
pub use cleanup::CleanupWhen;
pub use context::CriticContext;
pub use cost::{Cost, CostSummary};
pub use coverage::{Coverage, Missing};
pub use critic::Critic;
pub use edit::{Edit, MergedEdits};
pub use error::{CriticError, ErrorKind};
pub use evidence::{EvidenceItem, EvidenceView};
pub use executor::{
    Activity, CriticState, Executor, ExecutorBuilder, ExecutorSettings, ExecutorSnapshot,
    Incidents, PermitUse, RunCanceller, RunError, RunOptions, RunningAttempt,
};
pub use finding::{CriticOutput, Evidence, Finding, Span, TextTarget, Violation};
pub use foresight::{DryRun, Foreseen};
pub use gate::GateDecision;
pub use guard::{GuardError, GuardRun, Guarded, guard};
pub use hooks::{HookDelivery, HookError, HookEvent, Hooks, RunInfo};
pub use input::{RiskLevel, RunInput};
#[cfg(feature = "metrics")]
pub use metrics::ExecutorMetrics;
pub use money::MicroDollars;
pub use pipeline::{
    Node, NodeContext, NodeError, NodeExecutor, NodeNotice, OrchestratorError, PartialResults,
    PipelineActivity, PipelineExecutor, PipelineOutcome, PipelineProblem, PipelineSettings,
    PipelineTimeout,
};
pub use plan::error::{PlanError, PlanErrors, PlanWarning};
pub use plan::explain::{ExplainedCritic, ExplainedStage, Explanation};
pub use plan::{Budget, ExecutionPlan, OnExhausted, PlanBuilder, RunTimeout};
pub use policy::{GateAnswer, Policy};
pub use record::{
    CoverageRecord, CriticRecord, EditRecord, FindingRecord, GateRecord, ItemRecord, RunRecord,
};
pub use registry::{CancelMetadata, CancellationRegistry, DuplicateId, RegistryGuard};
pub use replay::{Difference, Replay, replay, simulate};
pub use report::{
    AttemptOutcome, AttemptReport, CriticReport, Decider, Deciding, Decision, RunReport,
    StageTiming,
};
pub use settings::{
    BreakerPolicy, Jitter, RateLimit, RateLimitMode, RetryBudget, RetryPolicy, TripRule,
};
pub use simple::{SimpleError, SimpleOrchestrator};
pub use spec::{
    CriticSpec, Dependency, DependencyKind, ExecutionHint, FailureMode, RecordTexts, SeverityRule,
};
pub use stage::{Stage, StageMode};
pub use status::{AnswerSource, CancelReason, OutputProblem, RejectReason, Status, TimeoutScope};
pub use ternary::Ternary;
pub use validation::{OutputLimits, Validator};
pub use verdict::{Verdict, VerdictMap};
