//! Bounds-checked reader of GGUF headers.
