use std::error::Error;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::money::MicroDollars;

/// What sort of failure an attempt ended with. The sort decides about retries, breaker and report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Likely to work when tried again: a lost connection, an overloaded server.
    Transient,
    /// The other side asks for fewer calls.
    RateLimited {
        /// How long it asked to wait, if it said.
        retry_after: Option<Duration>,
    },
    /// Trying again cannot help: a wrong credential, a missing model, a bug.
    Permanent,
    /// The answer was not one: it could not be parsed or broke its schema.
    Invalid,
    /// The other side declined to answer.
    Refused,
    /// The critic panicked. Only the executor says so.
    Panic,
}

impl ErrorKind {
    /// The kind's name in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::RateLimited { .. } => "rate_limited",
            Self::Permanent => "permanent",
            Self::Invalid => "invalid",
            Self::Refused => "refused",
            Self::Panic => "panic",
        }
    }
}

/// Why an attempt of a critic gave no answer.
///
/// `?` turns the common error types of the standard library, `serde_json`'s and boxed errors into
/// [`ErrorKind::Permanent`]; what is worth another try must be called so by name.
///
/// ```
/// use critic_executor::{CriticError, ErrorKind};
///
/// fn parse(text: &str) -> Result<u8, CriticError> {
///     Ok(text.parse::<u8>()?)
/// }
/// assert_eq!(parse("x").unwrap_err().kind(), ErrorKind::Permanent);
/// let lost = CriticError::transient("connection reset");
/// assert_eq!(lost.kind(), ErrorKind::Transient);
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CriticError {
    kind: ErrorKind,
    message: String,
    cost: Option<MicroDollars>,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl CriticError {
    /// An error of a kind, with a message for people.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cost: None, source: None }
    }

    /// Worth another try.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transient, message)
    }

    /// The other side asks for fewer calls.
    pub fn rate_limited(retry_after: Option<Duration>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::RateLimited { retry_after }, message)
    }

    /// Trying again cannot help.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Permanent, message)
    }

    /// The answer was not one.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The other side declined.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the failed attempt cost, where that is known.
    #[must_use]
    pub fn with_cost(mut self, cost: MicroDollars) -> Self {
        self.cost = Some(cost);
        self
    }

    /// What sort of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the attempt cost, if it said so.
    #[must_use]
    pub fn cost(&self) -> Option<MicroDollars> {
        self.cost
    }

    fn caused_by(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = source.into();
        Self {
            kind: ErrorKind::Permanent,
            message: source.to_string(),
            cost: None,
            source: Some(source),
        }
    }
}

/// Each of these is [`ErrorKind::Permanent`]: an error that nobody has looked at is not known to pass.
macro_rules! permanent_from {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for CriticError {
            fn from(error: $error) -> Self {
                Self::caused_by(error)
            }
        })*
    };
}

permanent_from!(
    Box<dyn Error + Send + Sync>,
    serde_json::Error,
    std::fmt::Error,
    std::io::Error,
    std::num::ParseFloatError,
    std::num::ParseIntError,
    std::num::TryFromIntError,
    std::str::ParseBoolError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    std::sync::mpsc::RecvError,
    tokio::sync::AcquireError,
    tokio::sync::oneshot::error::RecvError,
    tokio::task::JoinError,
    tokio::time::error::Elapsed,
);
