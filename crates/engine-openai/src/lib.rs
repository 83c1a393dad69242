//! Adapter for any server that speaks the OpenAI-compatible protocol: vLLM, SGLang, Ollama, llama.cpp's
//! server, remote services.
//!
//! Invariants: a request is built field by field from what an attempt may ask for, each in its range; no
//! stop strings are sent, as the caller matches them itself; the text of an engine's error reaches the
//! log, masked, and nothing else; every read is bounded. A stream is the response body, polled in place:
//! no task and no channel of this crate stands between the socket and the caller. Closing the connection
//! is the protocol's only way to abort, and the engine does not confirm it.

mod adapter;
mod answer_head;
mod api_key;
mod body_framing;
mod chunk;
mod chunk_pattern;
mod config;
mod connections;
mod embedding;
mod logprobs;
mod masked;
mod message;
mod model_list;
mod open_attempts;
mod refusal;
mod request;
mod socket;
mod stream;

pub use adapter::OpenAiAdapter;
pub use api_key::ApiKey;
pub use config::{ConfigError, OpenAiConfig, SamplingDialect};
