use std::{error::Error, fmt};

/// A text of an engine that may repeat what it was asked. Its debug form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct EngineText(String);

impl EngineText {
    /// Secrets are masked and the length is bounded by whoever makes it.
    #[must_use]
    pub fn new(masked: String) -> Self {
        Self(masked)
    }

    /// The text, for the task's own error.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EngineText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EngineText({} bytes)", self.0.len())
    }
}

/// Why an engine could not be used. What the engine itself said is in no message of these.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The engine refused this request and would refuse it again.
    #[error("the engine refused the request with status {status:?}")]
    Refused {
        /// HTTP status, where there was one.
        status: Option<u16>,
        /// What it said, without secrets and cut to a bound. It may repeat the prompt, so it is for whoever
        /// handed in the task and for no log.
        text: Option<EngineText>,
    },
    /// The engine cannot compute with the run settings that it was given, which another build or machine
    /// recorded.
    #[error("the engine cannot compute with the recorded run settings")]
    SettingsUnavailable,
    /// The prompt and the answer do not fit the engine's context.
    #[error("the prompt does not fit the engine's context")]
    ContextExceeded,
    /// The engine does not have the model.
    #[error("the engine does not serve model `{model}`")]
    ModelAbsent { model: String },
    /// The engine does not accept our credentials.
    #[error("the engine does not accept the configured key; check the pool's key_file")]
    Unauthorized,
    /// The engine has no room now.
    #[error("the engine takes no more work now")]
    Overloaded {
        /// What its `Retry-After` asked for.
        retry_after_ms: Option<u64>,
    },
    /// The engine could not be reached; it has not seen the attempt.
    #[error("cannot reach the engine at {url}")]
    Unreachable {
        url: String,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The engine stopped in the middle of an attempt.
    #[error("the engine was lost: {reason}")]
    Lost { reason: String },
    /// The engine answered something that its protocol does not allow.
    #[error("the engine answered against its protocol: {reason}")]
    Protocol { reason: String },
    /// The engine said nothing for too long.
    #[error("the engine did not answer within {waited_ms} ms")]
    TimedOut { waited_ms: u64 },
    /// The attempt was aborted through [`EngineAdapter::abort`](crate::EngineAdapter::abort).
    #[error("the attempt was aborted")]
    Aborted,
}

/// Who is at fault for the end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The request: it fails again anywhere; no breaker counts it.
    Task,
    /// The engine or the way to it: the task may be tried again.
    Worker,
    /// Somebody wanted it: drain, shutdown, cancel.
    Planned,
}

impl AdapterError {
    /// What kind of failure it is, as logs tell it.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::SettingsUnavailable => "settings_unavailable",
            Self::ContextExceeded => "context_exceeded",
            Self::ModelAbsent { .. } => "model_absent",
            Self::Unauthorized => "unauthorized",
            Self::Overloaded { .. } => "overloaded",
            Self::Unreachable { .. } => "unreachable",
            Self::Lost { .. } => "lost",
            Self::Protocol { .. } => "protocol",
            Self::TimedOut { .. } => "timed_out",
            Self::Aborted => "aborted",
        }
    }

    /// Who is at fault.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Refused { .. } | Self::ContextExceeded | Self::SettingsUnavailable => Cause::Task,
            Self::ModelAbsent { .. }
            | Self::Unauthorized
            | Self::Overloaded { .. }
            | Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::Protocol { .. }
            | Self::TimedOut { .. } => Cause::Worker,
            Self::Aborted => Cause::Planned,
        }
    }
}
