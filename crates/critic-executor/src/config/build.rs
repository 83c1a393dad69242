use std::sync::Arc;

use serde_json::Value;

use super::error::{ConfigError, ConfigErrors};
use super::kinds::CriticKinds;
use super::plan_file::{
    BreakerSection, CriticSection, PlanFile, PolicySection, SeverityRuleSection, VerdictMapSection,
};
use super::source::Step;
use super::values::Limit;
use crate::critic::Critic;
use crate::executor::ExecutorSettings;
use crate::finding::CriticOutput;
use crate::input::{RiskLevel, RunInput};
use crate::plan::error::PlanError;
use crate::plan::{ExecutionPlan, PlanBuilder};
use crate::policy::Policy;
use crate::settings::{BreakerPolicy, RateLimit, TripRule};
use crate::spec::{CriticSpec, SeverityRule};
use crate::validation::OutputLimits;
use crate::verdict::VerdictMap;

impl PlanFile {
    /// The plan of the file, with critics of these kinds.
    ///
    /// # Errors
    /// All that is wrong, with places: unknown kinds, settings that a kind cannot use, and everything that
    /// building a plan finds.
    pub fn plan(&self, kinds: &CriticKinds) -> Result<ExecutionPlan, ConfigErrors> {
        let mut builder = Builder { file: self, kinds, errors: Vec::new() };
        let mut plan = builder.settings();
        for (name, section) in &self.critics {
            if let Some(spec) = builder.critic(name, section) {
                plan = plan.critic(spec);
            }
        }
        for (name, validator) in &kinds.validators {
            let validator = Arc::clone(validator);
            plan = plan.validator(name.as_str(), move |output: &CriticOutput, input: &RunInput| {
                validator.validate(output, input)
            });
        }
        match plan.build() {
            Ok(plan) if builder.errors.is_empty() => return Ok(plan),
            Ok(_) => {}
            Err(errors) => {
                // A critic that could not be made is not unknown to those who name it.
                let is_left_out = |name: &str| self.critics.contains_key(name);
                let errors = errors.0.into_iter().filter(|error| match error {
                    PlanError::UnknownDependency { name, .. }
                    | PlanError::UnknownEvidence { name, .. } => !is_left_out(name),
                    _ => true,
                });
                let errors =
                    errors.map(|error| self.source.error(&place_of(&error), error.to_string()));
                builder.errors.extend(errors);
            }
        }
        Err(ConfigErrors::sorted(builder.errors))
    }

    /// The settings for an executor.
    #[must_use]
    pub fn executor_settings(&self) -> ExecutorSettings {
        let section = &self.executor;
        let mut settings = ExecutorSettings::default();
        if let Some(limit) = section.global_limit {
            settings.global_limit = limit.get();
        }
        for (stage, limit) in &section.stage_limits {
            settings.stage_limits[stage.index()] = Some(*limit);
        }
        if let Some(limit) = section.queue_limit {
            settings.queue_limit = limit.get();
        }
        if let Some(limit) = section.max_concurrent_runs {
            settings.max_concurrent_runs = limit.get();
        }
        if let Some(limit) = section.run_timeout {
            settings.run_timeout = limit.get().map(|time| time.0);
        }
        set(&mut settings.run_queue_limit, section.run_queue_limit);
        set(&mut settings.grace, section.grace.map(|time| time.0));
        set(&mut settings.cleanup_limit, section.cleanup_limit.map(|time| time.0));
        set(&mut settings.aging_interval, section.aging_interval.map(|time| time.0));
        set(&mut settings.max_detached_blocking, section.max_detached_blocking);
        settings
    }
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

/// Where what a plan's error is about stands in the file.
fn place_of(error: &PlanError) -> Vec<Step> {
    let critic = |name: &str, setting: &str| {
        let setting = setting.split('.').filter(|part| !part.is_empty()).map(key);
        [key("critics"), key(name)].into_iter().chain(setting).collect()
    };
    match error {
        PlanError::InvalidSetting { critic: Some(name), setting, .. } => critic(name, setting),
        PlanError::InvalidSetting { critic: None, setting, .. } => {
            [key("plan")].into_iter().chain(setting.split('.').map(key)).collect()
        }
        PlanError::DuplicateName { name } => critic(name, ""),
        PlanError::EmptyName => critic("", ""),
        PlanError::UnknownDependency { critic: name, .. }
        | PlanError::SelfDependency { critic: name }
        | PlanError::LaterDependency { critic: name, .. } => critic(name, "requires"),
        PlanError::UnknownEvidence { critic: name, .. }
        | PlanError::LaterEvidence { critic: name, .. } => critic(name, "evidence"),
        PlanError::UnknownValidator { critic: name, .. } => critic(name, "validators"),
        PlanError::Cycle { path } => path.first().map_or(Vec::new(), |name| critic(name, "")),
        PlanError::DoesNotCompile { critic: name, what, .. } => critic(name, what),
    }
}

struct Builder<'a> {
    file: &'a PlanFile,
    kinds: &'a CriticKinds,
    errors: Vec<ConfigError>,
}

impl Builder<'_> {
    fn fail(&mut self, path: &[Step], problem: impl Into<String>) {
        self.errors.push(self.file.source.error(path, problem));
    }

    fn settings(&mut self) -> PlanBuilder {
        let section = &self.file.plan;
        let mut plan = ExecutionPlan::builder();
        if let Some(mode) = section.mode {
            plan = plan.mode(mode);
        }
        for (stage, is_barrier) in &section.barriers {
            plan = plan.barrier_after(*stage, *is_barrier);
        }
        for (stage, timeout) in &section.stage_timeouts {
            plan = plan.stage_timeout(*stage, timeout.0);
        }
        plan = match section.run_timeout {
            None => plan,
            Some(Limit::At(timeout)) => plan.run_timeout(timeout.0),
            Some(Limit::None) => plan.no_run_timeout(),
        };
        if let Some(timeout) = section.attempt_timeout {
            plan = plan.attempt_timeout(timeout.0);
        }
        if let Some(map) = &section.verdict_map {
            plan = plan.verdict_map(map.map());
        }
        if section.missing_blocks {
            plan = plan.missing_blocks();
        }
        if let Some(answers) = section.quorum {
            plan = plan.quorum(answers);
        }
        if let Some(verdict) = section.early_stop {
            plan = plan.early_stop(verdict);
        }
        if section.fail_fast {
            plan = plan.fail_fast();
        }
        if let Some(budget) = &section.budget {
            plan = plan.budget(budget.limit_dollars.0, budget.on_exhausted.unwrap_or_default());
        }
        if let Some(limits) = &section.output_limits {
            let mut output_limits = OutputLimits::default();
            set(&mut output_limits.max_bytes, limits.max_bytes);
            set(&mut output_limits.max_violations, limits.max_violations);
            plan = plan.output_limits(output_limits);
        }
        plan
    }

    /// `None` if the critic itself cannot be made.
    fn critic(&mut self, name: &str, section: &CriticSection) -> Option<CriticSpec> {
        let place = [key("critics"), key(name)];
        let critic = self.make(&place, &section.kind, section.settings.as_ref());
        let mut spec = CriticSpec::shared(name, critic?);
        set(&mut spec.stage, section.stage);
        set(&mut spec.priority, section.priority);
        spec = spec.requires(section.requires.iter().map(String::as_str));
        spec = spec.after(section.after.iter().map(String::as_str));
        if let Some(policy) = &section.policy {
            let path = [&place[..], &[key("policy")]].concat();
            spec.policy = self.policy(&path, policy);
        }
        if let Some(evidence) = &section.evidence {
            spec = spec.evidence(evidence.iter().map(String::as_str));
        }
        if let Some(timeout) = section.attempt_timeout {
            spec.attempt_timeout = timeout.get().map(|time| time.0);
        }
        spec.total_timeout = section.total_timeout.map(|time| time.0);
        spec.queue_timeout = section.queue_timeout.map(|time| time.0);
        if let Some(retry) = &section.retry {
            let policy = &mut spec.retry;
            set(&mut policy.max_attempts, retry.max_attempts);
            set(&mut policy.base, retry.base.map(|time| time.0));
            set(&mut policy.multiplier, retry.multiplier);
            set(&mut policy.cap, retry.cap.map(|time| time.0));
            set(&mut policy.jitter, retry.jitter);
            set(&mut policy.on_transient, retry.on_transient);
            set(&mut policy.on_rate_limited, retry.on_rate_limited);
            set(&mut policy.on_attempt_timeout, retry.on_attempt_timeout);
            set(&mut policy.on_invalid, retry.on_invalid);
        }
        if let Some(budget) = &section.retry_budget {
            set(&mut spec.retry_budget.ratio, budget.ratio);
            set(&mut spec.retry_budget.per_second, budget.per_second);
            set(&mut spec.retry_budget.window, budget.window.map(|time| time.0));
        }
        if let Some(limit) = &section.rate_limit {
            spec.rate_limit = Some(RateLimit {
                per_second: limit.per_second,
                burst: limit.burst.unwrap_or(1),
                mode: limit.mode.unwrap_or_default(),
            });
        }
        spec.concurrency = section.concurrency;
        if let Some(breaker) = &section.breaker {
            let path = [&place[..], &[key("breaker")]].concat();
            spec.breaker = Some(self.breaker(&path, breaker));
        }
        set(&mut spec.cost, section.cost_dollars.map(|cost| cost.0));
        set(&mut spec.failure_mode, section.failure_mode);
        spec = spec.validators(section.validators.iter().map(String::as_str));
        if let Some(schema) = &section.schema {
            #[cfg(feature = "json-schema")]
            {
                spec.schema = Some(schema.clone());
            }
            #[cfg(not(feature = "json-schema"))]
            {
                let _ = schema;
                let path = [&place[..], &[key("schema")]].concat();
                self.fail(&path, "this program was built without the feature `json-schema`");
            }
        }
        spec.is_lenient = section.lenient;
        set(&mut spec.hint, section.hint);
        spec.tags = section.tags.iter().map(|tag| Arc::from(tag.as_str())).collect();
        match &section.severity_rule {
            None | Some(SeverityRuleSection::Plan) => {}
            Some(SeverityRuleSection::Off) => spec.severity_rule = SeverityRule::Off,
            Some(SeverityRuleSection::Map(map)) => {
                spec.severity_rule = SeverityRule::Own(map.map())
            }
        }
        if let Some(fallback) = &section.fallback {
            let path = [&place[..], &[key("fallback")]].concat();
            spec.fallback = self.make(&path, &fallback.kind, fallback.settings.as_ref());
        }
        spec = spec.context_keys(section.context_keys.iter().map(String::as_str));
        set(&mut spec.record_texts, section.record_texts);
        Some(spec)
    }

    fn make(
        &mut self,
        place: &[Step],
        kind: &str,
        settings: Option<&Value>,
    ) -> Option<Arc<dyn Critic>> {
        let Some(make) = self.kinds.make(kind) else {
            let known: Vec<_> = self.kinds.names().map(|name| format!("`{name}`")).collect();
            let problem = match kind {
                "" => format!("a critic needs a `kind`, one of {}", known.join(", ")),
                kind => format!("unknown kind `{kind}`, expected one of {}", known.join(", ")),
            };
            self.fail(&[place, &[key("kind")]].concat(), problem);
            return None;
        };
        match make(settings.cloned().unwrap_or(Value::Null)) {
            Ok(critic) => Some(critic),
            Err(problems) => {
                for (path, problem) in problems {
                    let path = [place, &[key("settings")], &path].concat();
                    self.fail(&path, problem);
                }
                None
            }
        }
    }

    fn policy(&mut self, place: &[Step], section: &PolicySection) -> Policy {
        let below = |name: &str| [place, &[key(name)]].concat();
        let all = |builder: &mut Self, name: &str, sections: &[PolicySection]| {
            let path = below(name);
            let parts = sections.iter().enumerate().map(|(index, section)| {
                builder.policy(&[&path[..], &[Step::Index(index)]].concat(), section)
            });
            parts.collect::<Vec<_>>()
        };
        match section {
            PolicySection::Always => Policy::Always,
            PolicySection::OnViolation => Policy::OnViolation,
            PolicySection::OnHighRisk { level, severity_from } => Policy::OnHighRisk {
                level: level.unwrap_or(RiskLevel::High),
                severity_from: severity_from.unwrap_or(0.7),
            },
            PolicySection::OnUncertainty { uncertainty_from } => {
                Policy::OnUncertainty { uncertainty_from: uncertainty_from.unwrap_or(0.7) }
            }
            PolicySection::All(sections) => Policy::All(all(self, "all", sections)),
            PolicySection::Any(sections) => Policy::Any(all(self, "any", sections)),
            PolicySection::Not(section) => Policy::not(self.policy(&below("not"), section)),
            #[cfg(feature = "cel")]
            PolicySection::Cel(source) => Policy::cel(source),
            #[cfg(not(feature = "cel"))]
            PolicySection::Cel(_) => {
                self.fail(&below("cel"), "this program was built without the feature `cel`");
                Policy::Always
            }
            PolicySection::Named(name) => match self.kinds.named_policy(name) {
                Some(policy) => policy.clone(),
                None => {
                    self.fail(&below("named"), format!("no policy is registered as `{name}`"));
                    Policy::Always
                }
            },
        }
    }

    fn breaker(&mut self, place: &[Step], section: &BreakerSection) -> BreakerPolicy {
        let BreakerSection { consecutive, window, min_calls, ratio, open, probes, successes } =
            section;
        let mut policy = BreakerPolicy::default();
        if let Some(failures) = consecutive {
            if window.is_some() || min_calls.is_some() || ratio.is_some() {
                let path = [place, &[key("consecutive")]].concat();
                self.fail(&path, "goes with neither `window` nor `min_calls` nor `ratio`");
            }
            policy.trip = TripRule::Consecutive(*failures);
        } else if let TripRule::FailureRate { window: calls, min_calls: least, ratio: share } =
            &mut policy.trip
        {
            set(calls, *window);
            set(least, *min_calls);
            set(share, *ratio);
        }
        set(&mut policy.open, open.map(|time| time.0));
        set(&mut policy.probes, *probes);
        set(&mut policy.successes, *successes);
        policy
    }
}

impl VerdictMapSection {
    fn map(&self) -> VerdictMap {
        VerdictMap { block_from: self.block_from, escalate_from: self.escalate_from }
    }
}
