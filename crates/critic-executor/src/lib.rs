//! Runs a graph of critics over one LLM input and output, under deadlines and limits, and joins what they found
//! into one verdict that can be explained and replayed.
//!
//! A [`Critic`] is an async check. It sees one attempt's [`CriticContext`] and returns a [`CriticOutput`] with a
//! [`Finding`], or a [`CriticError`]. A [`Status`] says how a critic ended; only an answer has a finding, so a
//! check that died is never mistaken for one that found nothing.
#![forbid(unsafe_code)]

mod canonical_json;
mod catch;
mod cleanup;
mod context;
mod critic;
mod edit;
mod error;
mod finding;
mod input;
mod money;
mod stage;
mod status;
mod validation;
mod verdict;

pub use cleanup::CleanupWhen;
pub use context::CriticContext;
pub use critic::Critic;
pub use edit::{Edit, MergedEdits};
pub use error::{CriticError, ErrorKind};
pub use finding::{CriticOutput, Evidence, Finding, Span, TextTarget, Violation};
pub use input::{RiskLevel, RunInput};
pub use money::MicroDollars;
pub use stage::{Stage, StageMode};
pub use status::{AnswerSource, CancelReason, OutputProblem, RejectReason, Status, TimeoutScope};
pub use validation::{OutputLimits, Validator};
pub use verdict::{Verdict, VerdictMap};
