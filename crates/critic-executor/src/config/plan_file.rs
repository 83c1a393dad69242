use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decode::decode;
use super::error::{ConfigError, ConfigErrors};
use super::source::Source;
use super::values::{Dollars, Limit, Time};
use crate::input::RiskLevel;
use crate::plan::OnExhausted;
use crate::settings::{Jitter, RateLimitMode};
use crate::spec::{ExecutionHint, FailureMode, RecordTexts};
use crate::stage::{Stage, StageMode};
use crate::verdict::Verdict;

/// A plan and an executor's settings as a file has them. Any of its keys can be left out but the kinds of critics;
/// unknown ones are errors.
///
/// ```
/// use critic_executor::{CriticContext, CriticOutput, config::{CriticKinds, PlanFile}};
///
/// let file = PlanFile::from_toml("plan.toml", r#"
///     [plan]
///     run_timeout = "2s"
///     [critics.words]
///     kind = "words"
///     settings = ["password"]
///     stage = "fast_critics"
/// "#)?;
/// let kinds = CriticKinds::new().kind("words", |words: Vec<String>| {
///     Ok::<_, String>(move |ctx: CriticContext| {
///         let found = words.iter().any(|word| ctx.input().contains(word.as_str()));
///         async move { Ok(critic_executor::Finding::new(if found { 0.9 } else { 0.0 }).into()) }
///     })
/// });
/// let plan = file.plan(&kinds)?;
/// assert_eq!(plan.names().collect::<Vec<_>>(), ["words"]);
/// # Ok::<(), critic_executor::config::ConfigErrors>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlanFile {
    /// The limits of an executor.
    #[serde(skip_serializing_if = "is_default")]
    pub executor: ExecutorSection,
    /// The settings of the plan as a whole.
    #[serde(skip_serializing_if = "is_default")]
    pub plan: PlanSection,
    /// The critics by their names.
    #[serde(skip_serializing_if = "is_default")]
    pub critics: BTreeMap<String, CriticSection>,
    /// Where things stand, for errors.
    #[serde(skip)]
    pub(super) source: Source,
}

impl PlanFile {
    /// Reads TOML. `file` is what errors call it.
    ///
    /// # Errors
    /// All that is wrong, with places: syntax first, then unknown keys and values that cannot be used.
    pub fn from_toml(file: &str, text: &str) -> Result<Self, ConfigErrors> {
        Self::decoded(Source::toml(file, text)?)
    }

    /// Reads JSON. `file` is what errors call it.
    ///
    /// # Errors
    /// As for TOML.
    pub fn from_json(file: &str, text: &str) -> Result<Self, ConfigErrors> {
        Self::decoded(Source::json(file, text)?)
    }

    fn decoded((source, value): (Source, Value)) -> Result<Self, ConfigErrors> {
        match decode::<Self>(value) {
            Ok(file) => Ok(Self { source, ..file }),
            Err(problems) => {
                let errors = problems.into_iter().map(|(path, text)| source.error(&path, text));
                Err(ConfigErrors::sorted(errors.collect()))
            }
        }
    }

    /// The file as TOML, with the keys that are set.
    ///
    /// # Errors
    /// A critic's settings hold a null, which TOML does not have.
    pub fn to_toml(&self) -> Result<String, ConfigErrors> {
        toml::to_string_pretty(self).map_err(|error| self.unwritable(&error))
    }

    /// The file as JSON, with the keys that are set.
    ///
    /// # Errors
    /// None that are known.
    pub fn to_json(&self) -> Result<String, ConfigErrors> {
        serde_json::to_string_pretty(self).map_err(|error| self.unwritable(&error))
    }

    fn unwritable(&self, error: &dyn std::fmt::Display) -> ConfigErrors {
        let error: ConfigError = self.source.error(&[], error.to_string());
        ConfigErrors(vec![error])
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The limits of an executor. What is not set keeps its default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExecutorSection {
    /// Attempts outstanding at once.
    #[serde(skip_serializing_if = "is_default")]
    pub global_limit: Option<Limit<usize>>,
    /// Attempts outstanding at once per stage.
    #[serde(skip_serializing_if = "is_default")]
    pub stage_limits: BTreeMap<Stage, usize>,
    /// Critics waiting for admission.
    #[serde(skip_serializing_if = "is_default")]
    pub queue_limit: Option<Limit<usize>>,
    /// Runs at once.
    #[serde(skip_serializing_if = "is_default")]
    pub max_concurrent_runs: Option<Limit<usize>>,
    /// Runs waiting for a place.
    #[serde(skip_serializing_if = "is_default")]
    pub run_queue_limit: Option<usize>,
    /// How long a run may take whose plan says nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub run_timeout: Option<Limit<Time>>,
    /// How long a stopped attempt may go on.
    #[serde(skip_serializing_if = "is_default")]
    pub grace: Option<Time>,
    /// How long cleanups may take.
    #[serde(skip_serializing_if = "is_default")]
    pub cleanup_limit: Option<Time>,
    /// After how long a waiter's priority improves by one.
    #[serde(skip_serializing_if = "is_default")]
    pub aging_interval: Option<Time>,
    /// Blocking calls that may go on after their attempts have ended.
    #[serde(skip_serializing_if = "is_default")]
    pub max_detached_blocking: Option<usize>,
}

/// The settings of a plan as a whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlanSection {
    /// Where the barriers are.
    #[serde(skip_serializing_if = "is_default")]
    pub mode: Option<StageMode>,
    /// Barriers after single stages, set or taken away.
    #[serde(skip_serializing_if = "is_default")]
    pub barriers: BTreeMap<Stage, bool>,
    /// How long stages may take.
    #[serde(skip_serializing_if = "is_default")]
    pub stage_timeouts: BTreeMap<Stage, Time>,
    /// How long a run may take.
    #[serde(skip_serializing_if = "is_default")]
    pub run_timeout: Option<Limit<Time>>,
    /// How long an attempt may take of critics that do not say so.
    #[serde(skip_serializing_if = "is_default")]
    pub attempt_timeout: Option<Time>,
    /// How severities become verdicts.
    #[serde(skip_serializing_if = "is_default")]
    pub verdict_map: Option<VerdictMapSection>,
    /// Whether a missing critic that fails closed blocks instead of escalates.
    #[serde(skip_serializing_if = "is_default")]
    pub missing_blocks: bool,
    /// How many answers there must be.
    #[serde(skip_serializing_if = "is_default")]
    pub quorum: Option<usize>,
    /// From which verdict on a run ends at once.
    #[serde(skip_serializing_if = "is_default")]
    pub early_stop: Option<Verdict>,
    /// Whether the first missing critic ends the run.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_fast: bool,
    /// What a run may spend.
    #[serde(skip_serializing_if = "is_default")]
    pub budget: Option<BudgetSection>,
    /// How large an output may be.
    #[serde(skip_serializing_if = "is_default")]
    pub output_limits: Option<OutputLimitsSection>,
}

/// From which severity on a finding blocks or escalates; what is left out never does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerdictMapSection {
    /// Severities from here on block.
    #[serde(skip_serializing_if = "is_default")]
    pub block_from: Option<f64>,
    /// Severities from here on escalate.
    #[serde(skip_serializing_if = "is_default")]
    pub escalate_from: Option<f64>,
}

/// How large an output may be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputLimitsSection {
    /// Bytes of all texts and data.
    #[serde(skip_serializing_if = "is_default")]
    pub max_bytes: Option<usize>,
    /// Violations.
    #[serde(skip_serializing_if = "is_default")]
    pub max_violations: Option<usize>,
}

/// One critic. Its name is the key of its table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CriticSection {
    /// The kind of critic, as registered.
    pub kind: String,
    /// What the kind is configured with.
    #[serde(skip_serializing_if = "is_default")]
    pub settings: Option<Value>,
    /// Its stage.
    #[serde(skip_serializing_if = "is_default")]
    pub stage: Option<Stage>,
    /// From 1 (most urgent) to 10.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: Option<u8>,
    /// Critics that must have answered before it.
    #[serde(skip_serializing_if = "is_default")]
    pub requires: Vec<String>,
    /// Critics that must have ended before it.
    #[serde(skip_serializing_if = "is_default")]
    pub after: Vec<String>,
    /// When it runs.
    #[serde(skip_serializing_if = "is_default")]
    pub policy: Option<PolicySection>,
    /// The critics whose outcomes decide the policy.
    #[serde(skip_serializing_if = "is_default")]
    pub evidence: Option<Vec<String>>,
    /// How long one attempt may take.
    #[serde(skip_serializing_if = "is_default")]
    pub attempt_timeout: Option<Limit<Time>>,
    /// How long all of it may take.
    #[serde(skip_serializing_if = "is_default")]
    pub total_timeout: Option<Time>,
    /// How long it may wait to be admitted.
    #[serde(skip_serializing_if = "is_default")]
    pub queue_timeout: Option<Time>,
    /// What is repeated.
    #[serde(skip_serializing_if = "is_default")]
    pub retry: Option<RetrySection>,
    /// How many retries it may make over all runs.
    #[serde(skip_serializing_if = "is_default")]
    pub retry_budget: Option<RetryBudgetSection>,
    /// How many attempts may start per second.
    #[serde(skip_serializing_if = "is_default")]
    pub rate_limit: Option<RateLimitSection>,
    /// How many attempts may be outstanding.
    #[serde(skip_serializing_if = "is_default")]
    pub concurrency: Option<usize>,
    /// Its circuit breaker.
    #[serde(skip_serializing_if = "is_default")]
    pub breaker: Option<BreakerSection>,
    /// What an attempt costs that does not report its cost.
    #[serde(skip_serializing_if = "is_default")]
    pub cost_dollars: Option<Dollars>,
    /// What a missing answer adds to the verdict.
    #[serde(skip_serializing_if = "is_default")]
    pub failure_mode: Option<FailureMode>,
    /// Validators, as registered.
    #[serde(skip_serializing_if = "is_default")]
    pub validators: Vec<String>,
    /// A JSON Schema for its output; needs the feature `json-schema`.
    #[serde(skip_serializing_if = "is_default")]
    pub schema: Option<Value>,
    /// Whether problems found by validators and schema are only noted.
    #[serde(skip_serializing_if = "is_default")]
    pub lenient: bool,
    /// Where its code runs.
    #[serde(skip_serializing_if = "is_default")]
    pub hint: Option<ExecutionHint>,
    /// Words for the embedder.
    #[serde(skip_serializing_if = "is_default")]
    pub tags: Vec<String>,
    /// How its severity becomes a verdict.
    #[serde(skip_serializing_if = "is_default")]
    pub severity_rule: Option<SeverityRuleSection>,
    /// What is asked after the last failure or timeout.
    #[serde(skip_serializing_if = "is_default")]
    pub fallback: Option<FallbackSection>,
    /// The context entries that its answer depends on.
    #[serde(skip_serializing_if = "is_default")]
    pub context_keys: Vec<String>,
    /// What a record keeps of its texts.
    #[serde(skip_serializing_if = "is_default")]
    pub record_texts: Option<RecordTexts>,
}

/// What is repeated. What is not set keeps its default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySection {
    /// Attempts in total.
    #[serde(skip_serializing_if = "is_default")]
    pub max_attempts: Option<u32>,
    /// Delay before the first retry.
    #[serde(skip_serializing_if = "is_default")]
    pub base: Option<Time>,
    /// Factor from each retry to the next.
    #[serde(skip_serializing_if = "is_default")]
    pub multiplier: Option<f64>,
    /// Longest delay.
    #[serde(skip_serializing_if = "is_default")]
    pub cap: Option<Time>,
    /// How the delay is spread.
    #[serde(skip_serializing_if = "is_default")]
    pub jitter: Option<Jitter>,
    /// Whether transient errors are repeated.
    #[serde(skip_serializing_if = "is_default")]
    pub on_transient: Option<bool>,
    /// Whether rate-limited attempts are repeated.
    #[serde(skip_serializing_if = "is_default")]
    pub on_rate_limited: Option<bool>,
    /// Whether attempts that ran out of time are repeated.
    #[serde(skip_serializing_if = "is_default")]
    pub on_attempt_timeout: Option<bool>,
    /// Whether invalid outputs are repeated.
    #[serde(skip_serializing_if = "is_default")]
    pub on_invalid: Option<bool>,
}

/// How many retries a critic may make over all runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryBudgetSection {
    /// Retries per first attempt within the window.
    #[serde(skip_serializing_if = "is_default")]
    pub ratio: Option<f64>,
    /// Retries per second that are always free.
    #[serde(skip_serializing_if = "is_default")]
    pub per_second: Option<f64>,
    /// The window.
    #[serde(skip_serializing_if = "is_default")]
    pub window: Option<Time>,
}

/// A circuit breaker. With `consecutive` it opens after so many failures in a row, else by the rate of failures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerSection {
    /// Failures in a row.
    #[serde(skip_serializing_if = "is_default")]
    pub consecutive: Option<u32>,
    /// How many calls are looked at.
    #[serde(skip_serializing_if = "is_default")]
    pub window: Option<u32>,
    /// How many there must be.
    #[serde(skip_serializing_if = "is_default")]
    pub min_calls: Option<u32>,
    /// The share of failures that opens it.
    #[serde(skip_serializing_if = "is_default")]
    pub ratio: Option<f64>,
    /// How long it stays open.
    #[serde(skip_serializing_if = "is_default")]
    pub open: Option<Time>,
    /// How many probes may be outstanding.
    #[serde(skip_serializing_if = "is_default")]
    pub probes: Option<u32>,
    /// How many successful probes close it.
    #[serde(skip_serializing_if = "is_default")]
    pub successes: Option<u32>,
}

/// What a run may spend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetSection {
    /// The most that may be spent or reserved.
    pub limit_dollars: Dollars,
    /// What happens when it does not suffice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exhausted: Option<OnExhausted>,
}

/// A token bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitSection {
    /// Tokens per second.
    pub per_second: f64,
    /// Size of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// What happens when it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<RateLimitMode>,
}

/// A critic that is asked where another fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FallbackSection {
    /// The kind of critic, as registered.
    pub kind: String,
    /// What the kind is configured with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
}

/// When a critic runs. The variants without parts are written as their names: `policy = "on_violation"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PolicySection {
    /// Always.
    Always,
    /// If something was found.
    OnViolation,
    /// If the risk or a severity is high.
    OnHighRisk {
        /// The level of risk; high where it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        level: Option<RiskLevel>,
        /// The severity; 0.7 where it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        severity_from: Option<f64>,
    },
    /// If an answer is uncertain.
    OnUncertainty {
        /// The uncertainty; 0.7 where it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uncertainty_from: Option<f64>,
    },
    /// If all of these say so.
    All(Vec<Self>),
    /// If any of these says so.
    Any(Vec<Self>),
    /// If this one says no.
    Not(Box<Self>),
    /// If an expression says so; needs the feature `cel`.
    Cel(String),
    /// If a policy says so that the program registered under this name.
    Named(String),
}

/// How a critic's severity becomes a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SeverityRuleSection {
    /// By the plan's map.
    Plan,
    /// Not at all.
    Off,
    /// By a map of its own.
    Map(VerdictMapSection),
}
