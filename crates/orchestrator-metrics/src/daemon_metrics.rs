use std::{fmt, sync::Arc, time::Duration};

use api_types::{ErrorCode, ModelView, QueueStatus};
use metrics::{Counter, Declaration, Exposed, Family, Histogram, LabelValues, Sampled, write_page};
use orchestrator::{Finished, Observer, Streamed, TaskLabels};
use placement::{Explanation, Filter, Verdict};

use crate::{
    Samples, declarations as declared,
    outcome_names::{NONE, code, priority},
};

/// What can become of a handoff file.
pub const HANDOFF_OUTCOMES: [&str; 14] = [
    "bound",
    "replaced",
    "unbound",
    "awaited",
    "unsafe",
    "too_large",
    "half_written",
    "unknown_schema",
    "wrong",
    "not_loopback",
    "process_gone",
    "unproven",
    "pool_taken",
    "too_many",
];

/// Counts what the daemon does. Shared by whoever has something to count.
#[derive(Debug)]
pub struct DaemonMetrics {
    label_values: Arc<LabelValues>,
    tasks_admitted: Arc<Family<Counter>>,
    tasks_rejected: Arc<Family<Counter>>,
    tasks_started: Arc<Family<Counter>>,
    tasks_finished: Arc<Family<Counter>>,
    failovers: Arc<Family<Counter>>,
    placement_decisions: Arc<Family<Counter>>,
    placement_rejections: Arc<Family<Counter>>,
    tokens_in: Arc<Family<Counter>>,
    tokens_out: Arc<Family<Counter>>,
    catalog_verifications: Arc<Family<Counter>>,
    handoff_files: Arc<Family<Counter>>,
    sse_disconnects: Arc<Family<Counter>>,
    sse_metrics_dropped: Arc<Family<Counter>>,
    facade_params_ignored: Arc<Family<Counter>>,
    admission: Arc<Family<Histogram>>,
    placement: Arc<Family<Histogram>>,
    queue_wait: Arc<Family<Histogram>>,
    first_token: Arc<Family<Histogram>>,
    decode: Arc<Family<Histogram>>,
    inter_token: Arc<Family<Histogram>>,
    http_request: Arc<Family<Histogram>>,
    store_commit: Arc<Family<Histogram>>,
}

impl Default for DaemonMetrics {
    fn default() -> Self {
        let label_values = Arc::new(LabelValues::default());
        let counter = |declaration: &'static Declaration| {
            Arc::new(Family::<Counter>::new(declaration, &label_values))
        };
        let histogram = |declaration: &'static Declaration| {
            Arc::new(Family::<Histogram>::new(declaration, &label_values))
        };
        // What may never happen stands on the page all the same, as 0.
        let catalog_verifications = counter(&declared::CATALOG_VERIFICATIONS);
        for result in ["ok", "failed"] {
            catalog_verifications.of(&[result]);
        }
        let handoff_files = counter(&declared::HANDOFF_FILES);
        for outcome in HANDOFF_OUTCOMES {
            handoff_files.of(&[outcome]);
        }
        let sse_disconnects = counter(&declared::SSE_DISCONNECTS);
        for cause in ["client", "shutdown", "unreadable"] {
            sse_disconnects.of(&[cause]);
        }
        let placement_rejections = counter(&declared::PLACEMENT_REJECTIONS);
        for filter in Filter::ALL {
            placement_rejections.of(&[filter.name()]);
        }
        Self {
            tasks_admitted: counter(&declared::TASKS_ADMITTED),
            tasks_rejected: counter(&declared::TASKS_REJECTED),
            tasks_started: counter(&declared::TASKS_STARTED),
            tasks_finished: counter(&declared::TASKS_FINISHED),
            failovers: counter(&declared::FAILOVERS),
            placement_decisions: counter(&declared::PLACEMENT_DECISIONS),
            placement_rejections,
            tokens_in: counter(&declared::TOKENS_IN),
            tokens_out: counter(&declared::TOKENS_OUT),
            catalog_verifications,
            handoff_files,
            sse_disconnects,
            sse_metrics_dropped: counter(&declared::SSE_METRICS_DROPPED),
            facade_params_ignored: counter(&declared::FACADE_PARAMS_IGNORED),
            admission: histogram(&declared::ADMISSION),
            placement: histogram(&declared::PLACEMENT),
            queue_wait: histogram(&declared::QUEUE_WAIT),
            first_token: histogram(&declared::FIRST_TOKEN),
            decode: histogram(&declared::DECODE),
            inter_token: histogram(&declared::INTER_TOKEN),
            http_request: histogram(&declared::HTTP_REQUEST),
            store_commit: histogram(&declared::STORE_COMMIT),
            label_values,
        }
    }
}

impl DaemonMetrics {
    /// A request was answered; `route` is the template of its path, `None` where no route has it.
    pub fn http_request(&self, route: Option<&str>, method: &str, status: u16, took: Duration) {
        // Methods are free text; those that no route has are all the same.
        let known = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
        let method = known.into_iter().find(|known| *known == method).unwrap_or(metrics::OTHER);
        let route = route.unwrap_or(metrics::OTHER);
        self.http_request.of(&[route, method, &status.to_string()]).observe(took);
    }

    /// Parameters of a facade request had no effect.
    pub fn params_ignored(&self, count: u64) {
        self.facade_params_ignored.of(&[]).add(count);
    }

    /// A model's file was held against its digest.
    pub fn model_verified(&self, is_ok: bool) {
        self.catalog_verifications.of(&[if is_ok { "ok" } else { "failed" }]).add(1);
    }

    /// Something became of a handoff file; `outcome` is one of [`HANDOFF_OUTCOMES`].
    pub fn handoff_file(&self, outcome: &str) {
        debug_assert!(HANDOFF_OUTCOMES.contains(&outcome), "{outcome} is declared");
        self.handoff_files.of(&[outcome]).add(1);
    }

    /// All metrics as they stand, as OpenMetrics text.
    ///
    /// # Errors
    /// A declaration and its values do not go together.
    pub fn page(&self, samples: &Samples) -> Result<String, fmt::Error> {
        write_page(self.counted().chain(self.looked_up(samples)).collect())
    }

    fn counted(&self) -> impl Iterator<Item = Box<dyn Exposed>> {
        let counters = [
            &self.tasks_admitted,
            &self.tasks_rejected,
            &self.tasks_started,
            &self.tasks_finished,
            &self.failovers,
            &self.placement_decisions,
            &self.placement_rejections,
            &self.tokens_in,
            &self.tokens_out,
            &self.catalog_verifications,
            &self.handoff_files,
            &self.sse_disconnects,
            &self.sse_metrics_dropped,
            &self.facade_params_ignored,
        ];
        let histograms = [
            &self.admission,
            &self.placement,
            &self.queue_wait,
            &self.first_token,
            &self.decode,
            &self.inter_token,
            &self.http_request,
            &self.store_commit,
        ];
        let counters = counters.map(|family| Box::new(Arc::clone(family)) as Box<dyn Exposed>);
        let histograms = histograms.map(|family| Box::new(Arc::clone(family)) as Box<dyn Exposed>);
        counters.into_iter().chain(histograms)
    }

    fn looked_up(&self, samples: &Samples) -> impl Iterator<Item = Box<dyn Exposed>> {
        let standing = &samples.standing;
        let depths = standing.queue.iter().flat_map(|queue| {
            let model = name_of(queue, &standing.models);
            [
                (vec![model, "interactive"], float(queue.interactive)),
                (vec![model, "batch"], float(queue.batch)),
            ]
        });
        let busy = standing.pools.iter().map(|pool| {
            let busy = pool.slots_total.saturating_sub(pool.slots_free);
            (vec![pool.pool_id.as_str()], f64::from(busy))
        });
        let states = standing
            .models
            .iter()
            .map(|model| (vec![first_name(model), model.state.as_str()], 1.0));
        let store = samples.store_bytes.iter().map(|(kind, bytes)| (vec![*kind], float(*bytes)));
        let denied = samples.auth_failures.iter().map(|(code, count)| (vec![*code], float(*count)));
        let build = [(vec![samples.version], 1.0)];
        let values = &*self.label_values;
        let single =
            |declaration, value: u64| Box::new(Sampled::single(declaration, float(value))) as _;
        [
            Box::new(Sampled::new(&declared::QUEUE_DEPTH, values, depths)) as Box<dyn Exposed>,
            Box::new(Sampled::new(&declared::TASKS_RUNNING, values, busy)),
            Box::new(Sampled::new(&declared::MODEL_STATE, values, states)),
            Box::new(Sampled::new(&declared::STORE_BYTES, values, store)),
            Box::new(Sampled::new(&declared::AUTH_FAILURES, values, denied)),
            Box::new(Sampled::new(&declared::BUILD_INFO, values, build)),
            single(&declared::SSE_SUBSCRIBERS, standing.subscribers as u64),
            single(&declared::SLOT_RELEASE_UNKNOWN, standing.unknown_releases),
            single(&declared::STORE_TORN_TAILS, samples.torn_tails),
            single(&declared::HTTP_CONNECTIONS, samples.connections_open),
            single(&declared::HTTP_CONNECTIONS_REFUSED, samples.connections_refused),
            single(&declared::HTTP_PANICS, samples.panics),
            single(&declared::SPANS_SENT, samples.spans_sent),
            single(&declared::SPANS_DROPPED, samples.spans_dropped),
        ]
        .into_iter()
    }
}

impl Observer for DaemonMetrics {
    fn admitted(&self, task: TaskLabels<'_>, took: Duration) {
        self.tasks_admitted.of(&[task.model, priority(task.priority)]).add(1);
        self.admission.of(&[]).observe(took);
    }

    fn rejected(&self, refused: ErrorCode, policy: Option<&str>) {
        self.tasks_rejected.of(&[refused.name(), policy.unwrap_or(NONE)]).add(1);
    }

    fn placed(&self, decision: &Explanation, took: Duration) {
        self.placement.of(&[]).observe(took);
        let outcome = match decision.verdict {
            Verdict::Assign { .. } => "assign",
            Verdict::Prepare { .. } => "prepare",
            Verdict::NoCapacity { .. } => "no_capacity",
        };
        let yes = |is: bool| if is { "true" } else { "false" };
        let (pinned, fallback) = (yes(decision.is_pinned), yes(decision.is_fallback));
        let strategy = decision.strategy.name();
        self.placement_decisions.of(&[outcome, strategy, pinned, fallback]).add(1);
        for reason in decision.candidates.iter().flat_map(|one| one.failed.names()) {
            self.placement_rejections.of(&[reason]).add(1);
        }
    }

    fn started(&self, task: TaskLabels<'_>, pool_id: &str, waited: Duration) {
        self.tasks_started.of(&[pool_id, priority(task.priority)]).add(1);
        self.queue_wait.of(&[priority(task.priority)]).observe(waited);
    }

    fn first_token(&self, task: TaskLabels<'_>, since_admission: Duration) {
        self.first_token.of(&[task.model, priority(task.priority)]).observe(since_admission);
    }

    fn streamed(&self, task: TaskLabels<'_>, pool_id: &str, streamed: &Streamed) {
        self.tokens_out.of(&[task.model, pool_id]).add(streamed.tokens);
        let sum = Duration::from_millis(streamed.pauses_sum_ms);
        self.inter_token.of(&[task.model]).add(&streamed.pauses, sum);
    }

    fn failed_over(&self, method: &str, outcome: &str) {
        self.failovers.of(&[method, outcome]).add(1);
    }

    fn finished(&self, task: TaskLabels<'_>, end: &Finished<'_>) {
        self.tasks_finished.of(&[task.model, end.state.name(), code(end.code)]).add(1);
        if let (Some(pool_id), Some(tokens)) = (end.pool_id, end.tokens_in) {
            self.tokens_in.of(&[task.model, pool_id]).add(tokens);
        }
        if let Some(took) = end.decode_time {
            self.decode.of(&[task.model, priority(task.priority)]).observe(took);
        }
    }

    fn subscription_lost(&self, cause: &str) {
        self.sse_disconnects.of(&[cause]).add(1);
    }

    fn notices_dropped(&self, count: u64) {
        self.sse_metrics_dropped.of(&[]).add(count);
    }

    fn committed(&self, took: Duration) {
        self.store_commit.of(&[]).observe(took);
    }
}

fn name_of<'a>(queue: &'a QueueStatus, models: &'a [ModelView]) -> &'a str {
    let known = models.binary_search_by(|model| model.id.as_str().cmp(&queue.model_id));
    known.map_or(&queue.model_id, |index| first_name(&models[index]))
}

fn first_name(model: &ModelView) -> &str {
    model.aliases.first().unwrap_or(&model.id)
}

/// Exact up to 2^53, which no count here comes near.
#[expect(clippy::cast_precision_loss, reason = "counts and sizes are far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}
