use serde::{Deserialize, Serialize};

use crate::ErrorBody;

/// States of an operation (ORCH-012); the last three are terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum OperationStatus {
    Running,
    Succeeded,
    Failed,
    Canceled,
}

impl OperationStatus {
    /// Whether the operation has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        self != Self::Running
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// `GET /v2/operations/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationView<E = ErrorBody, S = OperationStatus> {
    pub operation_id: String,
    /// `model_fetch`, `model_verify` or `model_delete`.
    pub kind: String,
    /// What it is done to: a source or a catalog id.
    pub target: String,
    #[cfg_attr(feature = "openapi", schema(value_type = OperationStatus))]
    pub state: S,
    pub progress: OperationProgress,
    /// What came of it, such as `{"model_id": …}`; null until it has succeeded.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub result: Option<serde_json::Value>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub error: Option<E>,
    pub created_at: String,
    /// Null while it runs.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub ended_at: Option<String>,
    pub correlation_id: String,
}

/// How far an operation is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationProgress {
    /// `looking_up`, `fetching`, `verifying` or `waiting`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub step: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub bytes_done: Option<u64>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub bytes_total: Option<u64>,
    /// Time left at the measured speed; null without a measurement.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub estimated_ms: Option<u64>,
}

/// The 202 of whatever takes longer than an answer may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationAccepted<S = OperationStatus> {
    pub operation_id: String,
    pub kind: String,
    pub target: String,
    #[cfg_attr(feature = "openapi", schema(value_type = OperationStatus))]
    pub state: S,
    /// Where to ask how far it is.
    pub status_url: String,
}
