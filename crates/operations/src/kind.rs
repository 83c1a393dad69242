use std::sync::Arc;

use api_types::{ErrorBody, ErrorCode};
use async_trait::async_trait;
use serde_json::Value;

use crate::{OperationRecord, Progress};

/// How one kind of operation is done.
#[async_trait]
pub trait OperationKind: Send + Sync {
    /// The name of the kind, such as `model_fetch`.
    fn name(&self) -> &'static str;

    /// Whether it may be ended half-way. If so, dropping the future of [`Self::run`] has to end the work and
    /// leave nothing half-done behind.
    fn is_cancelable(&self) -> bool;

    /// Whether running it again after the process died in its middle does what was meant. One that is not is
    /// failed at the next start.
    fn is_resumable(&self) -> bool;

    /// Does the work.
    ///
    /// # Errors
    /// Why it failed, as the API shows it.
    async fn run(&self, job: &Job) -> Result<Value, ErrorBody>;
}

/// An operation in the hands of whoever does it.
pub struct Job {
    pub(crate) record: OperationRecord,
    pub(crate) report: Arc<dyn Fn(Progress) + Send + Sync>,
}

impl Job {
    /// The operation as it was when it was taken up.
    #[must_use]
    pub fn record(&self) -> &OperationRecord {
        &self.record
    }

    /// Says how far it is. Cheap; the last word counts.
    pub fn report(&self, progress: Progress) {
        (self.report)(progress);
    }

    /// An error of this operation.
    #[must_use]
    pub fn error(&self, code: ErrorCode, message: impl Into<String>) -> ErrorBody {
        ErrorBody::new(code, message, self.record.correlation_id.clone())
    }
}
