use camino::Utf8PathBuf;
use serde::Serialize;

use crate::{
    choice::choices,
    reader::{Reader, Unserved},
    setting::Check,
};

/// The id of the pool that is there when none is configured.
pub(crate) const EMBEDDED: &str = "embedded";

/// Longest id of a pool; it is part of the ids of models that only the pool holds.
pub(crate) const ID_CHARS_MAX: usize = 64;

/// Bounds of the memory that a pool may be granted: a megabyte and a petabyte.
const MEMORY_BYTES_MIN: i64 = 1 << 20;
const MEMORY_BYTES_MAX: i64 = 1 << 50;

/// Longest name of a version.
const VERSION_CHARS_MAX: usize = 128;

/// Keys of pools that nothing acts on yet.
const UNSERVED: [Unserved; 12] = [
    ("model_ref", "name the model in `models`"),
    ("replicas", "a pool has one replica; configure a second pool"),
    ("devices", "leave it out; pools run on the processor, or where their server runs"),
    ("tensor_split", "leave it out; no pool is spread over devices"),
    ("resident", "leave it out; a pool's model stays loaded"),
    ("provisioning", "leave it out, and start the server yourself"),
    ("ports", "leave it out; the server's port is part of `url`"),
    ("env", "leave it out, and give it to the server where you start it"),
    ("flags", "leave it out, and give them to the server where you start it"),
    ("allow_load", "leave it out; the models of a pool are those in `models`"),
    ("share_devices", "leave it out; no pool is bound to devices"),
    ("timeouts", "set `connect_timeout_ms` and `first_byte_timeout_ms`"),
];

/// A named place that runs models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "engine", rename_all = "lowercase")]
pub enum Pool {
    /// Inside the daemon, on the processor, one task at a time.
    Candle(CandlePool),
    /// Any server with an OpenAI-compatible API.
    OpenAi(OpenAiPool),
}

/// A pool inside the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(default, deny_unknown_fields))]
pub struct CandlePool {
    /// Ids of `[models]` that it may load; all of them when left out.
    pub models: Option<Vec<String>>,
    /// Threads that compute; as many as the machine has cores when left out.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1024)))]
    pub threads: Option<u32>,
    /// Cap on tokens of prompt and answer together.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 16_777_216)))]
    pub ctx: Option<u32>,
    /// Most memory that the model may need for its weights and for the keys and values of its whole context, in
    /// bytes. One that needs more is not loaded, and its tasks are refused.
    #[cfg_attr(feature = "schema", schemars(range(min = MEMORY_BYTES_MIN, max = MEMORY_BYTES_MAX)))]
    pub memory_bytes: Option<u64>,
    /// The version that the engine must have, such as `0.0.0+q8-lanes16-1`; with another one the daemon does
    /// not start. `GET /v2/meta/capabilities` tells the version of a running pool.
    pub engine_version: Option<String>,
    /// Your name of how the pool draws tokens: requests may ask for it, and an answer that was begun goes on
    /// only in a pool with the same one.
    pub sampler_profile_version: Option<String>,
}

/// A pool behind a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct OpenAiPool {
    /// Address of the server, such as `http://127.0.0.1:8000`; without a path, `/v1` is meant.
    pub url: String,
    /// Tasks that the server is given at once.
    #[cfg_attr(
        feature = "schema",
        schemars(default = "slots_default", range(min = 1, max = 65_536))
    )]
    pub slots: u32,
    /// File that holds the key that the server asks for.
    #[cfg_attr(feature = "schema", schemars(default, with = "Option<String>"))]
    pub key_file: Option<Utf8PathBuf>,
    /// The server's names of the models to use; all that it lists when left out.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub models: Option<Vec<String>>,
    /// Another pool whose models are the same as this one's of equal names: tasks for them may go to either.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub same_models_as: Option<String>,
    /// Whether equal requests are known to give equal bytes.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub strict: bool,
    /// Cap on tokens of prompt and answer together; what the server tells when left out.
    #[cfg_attr(feature = "schema", schemars(default, range(min = 1, max = 16_777_216)))]
    pub ctx: Option<u32>,
    /// Whether each chunk of the server's stream is known to be one token.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub chunk_is_token: bool,
    /// What the server takes beside the standard's sampling parameters.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub dialect: SamplingDialect,
    /// What answers can be beyond one plain text. The protocol does not tell, and a server that ignores
    /// what it does not know would give wrong answers: what is not named here is refused. When left out:
    /// nothing for dialect `standard`; `json_object`, `json_schema`, `logprobs` and `n` for `vllm`;
    /// `json_object`, `json_schema` and `logprobs` for `llamacpp`. Tools depend on how the server was
    /// started, and have to be named.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub features: Option<Vec<PoolFeature>>,
    /// Tokens of context that each image in a prompt counts as; images are refused when left out.
    #[cfg_attr(feature = "schema", schemars(default, range(min = 1, max = 16_777_216)))]
    pub image_tokens: Option<u32>,
    /// Kinds of work that the server does.
    #[cfg_attr(feature = "schema", schemars(default = "workloads_default"))]
    pub workloads: Vec<PoolWorkload>,
    /// Longest wait for a connection to the server, in milliseconds.
    #[cfg_attr(
        feature = "schema",
        schemars(default = "connect_timeout_default", range(min = 1, max = 600_000))
    )]
    pub connect_timeout_ms: u64,
    /// Longest wait for the beginning of the server's answer, in milliseconds. A server may send it with the
    /// first token, so that reading the prompt counts; as `scheduling.idle_ms` when left out.
    #[cfg_attr(feature = "schema", schemars(default, range(min = 100, max = 3_600_000)))]
    pub first_byte_timeout_ms: Option<u64>,
    /// The version of the server, which the protocol does not tell. It is shown with everything that ran
    /// there, and what was begun under one version is never generated again under another.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub engine_version: Option<String>,
    /// Your name of how the server draws tokens: requests may ask for it, and an answer that was begun goes
    /// on only in a pool with the same one.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub sampler_profile_version: Option<String>,
}

choices! {
    /// Something that answers of a server can be beyond one plain text.
    pub enum PoolFeature {
        /// `response_format` of type `json_object`.
        #[default]
        JsonObject = "json_object",
        /// `response_format` of type `json_schema`.
        JsonSchema = "json_schema",
        /// `logprobs` and `top_logprobs`.
        Logprobs = "logprobs",
        /// `tools` and `tool_choice`.
        Tools = "tools",
        /// `n` above 1.
        Choices = "n",
    }
}

choices! {
    /// A kind of work.
    pub enum PoolWorkload {
        /// Text from a prompt or a conversation.
        #[default]
        Completion = "completion",
        /// Numbers that stand for texts.
        Embedding = "embedding",
    }
}

choices! {
    /// Names under which a server takes sampling parameters that the standard protocol does not have.
    pub enum SamplingDialect {
        /// None of them.
        #[default]
        Standard = "standard",
        /// Those of vLLM and SGLang.
        Vllm = "vllm",
        /// Those of llama.cpp's server.
        LlamaCpp = "llamacpp",
    }
}

choices! {
    /// Kinds of engine.
    pub enum EngineKind {
        /// In the daemon.
        #[default]
        Candle = "candle",
        /// Behind a server with an OpenAI-compatible API.
        OpenAi = "openai",
    }
}

/// Tasks given at once to a server about which nothing is said.
const SLOTS_DEFAULT: u32 = 1;

/// Longest wait for a connection where the pool does not say.
const CONNECT_TIMEOUT_MS_DEFAULT: u64 = 5_000;

#[cfg(feature = "schema")]
fn connect_timeout_default() -> u64 {
    CONNECT_TIMEOUT_MS_DEFAULT
}

#[cfg(feature = "schema")]
fn slots_default() -> u32 {
    SLOTS_DEFAULT
}

fn workloads_default() -> Vec<PoolWorkload> {
    vec![PoolWorkload::Completion]
}

impl Pool {
    /// What runs its models.
    #[must_use]
    pub fn engine(&self) -> EngineKind {
        match self {
            Self::Candle(_) => EngineKind::Candle,
            Self::OpenAi(_) => EngineKind::OpenAi,
        }
    }

    /// Reads `[pools.<id>]`; only `embedded` need not say what it is.
    pub(crate) fn read(id: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let kind = if id == EMBEDDED && !reader.has("engine") {
            reader.get::<EngineKind>("engine", Check::Any).or(Some(EngineKind::Candle))
        } else {
            reader.require("engine", Check::Any, "\"candle\" or \"openai\"")
        };
        match kind {
            Some(EngineKind::Candle) => Some(Self::Candle(CandlePool::read(reader))),
            Some(EngineKind::OpenAi) => OpenAiPool::read(reader).map(Self::OpenAi),
            None => {
                // What kind it is meant to be is not known, so no key of either is wrong.
                reader.know(&["models", "threads", "ctx", "url", "slots", "key_file", "strict"]);
                reader.know(&["engine_version", "sampler_profile_version", "memory_bytes"]);
                reader.refuse_unserved(&UNSERVED);
                reader.know(&[
                    "chunk_is_token",
                    "dialect",
                    "features",
                    "image_tokens",
                    "workloads",
                    "connect_timeout_ms",
                    "first_byte_timeout_ms",
                    "same_models_as",
                ]);
                None
            }
        }
    }
}

const CTX: Check = Check::Within(1, 16_777_216);

impl CandlePool {
    fn read(reader: &mut Reader<'_>) -> Self {
        let pool = Self {
            models: reader.get("models", Check::Form(crate::model::name)),
            threads: reader.get("threads", Check::Within(1, 1_024)),
            ctx: reader.get("ctx", CTX),
            memory_bytes: reader
                .get("memory_bytes", Check::Within(MEMORY_BYTES_MIN, MEMORY_BYTES_MAX)),
            engine_version: reader.get("engine_version", Check::Form(version)),
            sampler_profile_version: reader.get("sampler_profile_version", Check::Form(version)),
        };
        reader.refuse_unserved(&UNSERVED);
        reader.refuse(
            &[
                "url",
                "slots",
                "key_file",
                "strict",
                "chunk_is_token",
                "dialect",
                "features",
                "image_tokens",
                "workloads",
                "connect_timeout_ms",
                "first_byte_timeout_ms",
                "same_models_as",
            ],
            "not for a pool with engine \"candle\", which runs one task at a time in the daemon",
        );
        pool
    }
}

impl OpenAiPool {
    /// What answers can be, named or by the dialect.
    #[must_use]
    pub fn features(&self) -> Vec<PoolFeature> {
        use PoolFeature::{Choices, JsonObject, JsonSchema, Logprobs};
        let of_dialect = || match self.dialect {
            SamplingDialect::Standard => Vec::new(),
            SamplingDialect::Vllm => vec![JsonObject, JsonSchema, Logprobs, Choices],
            SamplingDialect::LlamaCpp => vec![JsonObject, JsonSchema, Logprobs],
        };
        self.features.clone().unwrap_or_else(of_dialect)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let url = reader.require("url", Check::Form(url), "the address of the server");
        let slots = reader.get("slots", Check::Within(1, 65_536));
        let key_file = reader.get("key_file", Check::Any);
        let models = reader.get("models", Check::Form(remote_name));
        let same_models_as = reader.get("same_models_as", Check::Any);
        let strict = reader.get("strict", Check::Any);
        let ctx = reader.get("ctx", CTX);
        let chunk_is_token = reader.get("chunk_is_token", Check::Any);
        let dialect = reader.get("dialect", Check::Any);
        let features = reader.get("features", Check::Any);
        let image_tokens = reader.get("image_tokens", Check::Within(1, 16_777_216));
        let workloads: Option<Vec<PoolWorkload>> = reader.get("workloads", Check::Any);
        if workloads.as_ref().is_some_and(Vec::is_empty) {
            reader.wrong("workloads", "names nothing to do".to_owned());
        }
        let connect_timeout_ms = reader.get("connect_timeout_ms", Check::Within(1, 600_000));
        let first_byte_timeout_ms =
            reader.get("first_byte_timeout_ms", Check::Within(100, 3_600_000));
        let engine_version = reader.get("engine_version", Check::Form(version));
        let sampler_profile_version = reader.get("sampler_profile_version", Check::Form(version));
        reader.refuse_unserved(&UNSERVED);
        reader.refuse(
            &["threads", "memory_bytes"],
            "not for a pool with engine \"openai\", which has its own",
        );
        Some(Self {
            url: url?,
            slots: slots.unwrap_or(SLOTS_DEFAULT),
            key_file,
            models,
            same_models_as,
            strict: strict.unwrap_or_default(),
            ctx,
            chunk_is_token: chunk_is_token.unwrap_or_default(),
            dialect: dialect.unwrap_or_default(),
            features,
            image_tokens,
            workloads: workloads.unwrap_or_else(workloads_default),
            connect_timeout_ms: connect_timeout_ms.unwrap_or(CONNECT_TIMEOUT_MS_DEFAULT),
            first_byte_timeout_ms,
            engine_version,
            sampler_profile_version,
        })
    }
}

fn url(text: &str) -> Result<(), &'static str> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_plain = |rest: &str| {
        let host = rest.split('/').next().unwrap_or_default();
        let is_visible = rest.bytes().all(|byte| byte.is_ascii_graphic());
        !host.is_empty() && is_visible && !rest.contains(['@', '?', '#', '\\'])
    };
    if rest.is_some_and(is_plain) {
        Ok(())
    } else {
        Err("an address such as \"http://127.0.0.1:8000\", without user, query or fragment")
    }
}

fn remote_name(text: &str) -> Result<(), &'static str> {
    if (1..=256).contains(&text.len()) && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err("1 to 256 bytes without control characters")
    }
}

fn version(text: &str) -> Result<(), &'static str> {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if (1..=VERSION_CHARS_MAX).contains(&text.len()) && is_visible {
        Ok(())
    } else {
        Err("1 to 128 visible ASCII characters without blanks")
    }
}
