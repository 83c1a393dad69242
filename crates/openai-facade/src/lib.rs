//! OpenAI requests to tasks, task events to OpenAI answers; no I/O.
//!
//! A view of the native API (ORCH-241..247): [`parse_chat`] makes a task of a chat completion request,
//! [`ChunkWriter`] and [`Collector`] make a stream or an answer of the task's events, [`facade_error`]
//! an error of the native one, [`ModelObject`] and [`ModelListObject`] the model routes' answers.
//!
//! Invariants: no parameter that would change an answer is dropped; the text of an answer is the text of
//! the native stream, byte for byte.

mod chat_request;
mod chunk;
mod completion;
mod disconnect;
mod error;
mod event;
mod fields;
mod message;
mod models;

pub use chat_request::{ChatHeaders, ChatOptions, ChatRequest, header, parse_chat};
pub use chunk::ChunkWriter;
pub use completion::{Answer, Collector};
pub use disconnect::reattach_ms;
pub use error::{ChatProblem, ErrorEnvelope, ErrorObject, FacadeError, facade_error};
pub use event::{Completion, EventProblem, Progress};
pub use models::{ModelListObject, ModelObject};
