use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    CancelAnswer, CatalogModelView, ErrorBody, ErrorCode, MetricsEvent, ModelState,
    OperationAccepted, OperationStatus, OperationView, PreparationStep, PreparationView, Priority,
    StepStatus, TaskAccepted, TaskState, TaskView,
};

/// A closed list of words that stand on the wire.
pub trait Word: Copy {
    /// The name on the wire.
    fn name(self) -> &'static str;
}

/// A word as a client reads it: a newer daemon may use one that this build does not know (ORCH-289). Who
/// writes one uses the closed list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reported<T> {
    Known(T),
    /// To be shown as it is, and to be treated by what stands beside it.
    Other(String),
}

impl<T: Default> Default for Reported<T> {
    fn default() -> Self {
        Self::Known(T::default())
    }
}

impl<T: Word> Reported<T> {
    /// The word, where this build knows it.
    #[must_use]
    pub fn known(&self) -> Option<T> {
        match self {
            Self::Known(word) => Some(*word),
            Self::Other(_) => None,
        }
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Known(word) => word.name(),
            Self::Other(name) => name,
        }
    }
}

impl<T: PartialEq> PartialEq<T> for Reported<T> {
    fn eq(&self, other: &T) -> bool {
        matches!(self, Self::Known(word) if word == other)
    }
}

impl<T: Word> fmt::Display for Reported<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error's code as a client reads it. One that it does not know is treated by the answer's status and by
/// [`ErrorBody::retriable`].
pub type ReportedCode = Reported<ErrorCode>;

/// An error as a client reads it.
pub type ReportedError = ErrorBody<ReportedCode>;

/// A task as a client reads it.
pub type ReportedTask =
    TaskView<ReportedError, Reported<TaskState>, Reported<Priority>, Reported<StepStatus>>;

/// The 202 of a task as a client reads it.
pub type ReportedAccepted = TaskAccepted<Reported<TaskState>, Reported<StepStatus>>;

/// The answer to a cancellation as a client reads it.
pub type ReportedCancel = CancelAnswer<Reported<TaskState>>;

/// What must be done before a task can run, as a client reads it.
pub type ReportedPreparation = PreparationView<Reported<StepStatus>>;

/// One piece of that, as a client reads it.
pub type ReportedStep = PreparationStep<Reported<StepStatus>>;

/// How a task stands, as a client reads it.
pub type ReportedMetrics = MetricsEvent<Reported<StepStatus>>;

/// An operation as a client reads it.
pub type ReportedOperation = OperationView<ReportedError, Reported<OperationStatus>>;

/// The 202 of an operation as a client reads it.
pub type ReportedBegun = OperationAccepted<Reported<OperationStatus>>;

/// A model of the catalog as a client reads it.
pub type ReportedModel = CatalogModelView<Reported<ModelState>>;

macro_rules! words {
    ($($closed:ty),*) => {
        $(impl Word for $closed {
            fn name(self) -> &'static str {
                // The list's own, which comes before the trait's.
                <$closed>::name(self)
            }
        })*
    };
}

words!(ErrorCode, ModelState, OperationStatus, Priority, StepStatus, TaskState);
