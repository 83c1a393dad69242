use std::time::Duration;

use crate::admission::AdmissionLimits;
use crate::pipeline::PipelineSettings;
use crate::stage::Stage;

/// The limits of an executor. The defaults are safe; no limit is spelled `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorSettings {
    /// Attempts outstanding at once, over all runs.
    pub global_limit: Option<usize>,
    /// Attempts outstanding at once per stage, over all runs.
    pub stage_limits: [Option<usize>; Stage::COUNT],
    /// Critics waiting for admission, over all runs. Above it the least urgent is rejected.
    pub queue_limit: Option<usize>,
    /// Runs at once.
    pub max_concurrent_runs: Option<usize>,
    /// Runs waiting for a place. Above it `run` fails.
    pub run_queue_limit: usize,
    /// How long a run may take whose plan says nothing.
    pub run_timeout: Option<Duration>,
    /// How long a stopped attempt may go on before it is dropped.
    pub grace: Duration,
    /// How long the cleanups of one attempt or run may take together.
    pub cleanup_limit: Duration,
    /// After how long a waiter's priority improves by one.
    pub aging_interval: Duration,
    /// Blocking calls that may go on after their attempts have ended. Above it no further ones start.
    pub max_detached_blocking: usize,
}

impl Default for ExecutorSettings {
    /// 10 attempts, 1,000 waiters, any number of runs with 1,000 waiting, 30 seconds a run, 100 ms grace and
    /// cleanup, 200 ms ageing, 8 detached blocking calls.
    fn default() -> Self {
        Self {
            global_limit: Some(10),
            stage_limits: [None; Stage::COUNT],
            queue_limit: Some(1000),
            max_concurrent_runs: None,
            run_queue_limit: 1000,
            run_timeout: Some(Duration::from_secs(30)),
            grace: Duration::from_millis(100),
            cleanup_limit: Duration::from_millis(100),
            aging_interval: Duration::from_millis(200),
            max_detached_blocking: 8,
        }
    }
}

impl ExecutorSettings {
    /// The limits of [`PipelineSettings::pipeline`]: 500 ms a run, 10 runs at once, 100 ms of grace. Plans of
    /// [`PlanBuilder::pipeline`](crate::PlanBuilder::pipeline) and `pipeline_strict` go with it.
    #[must_use]
    pub fn pipeline() -> Self {
        let settings = PipelineSettings::pipeline();
        Self {
            max_concurrent_runs: Some(settings.max_concurrent),
            run_queue_limit: settings.max_waiting,
            run_timeout: Some(settings.pipeline_limit),
            grace: settings.grace,
            cleanup_limit: settings.grace,
            ..Self::default()
        }
    }

    pub(crate) fn admission_limits(&self) -> AdmissionLimits {
        AdmissionLimits {
            global: self.global_limit,
            stages: self.stage_limits,
            queue: self.queue_limit,
            detached_blocking: self.max_detached_blocking,
            aging_ns: u64::try_from(self.aging_interval.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}
