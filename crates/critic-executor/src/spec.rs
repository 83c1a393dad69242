use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
#[cfg(feature = "json-schema")]
use serde_json::Value;

use crate::critic::Critic;
use crate::money::MicroDollars;
use crate::policy::Policy;
use crate::settings::{BreakerPolicy, RateLimit, RetryBudget, RetryPolicy};
use crate::stage::Stage;
use crate::verdict::VerdictMap;

/// Where the code of a critic runs. It never changes the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionHint {
    /// Polled in the run's own task. For critics that take microseconds.
    Inline,
    /// In a task of its own.
    #[default]
    Spawn,
    /// On the blocking pool. For critics that hold their thread.
    Blocking,
}

/// What a critic without an answer adds to the verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureMode {
    /// The plan's verdict for missing critics, which escalates by default.
    #[default]
    FailClosed,
    /// Nothing, but the report lists it and is degraded.
    FailOpen,
    /// Nothing, and coverage does not count it.
    Ignore,
}

impl FailureMode {
    /// The mode's name in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FailClosed => "fail_closed",
            Self::FailOpen => "fail_open",
            Self::Ignore => "ignore",
        }
    }
}

/// How a critic waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyKind {
    /// The other must have answered, or this one is skipped.
    Requires,
    /// The other must have ended, however.
    After,
}

/// A declared dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The other critic.
    pub name: Arc<str>,
    /// What is needed of it.
    pub kind: DependencyKind,
}

/// How a critic's severity becomes a verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum SeverityRule {
    /// By the plan's map.
    #[default]
    Plan,
    /// By a map of its own.
    Own(VerdictMap),
    /// Not at all.
    Off,
}

/// What a record keeps of texts that a critic put into its finding. Spans and kinds are always kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordTexts {
    /// Nothing.
    #[default]
    Omit,
    /// Their SHA-256.
    Hash,
    /// The texts, but nothing of evidence marked as personal.
    Store,
}

/// Everything a plan knows of one critic.
///
/// ```
/// use std::time::Duration;
/// use critic_executor::{CriticContext, CriticOutput, CriticSpec, MicroDollars, Policy, RetryPolicy, Stage};
///
/// let judge = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
/// let spec = CriticSpec::new("judge", judge)
///     .stage(Stage::DeepAnalysis)
///     .policy(Policy::OnViolation)
///     .attempt_timeout(Duration::from_secs(5))
///     .retry(RetryPolicy::attempts(3))
///     .concurrency(2)
///     .cost(MicroDollars::from_dollars(0.05));
/// assert_eq!(&*spec.name, "judge");
/// ```
#[derive(Clone)]
pub struct CriticSpec {
    /// Unique name within the plan. Nothing is inferred from it; critics of the same name share limits, breaker
    /// and retry budget across all plans of an executor.
    pub name: Arc<str>,
    /// The check itself.
    pub critic: Arc<dyn Critic>,
    /// Its stage.
    pub stage: Stage,
    /// From 1 (most urgent) to 10. It decides who gets a scarce permit, never the result.
    pub priority: u8,
    /// The critics it waits for.
    pub depends_on: Vec<Dependency>,
    /// When it runs.
    pub policy: Policy,
    /// The critics whose outcomes decide the policy; `None` takes all of earlier stages and the dependencies.
    pub evidence: Option<Vec<Arc<str>>>,
    /// How long one attempt may take.
    pub attempt_timeout: Option<Duration>,
    /// How long all of it may take, from the moment it is ready.
    pub total_timeout: Option<Duration>,
    /// How long it may wait to be admitted, from the moment it is ready.
    pub queue_timeout: Option<Duration>,
    /// What is repeated.
    pub retry: RetryPolicy,
    /// How many retries it may make over all runs.
    pub retry_budget: RetryBudget,
    /// How many attempts may start per second over all runs.
    pub rate_limit: Option<RateLimit>,
    /// How many attempts may be outstanding over all runs.
    pub concurrency: Option<usize>,
    /// Its circuit breaker.
    pub breaker: Option<BreakerPolicy>,
    /// What an attempt costs that does not report its cost.
    pub cost: MicroDollars,
    /// What a missing answer adds to the verdict.
    pub failure_mode: FailureMode,
    /// Names of validators registered with the plan.
    pub validators: Vec<Arc<str>>,
    /// A JSON Schema (2020-12) for the output as JSON; feature `json-schema`.
    #[cfg(feature = "json-schema")]
    pub schema: Option<Value>,
    /// Whether problems found by validators and schema are only noted. Numbers out of range and outputs above the
    /// size limits stay invalid.
    pub is_lenient: bool,
    /// Where its code runs.
    pub hint: ExecutionHint,
    /// Words for the embedder.
    pub tags: Vec<Arc<str>>,
    /// How its severity becomes a verdict.
    pub severity_rule: SeverityRule,
    /// Called after the last failure or timeout, within the time that is left.
    pub fallback: Option<Arc<dyn Critic>>,
    /// The context entries that its answer depends on; they are part of its cache key.
    pub context_keys: Vec<Arc<str>>,
    /// What a record keeps of its texts.
    pub record_texts: RecordTexts,
}

impl CriticSpec {
    /// The attempt timeout of a critic that names none.
    pub const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
    pub(crate) const DEFAULT_PRIORITY: u8 = 5;

    /// A critic with defaults: core analysis, priority 5, always, 10 seconds per attempt, no retry, no limits,
    /// no breaker, no cost, fail closed, in a task of its own.
    pub fn new(name: impl Into<Arc<str>>, critic: impl Critic + 'static) -> Self {
        Self::shared(name, Arc::new(critic))
    }

    /// Like [`CriticSpec::new`] for a critic that is shared already.
    pub fn shared(name: impl Into<Arc<str>>, critic: Arc<dyn Critic>) -> Self {
        Self {
            name: name.into(),
            critic,
            stage: Stage::CoreAnalysis,
            priority: Self::DEFAULT_PRIORITY,
            depends_on: Vec::new(),
            policy: Policy::Always,
            evidence: None,
            attempt_timeout: Some(Self::DEFAULT_ATTEMPT_TIMEOUT),
            total_timeout: None,
            queue_timeout: None,
            retry: RetryPolicy::default(),
            retry_budget: RetryBudget::default(),
            rate_limit: None,
            concurrency: None,
            breaker: None,
            cost: MicroDollars::ZERO,
            failure_mode: FailureMode::FailClosed,
            validators: Vec::new(),
            #[cfg(feature = "json-schema")]
            schema: None,
            is_lenient: false,
            hint: ExecutionHint::Spawn,
            tags: Vec::new(),
            severity_rule: SeverityRule::Plan,
            fallback: None,
            context_keys: Vec::new(),
            record_texts: RecordTexts::Omit,
        }
    }

    /// Sets the stage.
    #[must_use]
    pub fn stage(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self
    }

    /// Sets the priority, from 1 (most urgent) to 10.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Adds critics that must have answered before this one.
    #[must_use]
    pub fn requires<N: Into<Arc<str>>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.depends(names, DependencyKind::Requires)
    }

    /// Adds critics that must have ended before this one, however.
    #[must_use]
    pub fn after<N: Into<Arc<str>>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.depends(names, DependencyKind::After)
    }

    fn depends<N: Into<Arc<str>>>(
        mut self,
        names: impl IntoIterator<Item = N>,
        kind: DependencyKind,
    ) -> Self {
        self.depends_on
            .extend(names.into_iter().map(|name| Dependency { name: name.into(), kind }));
        self
    }

    /// Sets when it runs.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the critics whose outcomes decide the policy.
    #[must_use]
    pub fn evidence<N: Into<Arc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.evidence = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets how long one attempt may take.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Lets an attempt take as long as the critic, its stage and the run have.
    #[must_use]
    pub fn no_attempt_timeout(mut self) -> Self {
        self.attempt_timeout = None;
        self
    }

    /// Sets how long queueing, waits, attempts and retries may take together.
    #[must_use]
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = Some(timeout);
        self
    }

    /// Sets how long it may wait to be admitted.
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.queue_timeout = Some(timeout);
        self
    }

    /// Sets what is repeated.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how many retries it may make over all runs.
    #[must_use]
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.retry_budget = budget;
        self
    }

    /// Sets how many attempts may start per second over all runs.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// Sets how many attempts may be outstanding over all runs.
    #[must_use]
    pub fn concurrency(mut self, limit: usize) -> Self {
        self.concurrency = Some(limit);
        self
    }

    /// Gives it a circuit breaker.
    #[must_use]
    pub fn breaker(mut self, breaker: BreakerPolicy) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// Sets what an attempt costs that does not report its cost.
    #[must_use]
    pub fn cost(mut self, cost: MicroDollars) -> Self {
        self.cost = cost;
        self
    }

    /// Sets what a missing answer adds to the verdict.
    #[must_use]
    pub fn failure_mode(mut self, mode: FailureMode) -> Self {
        self.failure_mode = mode;
        self
    }

    /// Adds validators by the names under which the plan registers them.
    #[must_use]
    pub fn validators<N: Into<Arc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.validators.extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets a JSON Schema (2020-12) for the output as JSON. References to other documents are refused.
    #[cfg(feature = "json-schema")]
    #[must_use]
    pub fn schema(mut self, schema: Value) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Only notes the problems that validators and schema find.
    #[must_use]
    pub fn lenient(mut self) -> Self {
        self.is_lenient = true;
        self
    }

    /// Sets where its code runs.
    #[must_use]
    pub fn hint(mut self, hint: ExecutionHint) -> Self {
        self.hint = hint;
        self
    }

    /// Adds a word for the embedder.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Sets how its severity becomes a verdict.
    #[must_use]
    pub fn severity_rule(mut self, rule: SeverityRule) -> Self {
        self.severity_rule = rule;
        self
    }

    /// Sets what is asked after the last failure or timeout.
    #[must_use]
    pub fn fallback(mut self, fallback: impl Critic + 'static) -> Self {
        self.fallback = Some(Arc::new(fallback));
        self
    }

    /// Names the context entries that its answer depends on.
    #[must_use]
    pub fn context_keys<N: Into<Arc<str>>>(mut self, keys: impl IntoIterator<Item = N>) -> Self {
        self.context_keys.extend(keys.into_iter().map(Into::into));
        self
    }

    /// Sets what a record keeps of its texts.
    #[must_use]
    pub fn record_texts(mut self, texts: RecordTexts) -> Self {
        self.record_texts = texts;
        self
    }
}

impl fmt::Debug for CriticSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CriticSpec")
            .field("name", &self.name)
            .field("stage", &self.stage)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
