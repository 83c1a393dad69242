use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;

use super::families::{Counters, Families, Histograms};
use super::{LazyCounter, LazyHistogram};
use crate::cost::Cost;
use crate::money::MicroDollars;
use crate::report::{AttemptOutcome, CriticReport};
use crate::spec::CriticSpec;
use crate::status::{Status, TimeoutScope};
use crate::ternary::Ternary;

/// The series of one critic that nearly every run counts into, looked up once per plan. Rare ones are looked up
/// when they are needed.
pub(super) struct CriticSeries {
    critic: Arc<str>,
    stage: Arc<str>,
    policy: &'static str,
    failure_mode: &'static str,
    is_rate_limited: bool,
    succeeded: LazyCounter,
    gated: LazyCounter,
    answered: LazyCounter,
    spent: LazyCounter,
    duration: LazyHistogram,
    queue: LazyHistogram,
}

impl CriticSeries {
    pub(super) fn new(critic: Arc<str>, spec: &CriticSpec) -> Self {
        Self {
            critic,
            stage: spec.stage.as_str().into(),
            policy: spec.policy.kind(),
            failure_mode: spec.failure_mode.as_str(),
            is_rate_limited: spec.rate_limit.is_some(),
            succeeded: LazyCounter::new(),
            gated: LazyCounter::new(),
            answered: LazyCounter::new(),
            spent: LazyCounter::new(),
            duration: LazyHistogram::new(),
            queue: LazyHistogram::new(),
        }
    }

    /// Counts a critic once, by how it ended.
    pub(super) fn executed(&self, families: &Families, status: &Status) {
        let create = || {
            let labels = vec![
                ("critic", Arc::clone(&self.critic)),
                ("stage", Arc::clone(&self.stage)),
                ("status", status.as_str().into()),
            ];
            families.critic_executions.get_or_create_owned(&labels)
        };
        match status {
            Status::Succeeded { .. } => self.succeeded.get_or_init(create).inc(),
            Status::Gated { .. } => self.gated.get_or_init(create).inc(),
            _ => create().inc(),
        };
    }

    /// Counts all that a report says of a critic.
    pub(super) fn ended(&self, families: &Families, report: &CriticReport, cost: &Cost) {
        self.executed(families, &report.status);
        if !report.attempts.is_empty() {
            let observe =
                |series: &LazyHistogram, family: &Histograms, time: std::time::Duration| {
                    let histogram = series.get_or_init(|| {
                        family.get_or_create_owned(&vec![("critic", Arc::clone(&self.critic))])
                    });
                    histogram.observe(time.as_secs_f64());
                };
            observe(&self.duration, &families.critic_duration, report.execution_time);
            observe(&self.queue, &families.critic_queue, report.queue_time);
            if self.is_rate_limited {
                let wait = self.series(&families.rate_limit_wait);
                wait.observe(report.rate_limit_wait.as_secs_f64());
            }
        }
        self.attempts(families, report);
        match &report.status {
            // Of a run or an attempt each is counted where it ran out of time, once.
            Status::TimedOut { scope: TimeoutScope::Attempt | TimeoutScope::Run } => {}
            Status::TimedOut { scope } => families.timed_out(*scope),
            Status::Rejected { reason } => {
                let labels = super::labels([("reason", reason.as_str())]);
                families.rejections.get_or_create(&labels).inc();
            }
            Status::Gated { .. } => self.count(&families.gated, "policy", self.policy),
            _ => {}
        }
        if report.gate.as_ref().is_some_and(|gate| gate.answer == Ternary::Unknown) {
            self.count(&families.gate_unknown, "policy", self.policy);
        }
        if report.status.is_missing() {
            self.count(&families.coverage_missing, "failure_mode", self.failure_mode);
        }
        self.money(families, cost);
    }

    fn attempts(&self, families: &Families, report: &CriticReport) {
        for attempt in &report.attempts {
            let kind = attempt.outcome.as_str();
            if attempt.outcome == AttemptOutcome::Answered {
                self.answered.get_or_init(|| self.counter(&families.attempts, "kind", kind)).inc();
            } else {
                self.count(&families.attempts, "kind", kind);
            }
            if attempt.delay.is_some() {
                self.count(&families.retries, "kind", kind);
            }
            match attempt.outcome {
                AttemptOutcome::TimedOut => families.timed_out(TimeoutScope::Attempt),
                AttemptOutcome::Invalid => self.count_plain(&families.validation_failures),
                AttemptOutcome::Failed("panic") => self.count_plain(&families.panics),
                _ => {}
            }
        }
    }

    fn money(&self, families: &Families, cost: &Cost) {
        let used = cost.spent.saturating_sub(cost.wasted);
        if used > MicroDollars::ZERO {
            let create = || self.counter(&families.cost, "cause", "used");
            self.spent.get_or_init(create).inc_by(used.0);
        }
        let rare = [
            (&families.cost, "wasted", cost.wasted),
            (&families.cost_saved, "gating", cost.saved_by_gating),
            (&families.cost_saved, "cache", cost.saved_by_cache),
        ];
        for (family, cause, money) in rare {
            if money > MicroDollars::ZERO {
                self.counter(family, "cause", cause).inc_by(money.0);
            }
        }
    }

    fn count(&self, family: &Counters, label: &'static str, value: &str) {
        self.counter(family, label, value).inc();
    }

    fn count_plain(&self, family: &Counters) {
        family.get_or_create(&vec![("critic", Arc::clone(&self.critic))]).inc();
    }

    fn counter(&self, family: &Counters, label: &'static str, value: &str) -> Counter {
        let labels = vec![("critic", Arc::clone(&self.critic)), (label, value.into())];
        family.get_or_create_owned(&labels)
    }

    fn series(&self, family: &Histograms) -> prometheus_client::metrics::histogram::Histogram {
        family.get_or_create_owned(&vec![("critic", Arc::clone(&self.critic))])
    }
}
