use std::sync::Arc;

use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use prometheus_client::registry::{Registry, Unit};

/// The labels of a series, in the order of their family.
pub(super) type Labels = Vec<(&'static str, Arc<str>)>;

pub(super) type Counters = Family<Labels, Counter>;
pub(super) type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// All families that are counted as things happen. What is looked up is in `sampled`.
pub(super) struct Families {
    pub(super) runs: Counters,
    pub(super) run_duration: Histograms,
    pub(super) runs_in_flight: Gauge,
    pub(super) verdicts: Counters,
    pub(super) critic_executions: Counters,
    pub(super) critic_duration: Histograms,
    pub(super) critic_queue: Histograms,
    pub(super) stage_duration: Histograms,
    pub(super) attempts: Counters,
    pub(super) retries: Counters,
    pub(super) retry_budget_exhausted: Counters,
    pub(super) timeouts: Counters,
    pub(super) gated: Counters,
    pub(super) gate_unknown: Counters,
    pub(super) rejections: Counters,
    pub(super) rate_limit_wait: Histograms,
    pub(super) circuit_transitions: Counters,
    pub(super) validation_failures: Counters,
    pub(super) panics: Counters,
    pub(super) cancellations: Counters,
    pub(super) coverage_missing: Counters,
    pub(super) cost: Counters,
    pub(super) cost_saved: Counters,
    pub(super) node_duration: Histograms,
    pub(super) node_timeouts: Counters,
    pub(super) pipeline_duration: Histograms,
    pub(super) pipeline_timeouts: Counters,
}

/// Upper bounds of buckets, in seconds: from a check in process to a judge that thinks for a while.
const BUCKETS: [f64; 14] =
    [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut add = Adder { registry };
        Self {
            runs: add.counters("runs", "Runs that ended or were refused, by how"),
            run_duration: add.seconds("run_duration", "From the call of run to its report"),
            runs_in_flight: add.gauge("runs_in_flight", "Runs that have started and not ended"),
            verdicts: add.counters("verdicts", "Reports, by verdict"),
            critic_executions: add.counters(
                "critic_executions",
                "Critics of runs, gated ones too, by how they ended",
            ),
            critic_duration: add
                .seconds("critic_duration", "Time in attempts, of critics that had any"),
            critic_queue: add.seconds(
                "critic_queue",
                "Time spent waiting for admission, of critics that had attempts",
            ),
            stage_duration: add.seconds("stage_duration", "From a stage's opening to its end"),
            attempts: add.counters("attempts", "Calls of critics, by how they ended"),
            retries: add.counters("retries", "Attempts that were repeated, by how they had ended"),
            retry_budget_exhausted: add
                .counters("retry_budget_exhausted", "Retries that the retry budget did not allow"),
            timeouts: add.counters(
                "timeouts",
                "Attempts, critics and runs that ran out of time, by whose time it was",
            ),
            gated: add.counters("gated", "Critics that their gates did not let run"),
            gate_unknown: add
                .counters("gate_unknown", "Critics that ran because their gates could not tell"),
            rejections: add.counters("rejections", "Critics that were not admitted, by reason"),
            rate_limit_wait: add.seconds(
                "rate_limit_wait",
                "Part of the wait for admission in which the rate limit had no token",
            ),
            circuit_transitions: add
                .counters("circuit_transitions", "Breakers that changed to a state"),
            validation_failures: add
                .counters("validation_failures", "Outputs that broke the rules"),
            panics: add.counters("panics", "Critics that panicked"),
            cancellations: add.counters("cancellations", "Runs that were cancelled, by reason"),
            coverage_missing: add
                .counters("coverage_missing", "Critics whose answers were missing"),
            cost: add.counters("cost_micros", "Millionths of a dollar spent, wasted ones apart"),
            cost_saved: add.counters(
                "cost_saved_micros",
                "Millionths of a dollar not spent, by what saved them",
            ),
            node_duration: add.seconds("node_duration", "Time in a pipeline's node"),
            node_timeouts: add.counters("node_timeouts", "Nodes that ran out of time"),
            pipeline_duration: add
                .seconds("pipeline_duration", "From a pipeline's call to its value"),
            pipeline_timeouts: add.counters("pipeline_timeouts", "Pipelines that ran out of time"),
        }
    }
}

struct Adder<'a> {
    registry: &'a mut Registry,
}

impl Adder<'_> {
    fn counters(&mut self, name: &str, help: &str) -> Counters {
        let family = Counters::default();
        self.registry.register(name, help, family.clone());
        family
    }

    fn seconds(&mut self, name: &str, help: &str) -> Histograms {
        let family = Histograms::new_with_constructor(histogram);
        self.registry.register_with_unit(name, help, Unit::Seconds, family.clone());
        family
    }

    fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.registry.register(name, help, gauge.clone());
        gauge
    }
}
