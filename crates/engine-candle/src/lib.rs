//! GGUF models of the llama architecture in process, in pure Rust.
//!
//! [`CandleEngine`] owns one model and one thread that computes, and implements
//! [`adapter_host::EngineAdapter`]. The file is read by the bounds-checked `gguf` parser; candle turns its
//! blocks, whatever their format, into numbers; these are kept as eight-bit blocks ([`Q8Matrix`]) because
//! the processor multiplies those fastest. On two cores candle's own layers read prompts of the starter
//! model at 117 tokens a second and generate 33; [`Llama`] over its own kernels does 290 and 64, about what
//! llama.cpp does (`examples/speed.rs`).
//!
//! # What holds
//! - *One arithmetic.* Each number of a result is computed by one thread in one fixed order. Neither the
//!   number of threads, nor how a text is cut into batches, nor which instruction set the processor offers
//!   changes a bit of the logits. So an attempt that was cut off continues exactly: its ids are fed again
//!   and the next token is drawn from the same logits with the same random number, which depends on seed
//!   and index alone.
//! - *One generation at a time.* Others wait in a bounded queue.
//! - *It ends.* Aborts and dropped streams are noticed between tokens and between chunks of a prompt.
//!   Dropping the engine ends its threads and waits for them.
//! - *It survives its models.* A panic under a hostile model ends the running attempt as lost and makes
//!   the engine unhealthy; the process goes on.

mod attention;
mod config;
mod desk;
mod draw;
mod engine;
mod exponential;
mod generation;
mod hyper_parameters;
mod kernels;
mod kv_cache;
mod llama;
mod load_error;
mod matrix;
mod memory;
mod rope;
mod run_settings;
mod sampler;
mod vocabulary;
mod weights;

pub use config::CandleConfig;
pub use draw::uniform;
pub use engine::{CandleEngine, FEATURES, LoadProgress, version};
pub use kernels::Kernels;
pub use llama::{Llama, OutOfMemory};
pub use load_error::LoadError;
pub use matrix::{Q8Matrix, Q8Rows};
pub use memory::memory_bytes;
pub use run_settings::{ARITHMETIC, RunSettings};
pub use sampler::{REPEAT_WINDOW, SampleError, Sampler};
pub use vocabulary::Vocabulary;
