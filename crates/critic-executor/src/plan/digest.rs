//! The digest of a plan: SHA-256 over everything that can change a result, in an order that does not depend on the
//! order of declaration.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{PlanNode, PlanSettings, RunTimeout};
use crate::canonical_json;
use crate::money::MicroDollars;
use crate::settings::{BreakerPolicy, RateLimit, RetryBudget, RetryPolicy};
use crate::spec::{CriticSpec, DependencyKind, FailureMode, RecordTexts, SeverityRule};
use crate::stage::Stage;
use crate::verdict::VerdictMap;

/// The version of the canonical form. A setting of a critic that has its default is left out of it, so whoever
/// changes a default raises the version.
const VERSION: u32 = 2;

pub(super) fn of(nodes: &[PlanNode], settings: &PlanSettings) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(canonical_json::to_string(&head(settings)));
    let mut line = Vec::new();
    for node in nodes {
        line.clear();
        line.push(b'\n');
        serde_json::to_writer(&mut line, &CanonicalCritic::of(node))
            .expect("names are strings, and a vector takes all that is written");
        hash.update(&line);
    }
    hash.finalize().into()
}

/// The settings of a critic itself as canonical JSON; `None` if it has none.
pub(super) fn critic_settings(spec: &CriticSpec) -> Option<Box<str>> {
    let settings = spec.critic.settings();
    (!settings.is_null()).then(|| canonical_json::to_string(&settings).into())
}

fn head(settings: &PlanSettings) -> Value {
    let run_timeout = match settings.run_timeout {
        RunTimeout::Executor => json!("executor"),
        RunTimeout::After(timeout) => json!(nanos(timeout)),
        RunTimeout::Unlimited => json!("unlimited"),
    };
    json!({
        "version": VERSION,
        "barriers": settings.barriers,
        "stage_timeouts_ns": settings.stage_timeouts.map(|timeout| timeout.map(nanos)),
        "run_timeout_ns": run_timeout,
        "verdict_map": settings.verdict_map,
        "missing_verdict": settings.missing_verdict,
        "quorum": settings.quorum,
        "early_stop": settings.early_stop,
        "fail_fast": settings.is_fail_fast,
        "budget": settings.budget,
        "output_limits": [settings.output_limits.max_bytes, settings.output_limits.max_violations],
    })
}

/// A critic as it is hashed, its fields in the order of their names.
#[derive(Serialize)]
struct CanonicalCritic<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_timeout_ns: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<&'a BreakerPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    context_keys: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<MicroDollars>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<(&'a str, DependencyKind)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_mode: Option<FailureMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    lenient: bool,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_timeout_ns: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<&'a RateLimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_texts: Option<RecordTexts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<RetryPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_budget: Option<RetryBudget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity_rule: Option<CanonicalRule<'a>>,
    stage: Stage,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_timeout_ns: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    validators: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum CanonicalRule<'a> {
    Own(&'a VerdictMap),
    Off,
}

impl<'a> CanonicalCritic<'a> {
    fn of(node: &'a PlanNode) -> Self {
        let spec = &node.spec;
        let mut depends_on: Vec<_> =
            spec.depends_on.iter().map(|dependency| (&*dependency.name, dependency.kind)).collect();
        depends_on.sort_by_key(|(name, kind)| (*name, *kind as u8));
        depends_on.dedup();
        let is_usual_timeout = spec.attempt_timeout == Some(CriticSpec::DEFAULT_ATTEMPT_TIMEOUT);
        #[cfg(feature = "json-schema")]
        let schema = spec.schema.as_ref().map(canonical_json::to_string);
        #[cfg(not(feature = "json-schema"))]
        let schema = None;
        Self {
            attempt_timeout_ns: (!is_usual_timeout).then(|| spec.attempt_timeout.map(nanos)),
            breaker: spec.breaker.as_ref(),
            concurrency: spec.concurrency,
            context_keys: sorted(&spec.context_keys),
            cost: unusual(spec.cost, MicroDollars::ZERO),
            depends_on,
            evidence: spec.evidence.as_deref().map(sorted),
            failure_mode: unusual(spec.failure_mode, FailureMode::default()),
            fallback: spec
                .fallback
                .as_ref()
                .map(|fallback| canonical_json::to_string(&fallback.settings())),
            lenient: spec.is_lenient,
            name: &spec.name,
            policy: (!spec.policy.is_always())
                .then(|| canonical_json::to_string(&spec.policy.canonical())),
            priority: unusual(spec.priority, CriticSpec::DEFAULT_PRIORITY),
            queue_timeout_ns: spec.queue_timeout.map(nanos),
            rate_limit: spec.rate_limit.as_ref(),
            record_texts: unusual(spec.record_texts, RecordTexts::default()),
            retry: unusual(spec.retry, RetryPolicy::default()),
            retry_budget: unusual(spec.retry_budget, RetryBudget::default()),
            schema,
            settings: node.critic_settings.as_deref(),
            severity_rule: match &spec.severity_rule {
                SeverityRule::Plan => None,
                SeverityRule::Own(map) => Some(CanonicalRule::Own(map)),
                SeverityRule::Off => Some(CanonicalRule::Off),
            },
            stage: spec.stage,
            total_timeout_ns: spec.total_timeout.map(nanos),
            validators: sorted(&spec.validators),
        }
    }
}

/// A setting, unless it has its default.
fn unusual<T: PartialEq>(value: T, default: T) -> Option<T> {
    (value != default).then_some(value)
}

fn sorted(names: &[Arc<str>]) -> Vec<&str> {
    let mut names: Vec<_> = names.iter().map(|name| &**name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Nanoseconds as text, because JSON numbers are exact only up to 2^53.
fn nanos(duration: Duration) -> String {
    duration.as_nanos().to_string()
}
