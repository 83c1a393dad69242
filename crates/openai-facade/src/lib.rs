//! OpenAI requests to tasks, task events to OpenAI answers; no I/O.
//!
//! A view of the native API (ORCH-241..247): [`parse_chat`], [`parse_completion`] and
//! [`parse_embeddings`] make a task of a request, [`ChunkWriter`] and [`Collector`] make a stream or an
//! answer of the task's events, [`embedding_answer`] one of its result, [`facade_error`]
//! an error of the native one, [`ModelObject`] and [`ModelListObject`] the model routes' answers.
//!
//! Invariants: no parameter that would change an answer is dropped; the text of an answer is the text of
//! the native stream, byte for byte.

mod chat_request;
mod chunk;
mod completion;
mod disconnect;
mod embedding_answer;
mod embedding_request;
mod error;
mod event;
mod fields;
mod message;
mod models;
mod neutral;
mod parameters;
mod request;
mod text_logprobs;
mod text_request;

pub use chat_request::parse_chat;
pub use chunk::ChunkWriter;
pub use completion::{Answer, Collector};
pub use disconnect::reattach_ms;
pub use embedding_answer::embedding_answer;
pub use embedding_request::{EmbeddingEncoding, EmbeddingRequest, parse_embeddings};
pub use error::{ErrorEnvelope, ErrorObject, FacadeError, RequestProblem, facade_error};
pub use event::{AnswerForm, Completion, EventProblem, Progress};
pub use models::{ModelListObject, ModelObject};
pub use parameters::{CHAT_PARAMETERS, COMPLETION_PARAMETERS, EMBEDDING_PARAMETERS};
pub use request::{AnswerOptions, FacadeRequest, RequestHeaders, header};
pub use text_request::parse_completion;
