use std::time::Duration;

/// Times and limits of pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipelineSettings {
    /// Longest time of a node that sets none of its own.
    pub node_limit: Duration,
    /// Longest time of a pipeline, its wait for a place included.
    pub pipeline_limit: Duration,
    /// What a node that was told to stop still gets before it is dropped, and what callbacks and cleanups get.
    pub grace: Duration,
    /// Whether the first failure ends the pipeline. Without it the next node gets the last good value.
    pub fail_fast: bool,
    /// Pipelines that run at once.
    pub max_concurrent: usize,
    /// Pipelines that wait for a place; further ones are rejected.
    pub max_waiting: usize,
}

impl PipelineSettings {
    /// 250 ms a node, 500 ms a pipeline, 100 ms of grace, ends with the first failure, 10 at once.
    #[must_use]
    pub const fn pipeline() -> Self {
        Self {
            node_limit: Duration::from_millis(250),
            pipeline_limit: Duration::from_millis(500),
            grace: Duration::from_millis(100),
            fail_fast: true,
            max_concurrent: 10,
            max_waiting: 1000,
        }
    }

    /// The same with 200 ms a node: one that runs out of time is settled and reported within 250 ms.
    #[must_use]
    pub const fn pipeline_strict() -> Self {
        Self { node_limit: Duration::from_millis(200), ..Self::pipeline() }
    }
}

impl Default for PipelineSettings {
    fn default() -> Self {
        Self::pipeline()
    }
}
