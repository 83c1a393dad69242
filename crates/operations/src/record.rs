use std::{fmt, str::FromStr};

use api_types::ErrorBody;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// What an operation is known by; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub Uuid);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for OperationId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

/// Where an operation is in its life; the last three are for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// At work, or to be taken up again at the next start.
    Running,
    /// Done.
    Succeeded,
    /// Given up, with an error.
    Failed,
    /// Ended by somebody's wish.
    Canceled,
}

/// How far an operation is. Lost with the process until the operation ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done now, such as `fetching`.
    pub step: Option<String>,
    /// Bytes that this step has behind it.
    pub bytes_done: Option<u64>,
    /// Bytes of this step in all, where that is known.
    pub bytes_total: Option<u64>,
    /// Time that is left at the measured speed, in milliseconds; none without a measurement.
    pub estimated_ms: Option<u64>,
}

/// An operation, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationRecord {
    pub id: OperationId,
    /// What is done, such as `model_fetch`.
    pub kind: String,
    /// What it is done to.
    pub target: String,
    /// What the kind needs to do it, and to do it again after a restart.
    pub input: Value,
    pub state: OperationState,
    pub progress: Progress,
    /// What came of it, once it has succeeded.
    pub result: Option<Value>,
    /// Why it failed, once it has.
    pub error: Option<ErrorBody>,
    /// Of the request that asked for it.
    pub correlation_id: String,
    /// Wall clock, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// Likewise; none while it runs.
    pub ended_at_ms: Option<u64>,
}

/// A wish for an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOperation {
    /// As in [`OperationRecord`].
    pub kind: &'static str,
    /// As in [`OperationRecord`].
    pub target: String,
    /// As in [`OperationRecord`].
    pub input: Value,
    /// As in [`OperationRecord`].
    pub correlation_id: String,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Succeeded(Value),
    Failed(Box<ErrorBody>),
    Canceled,
}
