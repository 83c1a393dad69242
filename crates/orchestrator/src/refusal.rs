use api_types::{ErrorBody, ErrorCode, InvalidField};
use orchestrator_core::Forecast;
use serde_json::json;

use crate::{
    EventStoreError, JournalError, MemoryShortage,
    model::{ModelRefusal, PromptRefusal},
};

/// Why a request to the orchestrator was not carried out. Each refusal of a submission leaves no task,
/// reservation or queue entry behind.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    InvalidParams(#[from] InvalidField),
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
    #[error("{0}")]
    Model(#[from] ModelRefusal),
    #[error("{0}")]
    Prompt(#[from] PromptRefusal),
    #[error(
        "the prompt has {prompt_tokens} tokens and the answer may have {max_tokens}, more than the \
         context of {ctx_max}"
    )]
    ContextExceeded { prompt_tokens: u64, max_tokens: u64, ctx_max: u64 },
    #[error(
        "the task would end in {} ms, after its deadline of {deadline_ms} ms; `earliest_deadline_ms` is \
         what can be met now",
        .forecast.end_ms()
    )]
    DeadlineUnmet { deadline_ms: u64, forecast: Forecast },
    #[error("no pool may serve model `{model}`; add it to a pool's models")]
    NoPool { model: String },
    #[error(
        "model `{model}` needs {} bytes of memory, and no pool that may serve it has more than {}",
        .shortage.needed_bytes, .shortage.available_bytes
    )]
    TooLarge { model: String, shortage: MemoryShortage },
    #[error("the pool of model `{model}` has not answered yet; try again")]
    PoolUnheard { model: String },
    #[error("all pools of model `{model}` have failed; `orchctl status` says why")]
    PoolsFailed { model: String },
    #[error("requests may not name the only pool or node; see placement.allow_pins")]
    PinsForbidden,
    #[error("pool `{pool}`, which the task is pinned to, is not ready; try again")]
    PinUnready { pool: String },
    #[error("the queue is full; try again later")]
    QueueFull {
        retry_after_ms: u64,
        /// The rule that refused it.
        policy_label: &'static str,
    },
    #[error("more is asked for than the client's rate limit allows; try again later")]
    RateLimited { retry_after_ms: u64 },
    #[error("too many subscribers; close one or try again later")]
    TooManyStreams { retry_after_ms: u64 },
    #[error("the store's device is full; free space and admission goes on by itself")]
    StorageFull,
    #[error("the daemon is shutting down")]
    ShuttingDown,
    #[error("no task has this id")]
    UnknownTask,
    #[error("the task has no result; only embeddings that succeeded have one")]
    NoResult,
    #[error("the task has {last_event_id} events; `{asked}` is not one of them")]
    UnknownEvent { asked: u64, last_event_id: u64 },
    #[error("the task's events are no longer kept; the task's own page still tells its end")]
    EventsGone,
    #[error("the task has not ended; cancel it first")]
    StillLive,
    #[error("something reads an older state of the store, such as a backup; try again after it")]
    StoreIsRead,
    #[error("the store failed; see the daemon's log")]
    Store(#[source] JournalError),
    #[error("the event log failed; see the daemon's log")]
    Events(#[from] EventStoreError),
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Full => Self::StorageFull,
            other => Self::Store(other),
        }
    }
}

impl Refusal {
    /// The error as the API shows it.
    #[must_use]
    pub fn body(&self, correlation_id: &str) -> ErrorBody {
        let mut body = ErrorBody::new(self.code(), self.to_string(), correlation_id);
        match self {
            Self::InvalidParams(problem) => {
                body.field = Some(problem.field.clone());
                body.message = problem.message.clone();
            }
            Self::Model(ModelRefusal::NotAvailable { retriable, .. }) => {
                body.retriable = *retriable;
            }
            Self::TooLarge { shortage, .. } => {
                body.details = Some(json!({
                    "needed_bytes": shortage.needed_bytes,
                    "available_bytes": shortage.available_bytes,
                }));
            }
            Self::PoolUnheard { .. } | Self::StoreIsRead => body.retriable = true,
            Self::Prompt(_) => body.field = Some("messages".to_owned()),
            Self::ContextExceeded { prompt_tokens, max_tokens, ctx_max } => {
                body.details = Some(json!({
                    "prompt_tokens": prompt_tokens,
                    "max_tokens": max_tokens,
                    "ctx_max": ctx_max,
                }));
            }
            Self::DeadlineUnmet { deadline_ms, forecast } => {
                // Only less waiting makes it feasible, and only if the work itself leaves time for it.
                body.retriable = forecast.service_ms() <= *deadline_ms;
                body.field = Some("deadline_ms".to_owned());
                body.details = Some(json!({
                    "deadline_ms": deadline_ms,
                    "predicted_start_ms": forecast.start_ms,
                    "predicted_first_token_ms": forecast.start_ms + forecast.prefill_ms,
                    "predicted_end_ms": forecast.end_ms(),
                    "earliest_deadline_ms": forecast.end_ms(),
                    "idle_deadline_ms": forecast.service_ms(),
                }));
            }
            Self::QueueFull { retry_after_ms, policy_label } => {
                body.policy_label = Some((*policy_label).to_owned());
                body.retry_after_ms = Some(*retry_after_ms);
            }
            Self::RateLimited { retry_after_ms } => {
                body.policy_label = Some("rate-limit".to_owned());
                body.retry_after_ms = Some(*retry_after_ms);
            }
            Self::TooManyStreams { retry_after_ms } => body.retry_after_ms = Some(*retry_after_ms),
            Self::UnknownEvent { asked, last_event_id } => {
                body.details = Some(json!({ "asked": asked, "last_event_id": last_event_id }));
            }
            Self::PinsForbidden => body.field = Some("placement.mode".to_owned()),
            Self::PinUnready { pool } => body.pool_id = Some(pool.clone()),
            Self::IdempotencyMismatch
            | Self::Model(_)
            | Self::NoPool { .. }
            | Self::PoolsFailed { .. }
            | Self::StorageFull
            | Self::ShuttingDown
            | Self::UnknownTask
            | Self::NoResult
            | Self::EventsGone
            | Self::StillLive
            | Self::Store(_)
            | Self::Events(_) => {}
        }
        body
    }

    fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidParams(_) | Self::Prompt(_) => ErrorCode::InvalidParams,
            Self::IdempotencyMismatch => ErrorCode::IdempotencyMismatch,
            Self::Model(ModelRefusal::Unknown(_)) => ErrorCode::ModelNotFound,
            Self::Model(ModelRefusal::Retired(_)) => ErrorCode::ModelDeprecated,
            Self::Model(ModelRefusal::Untrusted { .. }) => ErrorCode::UntrustedArtifact,
            Self::Model(ModelRefusal::NotAvailable { .. })
            | Self::NoPool { .. }
            | Self::TooLarge { .. }
            | Self::PoolUnheard { .. } => ErrorCode::ModelNotAvailable,
            Self::ContextExceeded { .. } => ErrorCode::ContextExceeded,
            Self::DeadlineUnmet { .. } => ErrorCode::DeadlineUnmet,
            Self::PoolsFailed { .. } => ErrorCode::PoolUnavailable,
            Self::PinsForbidden => ErrorCode::PolicyDenied,
            Self::PinUnready { .. } => ErrorCode::PoolUnready,
            Self::QueueFull { .. } => ErrorCode::AdmissionReject,
            Self::RateLimited { .. } => ErrorCode::RateLimited,
            Self::TooManyStreams { .. } => ErrorCode::TooManyStreams,
            Self::StorageFull => ErrorCode::StorageFull,
            Self::ShuttingDown => ErrorCode::ShuttingDown,
            Self::UnknownTask | Self::NoResult => ErrorCode::NotFound,
            Self::EventsGone => ErrorCode::EventsGone,
            Self::UnknownEvent { .. } | Self::StillLive | Self::StoreIsRead => ErrorCode::Conflict,
            Self::Store(_) | Self::Events(_) => ErrorCode::Internal,
        }
    }
}
