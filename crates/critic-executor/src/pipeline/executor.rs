use std::{
    any::Any,
    collections::HashSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    error::{OrchestratorError, PartialResults, PipelineProblem, PipelineTimeout},
    node::Node,
    node_executor::deadline_after,
    running::{NodeEnd, Surroundings, run_node},
    settings::PipelineSettings,
};
use crate::{
    registry::{CancellationRegistry, Registration},
    status::{CancelReason, TimeoutScope},
};

/// Runs named nodes one after the other, the output of one being the input of the next. Any number of runs may go
/// on at once, within the settings' limits.
///
/// ```
/// use critic_executor::{Node, NodeContext, PipelineExecutor, PipelineSettings};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let add = |name: &'static str, more: u64| {
///     Node::new(name, move |value: u64, _ctx: NodeContext| async move { Ok(value + more) })
/// };
/// let pipeline = PipelineExecutor::new(PipelineSettings::pipeline(), [add("one", 1), add("two", 2)]).unwrap();
/// let outcome = pipeline.run("order 7", 10).await.unwrap();
/// assert_eq!(outcome.value, 13);
/// # });
/// ```
pub struct PipelineExecutor<T> {
    settings: PipelineSettings,
    nodes: Vec<Node<T>>,
    values: Option<Values<T>>,
    registry: CancellationRegistry,
    tracker: TaskTracker,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    #[cfg(feature = "metrics")]
    metrics: Option<(Arc<str>, crate::metrics::ExecutorMetrics)>,
}

/// How values are copied.
struct Values<T> {
    copy: fn(&T) -> T,
    erase: fn(&T) -> Arc<dyn Any + Send + Sync>,
}

/// What a pipeline that ran to its end gives.
#[derive(Debug)]
pub struct PipelineOutcome<T> {
    /// The last good value.
    pub value: T,
    /// Nodes that gave a value, in order.
    pub completed: Vec<Arc<str>>,
    /// Nodes that did not, with the reason; always empty with `fail_fast`.
    pub failed: Vec<(Arc<str>, OrchestratorError)>,
    /// From the call to the value.
    pub elapsed: Duration,
}

/// What a pipeline executor has under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PipelineActivity {
    /// Tasks: nodes, their graces, cleanups and callbacks.
    pub tasks: usize,
    /// Places taken, of `max_concurrent`.
    pub places: usize,
    /// Pipelines that wait for a place.
    pub waiting: usize,
    /// Ids in the registry.
    pub registered: usize,
}

impl<T: Send + 'static> PipelineExecutor<T> {
    /// A pipeline of these nodes, in their order.
    ///
    /// # Errors
    /// The first problem: a name that is empty or used twice, a time of zero, or settings without `fail_fast`,
    /// which need [`PipelineExecutor::keeping_values`].
    pub fn new(
        settings: PipelineSettings,
        nodes: impl IntoIterator<Item = Node<T>>,
    ) -> Result<Self, PipelineProblem> {
        if !settings.fail_fast {
            return Err(PipelineProblem::NeedsValues);
        }
        Self::build(settings, nodes.into_iter().collect(), None)
    }

    /// A pipeline that keeps the value of each node: a time-out carries them, and without `fail_fast` the next
    /// node gets the last good one.
    ///
    /// # Errors
    /// The first problem: a name that is empty or used twice, or a time of zero.
    pub fn keeping_values(
        settings: PipelineSettings,
        nodes: impl IntoIterator<Item = Node<T>>,
    ) -> Result<Self, PipelineProblem>
    where
        T: Clone + Sync,
    {
        let values = Values { copy: T::clone, erase: |value: &T| Arc::new(value.clone()) };
        Self::build(settings, nodes.into_iter().collect(), Some(values))
    }

    fn build(
        settings: PipelineSettings,
        nodes: Vec<Node<T>>,
        values: Option<Values<T>>,
    ) -> Result<Self, PipelineProblem> {
        let mut names = HashSet::new();
        for (index, node) in nodes.iter().enumerate() {
            if node.name.is_empty() {
                return Err(PipelineProblem::UnnamedNode { index });
            }
            if !names.insert(Arc::clone(&node.name)) {
                return Err(PipelineProblem::DuplicateNode { node: Arc::clone(&node.name) });
            }
            if node.limit == Some(Duration::ZERO) {
                return Err(PipelineProblem::Zero { what: "a node's limit" });
            }
        }
        let zeros = [
            ("node_limit", settings.node_limit.is_zero()),
            ("pipeline_limit", settings.pipeline_limit.is_zero()),
            ("max_concurrent", settings.max_concurrent == 0),
        ];
        if let Some((what, _)) = zeros.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(PipelineProblem::Zero { what });
        }
        Ok(Self {
            places: Arc::new(Semaphore::new(settings.max_concurrent.min(Semaphore::MAX_PERMITS))),
            settings,
            nodes,
            values,
            registry: CancellationRegistry::new(),
            tracker: TaskTracker::new(),
            waiting: AtomicUsize::new(0),
            #[cfg(feature = "metrics")]
            metrics: None,
        })
    }

    /// Registers its runs in a registry that others use as well.
    #[must_use]
    pub fn with_registry(mut self, registry: CancellationRegistry) -> Self {
        self.registry = registry;
        self
    }

    /// Counts its runs and nodes into these metrics, under a name that all of its runs share: feature `metrics`.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn with_metrics(
        mut self,
        name: impl Into<Arc<str>>,
        metrics: &crate::metrics::ExecutorMetrics,
    ) -> Self {
        self.metrics = Some((name.into(), metrics.clone()));
        self
    }

    /// Where its runs can be cancelled by their ids.
    #[must_use]
    pub fn registry(&self) -> &CancellationRegistry {
        &self.registry
    }

    /// Runs the pipeline on a value, under an id that nothing else runs under. Dropping the future cancels it.
    ///
    /// # Errors
    /// With `fail_fast` the first failure or time-out of a node; always the pipeline's own time-out, a
    /// cancellation, a rejection, and an id in use.
    pub async fn run(
        &self,
        id: impl Into<Arc<str>>,
        value: T,
    ) -> Result<PipelineOutcome<T>, OrchestratorError> {
        let start = Instant::now();
        let guard = self.registry.register(id).map_err(PipelineProblem::from)?;
        let guard = guard.with_cleanup_limit(self.settings.grace);
        let mut run = PipelineRun {
            executor: self,
            token: guard.token(),
            registration: Registration::new(guard),
            deadline: deadline_after(self.settings.pipeline_limit),
            completed: Vec::new(),
            partial: PartialResults::default(),
        };
        let ended = run.run_through(value).await;
        run.settle(ended.as_ref().err());
        #[cfg(feature = "metrics")]
        if let Some((name, metrics)) = &self.metrics {
            let status = ended.as_ref().map_or_else(OrchestratorError::status, |_| "completed");
            metrics.pipeline_ended(name, status, start.elapsed());
        }
        let (value, failed) = ended?;
        let completed = std::mem::take(&mut run.completed);
        Ok(PipelineOutcome { value, completed, failed, elapsed: start.elapsed() })
    }

    /// What is under way. All of it is zero at the latest two graces after the last run ended, blocking nodes that
    /// do not return excepted.
    #[must_use]
    pub fn activity(&self) -> PipelineActivity {
        PipelineActivity {
            tasks: self.tracker.len() + self.registry.cleanups_running(),
            places: self.settings.max_concurrent.saturating_sub(self.places.available_permits()),
            waiting: self.waiting.load(Ordering::Relaxed),
            registered: self.registry.len(),
        }
    }
}

impl<T> fmt::Debug for PipelineExecutor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("PipelineExecutor");
        debug.field("settings", &self.settings).field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

/// One run.
struct PipelineRun<'a, T> {
    executor: &'a PipelineExecutor<T>,
    registration: Registration,
    token: CancellationToken,
    deadline: Instant,
    completed: Vec<Arc<str>>,
    partial: PartialResults,
}

type Ended<T> = (T, Vec<(Arc<str>, OrchestratorError)>);

impl<T: Send + 'static> PipelineRun<'_, T> {
    async fn run_through(&mut self, value: T) -> Result<Ended<T>, OrchestratorError> {
        let place = self.place().await?;
        self.nodes(value, &Arc::new(place)).await
    }

    /// Notes how the run ended; one that ran out of time was cancelled, for those who clean up.
    fn settle(&mut self, error: Option<&OrchestratorError>) {
        let early = match error {
            Some(OrchestratorError::Timeout(PipelineTimeout::Node { .. })) => {
                Some(CancelReason::Deadline(TimeoutScope::Attempt))
            }
            Some(OrchestratorError::Timeout(PipelineTimeout::Pipeline { .. })) => {
                Some(CancelReason::Deadline(TimeoutScope::Run))
            }
            _ => None,
        };
        self.registration.end(early);
    }

    /// Waits for a place among the pipelines that run at once.
    async fn place(&mut self) -> Result<OwnedSemaphorePermit, OrchestratorError> {
        let executor = self.executor;
        if let Ok(place) = Arc::clone(&executor.places).try_acquire_owned() {
            return Ok(place);
        }
        let waiting = executor.waiting.fetch_add(1, Ordering::Relaxed);
        let _leaves = scopeguard(|| {
            executor.waiting.fetch_sub(1, Ordering::Relaxed);
        });
        if waiting >= executor.settings.max_waiting {
            return Err(OrchestratorError::Rejected { waiting });
        }
        tokio::select! {
            biased;
            () = sleep_until(self.deadline) => Err(self.timed_out()),
            () = self.token.cancelled() => Err(self.cancelled()),
            place = Arc::clone(&executor.places).acquire_owned() => {
                Ok(place.expect("the semaphore is never closed"))
            }
        }
    }

    async fn nodes(
        &mut self,
        mut value: T,
        place: &Arc<OwnedSemaphorePermit>,
    ) -> Result<Ended<T>, OrchestratorError> {
        let executor = self.executor;
        let mut failed = Vec::new();
        for node in &executor.nodes {
            let limit = node.limit.unwrap_or(executor.settings.node_limit);
            let own = deadline_after(limit);
            // Of two deadlines at one instant the wider one counts.
            let is_own = own < self.deadline;
            let around = Surroundings {
                pipeline: self.registration.guard().id(),
                deadline: own.min(self.deadline),
                scope: if is_own { TimeoutScope::Attempt } else { TimeoutScope::Run },
                token: &self.token,
                grace: executor.settings.grace,
                tracker: &executor.tracker,
            };
            let last_good = executor.last_good(&value);
            let name = || Arc::clone(&node.name);
            #[cfg(feature = "metrics")]
            let start = Instant::now();
            let end = run_node(node, value, around, Arc::clone(place)).await;
            #[cfg(feature = "metrics")]
            if let Some((_, metrics)) = &executor.metrics {
                metrics.node_ended(&node.name, end.status(), start.elapsed());
            }
            let error = match end {
                NodeEnd::Value(next) => {
                    self.completed.push(name());
                    if let Some(values) = &executor.values {
                        self.partial.push(name(), (values.erase)(&next));
                    }
                    value = next;
                    continue;
                }
                NodeEnd::Cancelled => return Err(self.cancelled()),
                NodeEnd::TimedOut if !is_own => return Err(self.timed_out()),
                NodeEnd::TimedOut => PipelineTimeout::Node { node: name(), limit }.into(),
                NodeEnd::Failed(source) => OrchestratorError::Node { node: name(), source },
            };
            match last_good {
                Some(last_good) => {
                    failed.push((name(), error));
                    value = last_good;
                }
                None => return Err(error),
            }
        }
        Ok((value, failed))
    }

    fn cancelled(&self) -> OrchestratorError {
        let reason = self.registration.guard().reason().unwrap_or(CancelReason::CallerDropped);
        OrchestratorError::Cancelled { id: Arc::clone(self.registration.guard().id()), reason }
    }

    fn timed_out(&mut self) -> OrchestratorError {
        let timeout = PipelineTimeout::Pipeline {
            pipeline: Arc::clone(self.registration.guard().id()),
            limit: self.executor.settings.pipeline_limit,
            completed: std::mem::take(&mut self.completed),
            partial: std::mem::take(&mut self.partial),
        };
        timeout.into()
    }
}

impl<T> PipelineExecutor<T> {
    /// A copy of the value for the node after one that fails, if there is to be one.
    fn last_good(&self, value: &T) -> Option<T> {
        let values = self.values.as_ref().filter(|_| !self.settings.fail_fast)?;
        Some((values.copy)(value))
    }
}

/// Does something at the end of a scope, however it is left.
fn scopeguard(at_end: impl FnMut()) -> impl Drop {
    struct AtEnd<F: FnMut()>(F);
    impl<F: FnMut()> Drop for AtEnd<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    AtEnd(at_end)
}
