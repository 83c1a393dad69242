use std::{error::Error, io, process::ExitCode};

use api_types::{InvalidField, ReportedError};
use camino::Utf8PathBuf;
use client::ClientError;
use serde_json::json;

/// Why the program does not end with success; its exit codes stand in `cli.rs`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The daemon was lost while a task of ours went on.
    #[error(
        "lost sight of task {task_id}, which goes on; see it with `orchctl events {task_id} --after {after}`"
    )]
    LostSight {
        task_id: String,
        after: u64,
        #[source]
        source: ClientError,
    },
    #[error("task {task_id} failed: {}", body.message)]
    TaskFailed { task_id: String, body: Box<ReportedError> },
    #[error("task {task_id} was canceled")]
    TaskCanceled { task_id: String },
    #[error("cannot read the token in {path}")]
    TokenFile {
        path: Utf8PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read the prompt from the standard input")]
    Prompt(#[source] io::Error),
    #[error(transparent)]
    Request(#[from] InvalidField),
    #[error("no {what} begins or ends with `{text}` among the last {searched}; give its whole id")]
    NoSuchId { what: &'static str, text: String, searched: usize },
    #[error("`{text}` may be {}; give more of the id", candidates.join(" or "))]
    ManyIds { text: String, candidates: Vec<String> },
    #[error("cannot write the manual into {dir}; name a folder that can be written")]
    ManPages {
        dir: Utf8PathBuf,
        #[source]
        source: io::Error,
    },
    /// `doctor` said what they are.
    #[error("there are {findings} findings")]
    Findings { findings: usize },
    /// The daemon was lost while it did something long for us.
    #[error(
        "lost sight of operation {operation_id}, which goes on; say the same again to wait for it"
    )]
    LostOperation {
        operation_id: String,
        #[source]
        source: ClientError,
    },
    #[error("{what} failed: {}", body.message)]
    OperationFailed { what: String, body: Box<ReportedError> },
    #[error("{what} was canceled by somebody else; say the same again to go on")]
    OperationCanceled { what: String },
    /// An operation that was only watched.
    #[error("operation {operation_id} was canceled")]
    WatchedCanceled { operation_id: String },
    /// An operation that succeeded must tell the model.
    #[error("operation {operation_id} succeeded and names no model; see `orchctl models ls`")]
    NoModel { operation_id: String },
    #[error("{model} is in use by {users}; wait for its users, or retire it with --force")]
    ModelInUse { model: String, users: String, refusal: ClientError },
    #[error(
        "{model} is out of service: {reason}; get the right bytes back and verify it again, or remove it"
    )]
    NotVerified { model: String, reason: String },
    #[error(
        "cannot find the model file `{path}`; give a path, or a reference such as file:/models/m.gguf"
    )]
    ModelFile {
        path: String,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Ctrl-C, and the daemon has stopped.
    #[error("canceled")]
    Stopped,
    /// Ctrl-C, but it was done already.
    #[error("it was done already when it was to be canceled")]
    StoppedTooLate,
    /// Ctrl-C twice.
    #[error("left; the daemon may go on with operation {operation_id}")]
    LeftOperation { operation_id: String },
    #[error("interrupted")]
    Interrupted,
    /// Whoever read the output went away.
    #[error("the output was closed")]
    OutputClosed,
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    #[error("cannot wait for Ctrl-C")]
    Signals(#[source] io::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::TaskFailed { .. }
            | Self::TaskCanceled { .. }
            | Self::OperationFailed { .. }
            | Self::OperationCanceled { .. }
            | Self::WatchedCanceled { .. }
            | Self::NotVerified { .. }
            | Self::Findings { .. } => 1,
            Self::TokenFile { .. }
            | Self::Prompt(_)
            | Self::Request(_)
            | Self::NoSuchId { .. }
            | Self::ModelFile { .. }
            | Self::ManyIds { .. } => 2,
            Self::Client(error)
            | Self::LostSight { source: error, .. }
            | Self::LostOperation { source: error, .. }
            | Self::ModelInUse { refusal: error, .. } => match error {
                ClientError::Address { .. }
                | ClientError::Token
                | ClientError::IdempotencyKey { .. } => 2,
                ClientError::Unreachable { .. } => 3,
                ClientError::Refused { .. } | ClientError::Foreign { .. } => 4,
                ClientError::Setup(_)
                | ClientError::Unreadable { .. }
                | ClientError::TooLong { .. }
                | ClientError::Stream { .. } => 5,
            },
            Self::Output(_) | Self::Signals(_) | Self::ManPages { .. } | Self::NoModel { .. } => 5,
            Self::Stopped
            | Self::StoppedTooLate
            | Self::LeftOperation { .. }
            | Self::Interrupted => 130,
        }
    }

    /// Whether something else may be asked after it.
    pub(crate) fn leaves_a_next_try(&self) -> bool {
        matches!(
            self,
            Self::Client(_)
                | Self::LostSight { .. }
                | Self::TaskFailed { .. }
                | Self::TaskCanceled { .. }
                | Self::Request(_)
        )
    }

    fn body(&self) -> Option<&ReportedError> {
        match self {
            Self::TaskFailed { body, .. } | Self::OperationFailed { body, .. } => Some(body),
            Self::Client(error)
            | Self::LostSight { source: error, .. }
            | Self::LostOperation { source: error, .. }
            | Self::ModelInUse { refusal: error, .. } => error.body(),
            _ => None,
        }
    }

    /// Says on the standard error what went wrong, the whole chain, and gives the exit code.
    #[expect(clippy::print_stderr, reason = "the one place where errors are told")]
    pub(crate) fn report(&self, as_json: bool) -> ExitCode {
        let is_silent =
            matches!(self, Self::Interrupted | Self::OutputClosed | Self::Findings { .. });
        if !is_silent && as_json {
            let exit_code = self.exit_code();
            eprintln!(
                "{}",
                json!({ "error": self.chain(), "exit_code": exit_code, "body": self.body() })
            );
        } else if !is_silent {
            eprintln!("orchctl: {}", self.chain());
            if let Some(body) = self.body() {
                eprintln!("  code {}, correlation {}", body.code.name(), body.correlation_id);
            }
        }
        self.exit_code().into()
    }

    fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(error) = next {
            text.push_str(": ");
            text.push_str(&error.to_string());
            next = error.source();
        }
        text
    }
}
