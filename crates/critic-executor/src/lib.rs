//! Runs a graph of critics over one LLM input and output, under deadlines and limits, and joins what they found
//! into one verdict that can be explained and replayed.
//!
//! A [`Critic`] is an async check. It sees one attempt's [`CriticContext`] and returns a [`CriticOutput`] with a
//! [`Finding`], or a [`CriticError`]. A [`Status`] says how a critic ended; only an answer has a finding, so a
//! check that died is never mistaken for one that found nothing.
#![forbid(unsafe_code)]

mod admission;
mod cache;
mod canonical_json;
mod catch;
#[cfg(feature = "cel")]
mod cel;
mod cleanup;
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
mod hooks;
mod input;
mod judgement;
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
    Activity, CriticState, Executor, ExecutorBuilder, ExecutorSettings, Incidents, RunCanceller,
    RunError, RunOptions,
};
pub use finding::{CriticOutput, Evidence, Finding, Span, TextTarget, Violation};
pub use foresight::{DryRun, Foreseen};
pub use gate::GateDecision;
pub use guard::{GuardError, GuardRun, Guarded, guard};
pub use hooks::{HookDelivery, HookError, HookEvent, Hooks, RunInfo};
pub use input::{RiskLevel, RunInput};
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
