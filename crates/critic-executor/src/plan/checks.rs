//! Numbers that are out of range, and settings that are legal but suspect.

use std::sync::Arc;
use std::time::Duration;

use super::error::{PlanError, PlanWarning};
use super::{PlanInner, PlanSettings, RunTimeout};
use crate::settings::{Jitter, TripRule};
use crate::spec::{CriticSpec, FailureMode, SeverityRule};
use crate::stage::Stage;
use crate::verdict::VerdictMap;

struct Checker<'a> {
    critic: Option<Arc<str>>,
    errors: &'a mut Vec<PlanError>,
}

impl Checker<'_> {
    fn fail(&mut self, setting: &'static str, problem: impl Into<String>) {
        self.errors.push(PlanError::InvalidSetting {
            critic: self.critic.clone(),
            setting,
            problem: problem.into(),
        });
    }

    fn duration(&mut self, setting: &'static str, duration: Option<Duration>) {
        if duration == Some(Duration::ZERO) {
            self.fail(setting, "must not be zero");
        }
    }

    fn at_least_one(&mut self, setting: &'static str, number: usize) {
        if number == 0 {
            self.fail(setting, "must be at least 1");
        }
    }

    fn ratio(&mut self, setting: &'static str, ratio: f64) {
        if !(0.0..=1.0).contains(&ratio) {
            self.fail(setting, format!("must be in 0 to 1, not {ratio}"));
        }
    }

    fn verdict_map(&mut self, map: &VerdictMap) {
        map.block_from.into_iter().for_each(|from| self.ratio("verdict_map.block_from", from));
        map.escalate_from
            .into_iter()
            .for_each(|from| self.ratio("verdict_map.escalate_from", from));
    }
}

pub(crate) fn settings(settings: &PlanSettings, critics: usize, errors: &mut Vec<PlanError>) {
    let mut check = Checker { critic: None, errors };
    if let RunTimeout::After(timeout) = settings.run_timeout {
        check.duration("run_timeout", Some(timeout));
    }
    settings
        .stage_timeouts
        .into_iter()
        .for_each(|timeout| check.duration("stage_timeout", timeout));
    check.verdict_map(&settings.verdict_map);
    if settings.quorum.is_some_and(|quorum| quorum > critics) {
        check.fail("quorum", format!("is above the {critics} critics of the plan"));
    }
    check.at_least_one("output_limits.max_bytes", settings.output_limits.max_bytes);
}

pub(crate) fn critics(critics: &[CriticSpec], errors: &mut Vec<PlanError>) {
    for spec in critics {
        let mut check = Checker { critic: Some(Arc::clone(&spec.name)), errors };
        if !(1..=10).contains(&spec.priority) {
            check.fail("priority", format!("must be in 1 to 10, not {}", spec.priority));
        }
        check.duration("attempt_timeout", spec.attempt_timeout);
        check.duration("total_timeout", spec.total_timeout);
        check.duration("queue_timeout", spec.queue_timeout);
        check.at_least_one("concurrency", spec.concurrency.unwrap_or(1));
        if let Some(limit) = &spec.rate_limit {
            if !(limit.per_second.is_finite() && limit.per_second > 0.0) {
                check.fail(
                    "rate_limit.per_second",
                    format!("must be finite and above 0, not {}", limit.per_second),
                );
            }
            check.at_least_one("rate_limit.burst", limit.burst as usize);
        }
        let retry = &spec.retry;
        check.at_least_one("retry.max_attempts", retry.max_attempts as usize);
        if !(retry.multiplier.is_finite() && retry.multiplier >= 1.0) {
            check.fail(
                "retry.multiplier",
                format!("must be finite and at least 1, not {}", retry.multiplier),
            );
        }
        check.duration("retry.base", Some(retry.base));
        check.duration("retry.cap", Some(retry.cap));
        check.ratio("retry_budget.ratio", spec.retry_budget.ratio);
        check.duration("retry_budget.window", Some(spec.retry_budget.window));
        if !(spec.retry_budget.per_second.is_finite() && spec.retry_budget.per_second >= 0.0) {
            check.fail("retry_budget.per_second", "must be finite and not negative");
        }
        if let Some(breaker) = &spec.breaker {
            match breaker.trip {
                TripRule::FailureRate { window, min_calls, ratio } => {
                    check.at_least_one("breaker.window", window as usize);
                    check.at_least_one("breaker.min_calls", min_calls as usize);
                    if min_calls > window {
                        check.fail("breaker.min_calls", "is above the window and never reached");
                    }
                    check.ratio("breaker.ratio", ratio);
                }
                TripRule::Consecutive(failures) => {
                    check.at_least_one("breaker.consecutive", failures as usize)
                }
            }
            check.duration("breaker.open", Some(breaker.open));
            check.at_least_one("breaker.probes", breaker.probes as usize);
            check.at_least_one("breaker.successes", breaker.successes as usize);
        }
        spec.policy
            .bad_ratios()
            .into_iter()
            .for_each(|setting| check.fail(setting, "must be in 0 to 1"));
        if let SeverityRule::Own(map) = &spec.severity_rule {
            check.verdict_map(map);
        }
        #[cfg(feature = "cel")]
        if let Err(message) = spec.policy.compile_errors() {
            check.errors.push(PlanError::DoesNotCompile {
                critic: Arc::clone(&spec.name),
                what: "policy",
                message,
            });
        }
    }
}

pub(crate) fn warnings(plan: &PlanInner) -> Vec<PlanWarning> {
    let mut warnings = Vec::new();
    let run = match plan.settings.run_timeout {
        RunTimeout::After(timeout) => Some(timeout),
        RunTimeout::Executor | RunTimeout::Unlimited => None,
    };
    for (index, node) in (0..).zip(&plan.nodes) {
        let spec = &node.spec;
        let critic = || Arc::clone(&spec.name);
        if !spec.policy.is_always() && plan.evidence_of(index).next().is_none() {
            warnings.push(PlanWarning::NoEvidence { critic: critic() });
        }
        let stage = plan.settings.stage_timeouts[spec.stage.index()];
        let enclosing =
            [("total_timeout", spec.total_timeout), ("stage_timeout", stage), ("run_timeout", run)];
        let inner = [
            ("attempt_timeout", spec.attempt_timeout.filter(|_| !is_default_attempt(spec)), 0),
            ("queue_timeout", spec.queue_timeout, 0),
            ("total_timeout", spec.total_timeout, 1),
        ];
        for (name, timeout, first_outer) in inner {
            let Some(timeout) = timeout else { continue };
            let outer = enclosing[first_outer..]
                .iter()
                .find(|(_, outer)| outer.is_some_and(|outer| timeout > outer));
            if let Some((outer, _)) = outer {
                warnings.push(PlanWarning::TimeoutNeverCounts {
                    critic: critic(),
                    inner: name,
                    outer,
                });
            }
        }
        let delays = shortest_delays(spec);
        if let Some((outer, _)) =
            enclosing.iter().find(|(_, outer)| outer.is_some_and(|outer| delays >= outer))
        {
            warnings.push(PlanWarning::RetriesDoNotFit { critic: critic(), outer });
        }
        if spec.failure_mode == FailureMode::FailOpen && spec.priority <= 2 {
            warnings
                .push(PlanWarning::UrgentFailsOpen { critic: critic(), priority: spec.priority });
        }
    }
    for (stage, (inner, outer)) in
        Stage::ALL.iter().zip(plan.settings.stage_timeouts.iter().map(|inner| (inner, run)))
    {
        if let (Some(inner), Some(outer)) = (inner, outer)
            && *inner > outer
        {
            let critic = Arc::from(stage.as_str());
            warnings.push(PlanWarning::TimeoutNeverCounts {
                critic,
                inner: "stage_timeout",
                outer: "run_timeout",
            });
        }
    }
    if let Some(budget) = plan.settings.budget {
        let always = plan.nodes.iter().filter(|node| node.spec.policy.is_always());
        if always.map(|node| node.spec.cost).sum::<crate::money::MicroDollars>() > budget.limit {
            warnings.push(PlanWarning::BudgetTooSmall);
        }
    }
    warnings
}

/// Nobody chose the default, so it is no reason for a warning.
fn is_default_attempt(spec: &CriticSpec) -> bool {
    spec.attempt_timeout == Some(CriticSpec::DEFAULT_ATTEMPT_TIMEOUT)
}

/// The delays between all attempts together, as jitter spreads them on average.
fn shortest_delays(spec: &CriticSpec) -> Duration {
    let longest = longest_delays(spec);
    match spec.retry.jitter {
        Jitter::None => longest,
        Jitter::Equal | Jitter::Full => longest / 2,
    }
}

/// The delays between all attempts together, each as long as it can be.
pub(super) fn longest_delays(spec: &CriticSpec) -> Duration {
    let retry = &spec.retry;
    let mut total = Duration::ZERO;
    let mut delay = retry.base.min(retry.cap);
    let mut left = retry.max_attempts.saturating_sub(1);
    // There may be billions of retries, but only so many differ.
    while left > 0 && delay < retry.cap && retry.multiplier > 1.0 {
        total = total.saturating_add(delay);
        left -= 1;
        delay = retry.cap.min(
            Duration::try_from_secs_f64(delay.as_secs_f64() * retry.multiplier)
                .unwrap_or(retry.cap),
        );
    }
    total.saturating_add(delay.saturating_mul(left))
}
