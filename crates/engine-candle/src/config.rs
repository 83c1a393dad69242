use std::num::NonZeroUsize;

/// How a model is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandleConfig {
    /// The name under which the model is offered, and which an attempt must ask for.
    pub model_name: String,
    /// Threads that compute. More than the machine has cores makes it slower.
    pub threads: NonZeroUsize,
    /// Prompt tokens read between two looks at whether the attempt was aborted.
    pub prefill_chunk_tokens: NonZeroUsize,
    /// Most tokens of prompt and answer together; capped by what the model was trained for. Memory for
    /// them is taken as they come.
    pub ctx_max: u32,
    /// Attempts that may wait while one runs; one more is refused as overloaded.
    pub waiting_max: usize,
}

impl CandleConfig {
    /// Settings that suit a small model: all given threads, chunks of 64 tokens (0.2 s on two cores), a
    /// context of 8,192 tokens and four waiting attempts.
    #[must_use]
    pub fn new(model_name: impl Into<String>, threads: NonZeroUsize) -> Self {
        Self {
            model_name: model_name.into(),
            threads,
            prefill_chunk_tokens: NonZeroUsize::new(64).expect("64 is not zero"),
            ctx_max: 8192,
            waiting_max: 4,
        }
    }
}
