use metrics::{Declaration, Unit};

/// Bounds for what a request or a task waits for: from a millisecond to ten minutes.
const WAIT_S: &[f64] = &[
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
    600.0,
];

/// Bounds for what the daemon does by itself: from a tenth of a millisecond to ten seconds.
const WORK_S: &[f64] =
    &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Bounds for a single decision: from ten microseconds to fifty milliseconds.
const DECISION_S: &[f64] =
    &[0.00001, 0.00002, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05];

/// [`orchestrator::Streamed::PAUSES_MS`] in seconds.
const PAUSE_S: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

pub(crate) static TASKS_ADMITTED: Declaration = Declaration::counter(
    "orchd_tasks_admitted_total",
    &["model", "priority"],
    "Tasks that were made durable and got their 202; repeats of an idempotency key do not count.",
);
pub(crate) static TASKS_REJECTED: Declaration = Declaration::counter(
    "orchd_tasks_rejected_total",
    &["code", "policy"],
    "Submissions that were refused, by error code and the queue's rule, or none.",
);
pub(crate) static TASKS_STARTED: Declaration = Declaration::counter(
    "orchd_tasks_started_total",
    &["pool", "priority"],
    "Tasks that got their first attempt, by the pool it went to.",
);
pub(crate) static TASKS_FINISHED: Declaration = Declaration::counter(
    "orchd_tasks_finished_total",
    &["model", "state", "code"],
    "Tasks that ended, by terminal state and error code, or none.",
);
pub(crate) static FAILOVERS: Declaration = Declaration::counter(
    "orchd_failovers_total",
    &["method", "outcome"],
    "Attempts that followed a lost one, by how they continued and what came of them.",
);
pub(crate) static PLACEMENT_DECISIONS: Declaration = Declaration::counter(
    "orchd_placement_decisions_total",
    &["outcome", "strategy", "pinned", "fallback"],
    "Decisions where a task goes: for each attempt, and once for a task that has to wait for its first one.",
);
pub(crate) static PLACEMENT_REJECTIONS: Declaration = Declaration::counter(
    "orchd_placement_rejections_total",
    &["reason"],
    "Replicas that such a decision passed over, by each filter that they failed.",
);
pub(crate) static TOKENS_IN: Declaration = Declaration::counter(
    "orchd_tokens_in_total",
    &["model", "pool"],
    "Prompt tokens of ended tasks, by the pool of the last attempt; tasks without attempt do not count.",
);
pub(crate) static TOKENS_OUT: Declaration = Declaration::counter(
    "orchd_tokens_out_total",
    &["model", "pool"],
    "Tokens shown in events; follows within a second.",
);
pub(crate) static CATALOG_VERIFICATIONS: Declaration = Declaration::counter(
    "orchd_catalog_verifications_total",
    &["result"],
    "Model files that were held against their digest: ok or failed.",
);
pub(crate) static HANDOFF_FILES: Declaration = Declaration::counter(
    "orchd_handoff_files_total",
    &["outcome"],
    "Changes of handoff files, by what became of them: bound, replaced, unbound, or why they are not used.",
);
pub(crate) static SSE_DISCONNECTS: Declaration = Declaration::counter(
    "orchd_sse_disconnects_total",
    &["cause"],
    "Subscriptions that ended before their task did: client, shutdown or unreadable.",
);
pub(crate) static SSE_METRICS_DROPPED: Declaration = Declaration::counter(
    "orchd_sse_metrics_dropped_total",
    &[],
    "Events without id that a subscriber missed because newer ones took their place.",
);
pub(crate) static STORE_TORN_TAILS: Declaration = Declaration::counter(
    "orchd_store_torn_tails_total",
    &[],
    "Records cut short by a crash that were cut off at the start.",
);
pub(crate) static SLOT_RELEASE_UNKNOWN: Declaration = Declaration::counter(
    "orchd_slot_release_unknown_total",
    &[],
    "Slots that were given back and nobody held; more than 0 is a mistake of the daemon.",
);
pub(crate) static FACADE_PARAMS_IGNORED: Declaration = Declaration::counter(
    "orchd_facade_params_ignored_total",
    &[],
    "Parameters of /v1 requests that have no effect here.",
);
pub(crate) static AUTH_FAILURES: Declaration = Declaration::counter(
    "orchd_auth_failures_total",
    &["code"],
    "Requests that were turned away before their path was looked at, by error code.",
);
pub(crate) static HTTP_CONNECTIONS_REFUSED: Declaration = Declaration::counter(
    "orchd_http_connections_refused_total",
    &[],
    "Connections that were closed at once because there were too many.",
);
pub(crate) static HTTP_PANICS: Declaration =
    Declaration::counter("orchd_http_panics_total", &[], "Requests that ended in a panic.");

pub(crate) static SPANS_SENT: Declaration = Declaration::counter(
    "orchd_spans_sent_total",
    &[],
    "Spans of tasks that the collector of telemetry.otlp_endpoint has taken.",
);
pub(crate) static SPANS_DROPPED: Declaration = Declaration::counter(
    "orchd_spans_dropped_total",
    &[],
    "Spans of tasks that were to be sent and that no collector has: the queue was full, or it took none.",
);

pub(crate) static QUEUE_DEPTH: Declaration = Declaration::gauge(
    "orchd_queue_depth",
    None,
    &["model", "priority"],
    "Tasks that wait, by the model's first name.",
);
pub(crate) static TASKS_RUNNING: Declaration = Declaration::gauge(
    "orchd_tasks_running",
    None,
    &["pool"],
    "Slots of the pool that are taken by tasks.",
);
pub(crate) static SSE_SUBSCRIBERS: Declaration =
    Declaration::gauge("orchd_sse_subscribers", None, &[], "Subscriptions that are open.");
pub(crate) static MODEL_STATE: Declaration = Declaration::gauge(
    "orchd_model_state",
    None,
    &["model", "state"],
    "1 for the state that the model is in.",
);
pub(crate) static STORE_BYTES: Declaration = Declaration::gauge(
    "orchd_store_bytes",
    Some(Unit::Bytes),
    &["kind"],
    "Bytes on disk, by what they hold: records or events.",
);
pub(crate) static HTTP_CONNECTIONS: Declaration =
    Declaration::gauge("orchd_http_connections", None, &[], "Connections that are open.");
pub(crate) static BUILD_INFO: Declaration =
    Declaration::info("orchd_build_info", &["version"], "Which build runs.");

pub(crate) static ADMISSION: Declaration = Declaration::seconds(
    "orchd_admission_seconds",
    &[],
    WORK_S,
    "From a parsed request to the durable task, for admitted ones.",
);
pub(crate) static PLACEMENT: Declaration = Declaration::seconds(
    "orchd_placement_seconds",
    &[],
    DECISION_S,
    "What it took to decide where a task goes, with the scheduler's step around it.",
);
pub(crate) static QUEUE_WAIT: Declaration = Declaration::seconds(
    "orchd_queue_wait_seconds",
    &["priority"],
    WAIT_S,
    "From admission to the first attempt.",
);
pub(crate) static FIRST_TOKEN: Declaration = Declaration::seconds(
    "orchd_first_token_seconds",
    &["model", "priority"],
    WAIT_S,
    "From admission to the first token.",
);
pub(crate) static DECODE: Declaration = Declaration::seconds(
    "orchd_decode_seconds",
    &["model", "priority"],
    WAIT_S,
    "From the first to the last token of the last attempt, for ended tasks with tokens.",
);
pub(crate) static INTER_TOKEN: Declaration = Declaration::seconds(
    "orchd_inter_token_seconds",
    &["model"],
    PAUSE_S,
    "Pauses between two outputs of an engine, to the millisecond; follows within a second.",
);
pub(crate) static HTTP_REQUEST: Declaration = Declaration::seconds(
    "orchd_http_request_seconds",
    &["route", "method", "status"],
    WAIT_S,
    "From the request's head to the answer's head, by route template.",
);
pub(crate) static STORE_COMMIT: Declaration = Declaration::seconds(
    "orchd_store_commit_seconds",
    &[],
    WORK_S,
    "Commits of task records, fsync and the wait for it included.",
);

/// Every metric of the daemon.
pub static DECLARATIONS: &[&Declaration] = &[
    &TASKS_ADMITTED,
    &TASKS_REJECTED,
    &TASKS_STARTED,
    &TASKS_FINISHED,
    &FAILOVERS,
    &PLACEMENT_DECISIONS,
    &PLACEMENT_REJECTIONS,
    &TOKENS_IN,
    &TOKENS_OUT,
    &CATALOG_VERIFICATIONS,
    &HANDOFF_FILES,
    &SSE_DISCONNECTS,
    &SSE_METRICS_DROPPED,
    &STORE_TORN_TAILS,
    &SLOT_RELEASE_UNKNOWN,
    &FACADE_PARAMS_IGNORED,
    &AUTH_FAILURES,
    &HTTP_CONNECTIONS_REFUSED,
    &HTTP_PANICS,
    &SPANS_SENT,
    &SPANS_DROPPED,
    &QUEUE_DEPTH,
    &TASKS_RUNNING,
    &SSE_SUBSCRIBERS,
    &MODEL_STATE,
    &STORE_BYTES,
    &HTTP_CONNECTIONS,
    &BUILD_INFO,
    &ADMISSION,
    &PLACEMENT,
    &QUEUE_WAIT,
    &FIRST_TOKEN,
    &DECODE,
    &INTER_TOKEN,
    &HTTP_REQUEST,
    &STORE_COMMIT,
];

/// The list that is checked in.
#[must_use]
pub fn list() -> serde_json::Value {
    metrics::list(DECLARATIONS)
}
