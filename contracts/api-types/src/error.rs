use serde::{Deserialize, Serialize};

/// Stable codes of everything that can go wrong; each has one HTTP status and, unless it is decided per
/// case, one answer to whether trying again can help (ORCH-004).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    MalformedJson,
    MissingToken,
    BadToken,
    PolicyDenied,
    BudgetExceeded,
    HostNotAllowed,
    NotFound,
    ModelNotFound,
    NodeUnknown,
    MethodNotAllowed,
    PayloadTooLarge,
    UnsupportedMediaType,
    HeadersTooLarge,
    RequestTimeout,
    Conflict,
    ModelDeprecated,
    EventsGone,
    PreconditionFailed,
    InvalidParams,
    ContextExceeded,
    IdempotencyMismatch,
    DeadlineUnmet,
    UntrustedArtifact,
    AdmissionReject,
    RateLimited,
    TooManyStreams,
    Internal,
    PoolUnready,
    PoolUnavailable,
    ModelNotAvailable,
    NodeUnavailable,
    ShuttingDown,
    CloudDisabled,
    StorageFull,
    QueueFullDropLru,
    QueueTimeout,
    EngineRefused,
    GuardBlocked,
    GuardEscalated,
    DeadlineExceeded,
    ReplicaExhausted,
    WorkerReset,
    DecodeTimeout,
    ContinuationMismatch,
}

impl ErrorCode {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MalformedJson => "MALFORMED_JSON",
            Self::MissingToken => "MISSING_TOKEN",
            Self::BadToken => "BAD_TOKEN",
            Self::PolicyDenied => "POLICY_DENIED",
            Self::BudgetExceeded => "BUDGET_EXCEEDED",
            Self::HostNotAllowed => "HOST_NOT_ALLOWED",
            Self::NotFound => "NOT_FOUND",
            Self::ModelNotFound => "MODEL_NOT_FOUND",
            Self::NodeUnknown => "NODE_UNKNOWN",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::HeadersTooLarge => "HEADERS_TOO_LARGE",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::Conflict => "CONFLICT",
            Self::ModelDeprecated => "MODEL_DEPRECATED",
            Self::EventsGone => "EVENTS_GONE",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::InvalidParams => "INVALID_PARAMS",
            Self::ContextExceeded => "CONTEXT_EXCEEDED",
            Self::IdempotencyMismatch => "IDEMPOTENCY_MISMATCH",
            Self::DeadlineUnmet => "DEADLINE_UNMET",
            Self::UntrustedArtifact => "UNTRUSTED_ARTIFACT",
            Self::AdmissionReject => "ADMISSION_REJECT",
            Self::RateLimited => "RATE_LIMITED",
            Self::TooManyStreams => "TOO_MANY_STREAMS",
            Self::Internal => "INTERNAL",
            Self::PoolUnready => "POOL_UNREADY",
            Self::PoolUnavailable => "POOL_UNAVAILABLE",
            Self::ModelNotAvailable => "MODEL_NOT_AVAILABLE",
            Self::NodeUnavailable => "NODE_UNAVAILABLE",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::CloudDisabled => "CLOUD_DISABLED",
            Self::StorageFull => "STORAGE_FULL",
            Self::QueueFullDropLru => "QUEUE_FULL_DROP_LRU",
            Self::QueueTimeout => "QUEUE_TIMEOUT",
            Self::EngineRefused => "ENGINE_REFUSED",
            Self::GuardBlocked => "GUARD_BLOCKED",
            Self::GuardEscalated => "GUARD_ESCALATED",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::ReplicaExhausted => "REPLICA_EXHAUSTED",
            Self::WorkerReset => "WORKER_RESET",
            Self::DecodeTimeout => "DECODE_TIMEOUT",
            Self::ContinuationMismatch => "CONTINUATION_MISMATCH",
        }
    }

    /// The HTTP status; `None` for codes that only stand in a task's outcome.
    #[must_use]
    pub fn status(self) -> Option<u16> {
        Some(match self {
            Self::MalformedJson => 400,
            Self::MissingToken | Self::BadToken => 401,
            Self::PolicyDenied | Self::BudgetExceeded | Self::HostNotAllowed => 403,
            Self::NotFound | Self::ModelNotFound | Self::NodeUnknown => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::Conflict => 409,
            Self::ModelDeprecated | Self::EventsGone => 410,
            Self::PreconditionFailed => 412,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::InvalidParams
            | Self::ContextExceeded
            | Self::IdempotencyMismatch
            | Self::DeadlineUnmet
            | Self::UntrustedArtifact => 422,
            Self::AdmissionReject | Self::RateLimited | Self::TooManyStreams => 429,
            Self::HeadersTooLarge => 431,
            Self::Internal => 500,
            Self::PoolUnready
            | Self::PoolUnavailable
            | Self::ModelNotAvailable
            | Self::NodeUnavailable
            | Self::ShuttingDown
            | Self::CloudDisabled => 503,
            Self::StorageFull => 507,
            Self::QueueFullDropLru
            | Self::QueueTimeout
            | Self::EngineRefused
            | Self::GuardBlocked
            | Self::GuardEscalated
            | Self::DeadlineExceeded
            | Self::ReplicaExhausted
            | Self::WorkerReset
            | Self::DecodeTimeout
            | Self::ContinuationMismatch => return None,
        })
    }

    /// Whether the same request may succeed later. Codes that are decided per case answer `false`
    /// here; whoever builds the error says otherwise in [`ErrorBody::retriable`].
    #[must_use]
    pub fn retriable(self) -> bool {
        matches!(
            self,
            Self::RequestTimeout
                | Self::AdmissionReject
                | Self::RateLimited
                | Self::TooManyStreams
                | Self::Internal
                | Self::PoolUnready
                | Self::PoolUnavailable
                | Self::NodeUnavailable
                | Self::ShuttingDown
                | Self::StorageFull
                | Self::QueueFullDropLru
                | Self::QueueTimeout
                | Self::ReplicaExhausted
                | Self::WorkerReset
                | Self::DecodeTimeout
                | Self::ContinuationMismatch
        )
    }
}

/// The one shape of an error, in answers and in the `error` event (ORCH-002, ORCH-003). Who makes one uses a
/// code of the closed list; who reads one from elsewhere reads a `ReportedError`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody<C = ErrorCode> {
    pub code: C,
    /// For people; lower case, says what to do next.
    pub message: String,
    pub retriable: bool,
    pub correlation_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Which limit or policy refused, such as `reject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// Path of the field at fault, such as `sampling.stop[2]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

impl ErrorBody {
    /// An error with the code's own retriability and nothing optional.
    #[must_use]
    pub fn new(
        code: ErrorCode,
        message: impl Into<String>,
        correlation_id: impl Into<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            retriable: code.retriable(),
            correlation_id: correlation_id.into(),
            retry_after_ms: None,
            policy_label: None,
            engine: None,
            pool_id: None,
            node_id: None,
            task_id: None,
            field: None,
            details: None,
        }
    }
}
