use serde::{Deserialize, Serialize};

use crate::{DecisionView, ErrorBody, Priority};

/// States of a task (ORCH-061); the last five are terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    Queued,
    Preparing,
    Running,
    Succeeded,
    Failed,
    Canceled,
    Expired,
    Evicted,
}

impl TaskState {
    /// Whether the task has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Canceled | Self::Expired | Self::Evicted
        )
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
        }
    }
}

/// The 202 of `POST /v2/tasks` (ORCH-021).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskAccepted<S = TaskState, T = StepStatus> {
    pub task_id: String,
    #[cfg_attr(feature = "openapi", schema(value_type = TaskState))]
    pub status: S,
    /// 0 is next; null once the task runs.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub queue_position: Option<u64>,
    /// Null while nothing was measured.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub predicted_start_ms: Option<u64>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub predicted_end_ms: Option<u64>,
    pub admitted_at: String,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub deadline_at: Option<String>,
    pub events_url: String,
    pub status_url: String,
    pub cancel_url: String,
    #[cfg_attr(feature = "openapi", schema(value_type = PreparationView))]
    pub preparation: PreparationView<T>,
}

/// Work that must be done before the task can run (ORCH-036).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreparationView<T = StepStatus> {
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<PreparationStep>))]
    pub steps: Vec<PreparationStep<T>>,
}

impl Default for PreparationView {
    fn default() -> Self {
        Self { steps: Vec::new() }
    }
}

/// One piece of pending work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreparationStep<T = StepStatus> {
    pub id: String,
    /// `engine_provision`, `model_fetch` or `pool_warmup`.
    pub kind: String,
    #[cfg_attr(feature = "openapi", schema(value_type = StepStatus))]
    pub status: T,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub estimated_ms: Option<u64>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub bytes_total: Option<u64>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub bytes_done: Option<u64>,
}

/// How far a step of preparation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum StepStatus {
    Pending,
    Running,
    Completed,
    Failed,
}

impl StepStatus {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// `GET /v2/tasks/{id}` (ORCH-062). Clients read a `ReportedTask`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskView<E = ErrorBody, S = TaskState, P = Priority, T = StepStatus> {
    pub task_id: String,
    #[cfg_attr(feature = "openapi", schema(value_type = TaskState))]
    pub status: S,
    pub model_ref: String,
    pub model_id: String,
    #[cfg_attr(feature = "openapi", schema(value_type = Priority))]
    pub priority: P,
    pub request_digest: String,
    /// The request's parameters with defaults filled in, without prompt text.
    pub parameters: serde_json::Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ref: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<std::collections::BTreeMap<String, String>>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub queue_position: Option<u64>,
    /// In how many milliseconds it should start; only while it is queued, and null where that is not known.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub predicted_start_ms: Option<u64>,
    /// In how many milliseconds it should end, while it is queued or runs; null where that is not known.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub predicted_end_ms: Option<u64>,
    pub admitted_at: String,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub started_at: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub ended_at: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub deadline_at: Option<String>,
    pub attempts: Vec<AttemptView>,
    /// While the task waits, what keeps it waiting now; then, what placed its last attempt. Null for a task
    /// that ended without an attempt.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub decision: Option<DecisionView>,
    pub usage: Usage,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub error: Option<E>,
    pub last_event_id: u64,
    pub correlation_id: String,
    #[cfg_attr(feature = "openapi", schema(value_type = PreparationView))]
    pub preparation: PreparationView<T>,
    /// How it waits; only while it is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<WaitingView>))]
    pub waiting: Option<WaitingView<P>>,
    pub links: Links,
    /// Only with `?include=prompt`: the prompt or the messages as they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<serde_json::Value>,
}

/// Who is ahead of a queued task, and what its predictions rest on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitingView<P = Priority> {
    /// As many tasks as its position says, by class and client.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<AheadView>))]
    pub ahead: Vec<AheadView<P>>,
    /// Null while too little was measured.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub estimate: Option<EstimateView>,
}

/// Tasks that start before another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AheadView<P = Priority> {
    #[cfg_attr(feature = "openapi", schema(value_type = Priority))]
    pub priority: P,
    /// The client that sent them; null for clients that the reader may not see, and for tasks that had an
    /// attempt before and go ahead of everybody's.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub identity: Option<String>,
    pub tasks: u64,
}

/// What predictions rest on: what the last attempts of the model took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EstimateView {
    /// Four of five such tasks start no sooner than this.
    pub start_earliest_ms: u64,
    /// Four of five such tasks start no later than this.
    pub start_latest_ms: u64,
    /// From the start to the first token.
    pub prefill_ms: u64,
    /// From the first token to the end.
    pub decode_ms: u64,
    /// Tasks that start before it, those included that are expected to come.
    pub starts_ahead: u64,
    /// Slots that it may get one of.
    pub slots: u32,
    /// Attempts that were measured.
    pub samples: u32,
}

/// One dispatch of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttemptView {
    pub attempt_id: String,
    pub pool_id: String,
    pub replica_id: String,
    pub engine: String,
    pub engine_version: String,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub model_digest: Option<String>,
    pub seed: u64,
    pub started_at: String,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub ended_at: Option<String>,
    /// `completed`, `canceled`, `lost`, … ; null while it runs.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub outcome: Option<String>,
    pub tokens: u64,
    /// What placed it here; null for attempts of older daemons.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub decision: Option<DecisionView>,
}

/// What a task used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Usage {
    /// Null where neither the daemon nor the engine could count.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tokens_in: Option<u64>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tokens_out: Option<u64>,
}

/// Where to go from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Links {
    pub events_url: String,
    pub status_url: String,
    pub cancel_url: String,
}

/// `POST /v2/tasks/{id}/cancel` (ORCH-064).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CancelAnswer<S = TaskState> {
    pub task_id: String,
    #[cfg_attr(feature = "openapi", schema(value_type = TaskState))]
    pub status: S,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass it as `cursor` for the next page; null on the last.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub next_cursor: Option<String>,
}
