use camino::Utf8PathBuf;

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be opened or read.
    #[error("cannot read the model file {path}")]
    Io {
        path: Utf8PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file is not a sound GGUF file: cut off, hostile, or something else.
    #[error("{path} is not a sound GGUF file; fetch it again")]
    Malformed {
        path: Utf8PathBuf,
        #[source]
        source: gguf::GgufError,
    },
    /// The engine knows another kind of model.
    #[error("this engine runs models of the architecture `llama`, not `{found}`")]
    UnsupportedArchitecture { found: String },
    /// The model needs something that this engine does not compute.
    #[error("this engine does not support the model: {what}")]
    Unsupported { what: String },
    /// The header names numbers or tensors that do not make a model.
    #[error("the model is inconsistent: {what}")]
    Inconsistent { what: String },
    /// The first token could not be computed.
    #[error("the model loads but does not compute: {what}")]
    FirstToken { what: String },
    /// The threads could not be started.
    #[error("cannot start the engine's threads: {reason}")]
    Threads { reason: String },
    /// Whoever asked for the model went away.
    #[error("loading was abandoned")]
    Abandoned,
    /// Loading panicked.
    #[error("loading the model failed: {reason}")]
    Panicked { reason: String },
}
