//! GGUF models in process, in pure Rust.
