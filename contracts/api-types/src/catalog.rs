use serde::{Deserialize, Serialize};

use crate::{InvalidField, request::limits};

/// Names of one model that a request may give, and words about it.
const WORDS_MAX: usize = 64;

/// Longest signature or list of parts, in bytes.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// The body of `POST /v2/catalog/models` (ORCH-184).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AddModelRequest {
    /// Where the model comes from: `file:/path`, `https://…`, `hf:owner/repository/path@revision` or
    /// `pypi:name@version#member`.
    pub source_ref: String,
    /// `sha256:` and 64 digits; the model is refused where it has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_digest: Option<String>,
    /// Names that are to point to it, wherever they pointed before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Words of your own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Recorded, not checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<SignatureView>,
    /// Recorded, not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<SbomView>,
}

impl AddModelRequest {
    /// Checks the bounds of lists and texts.
    ///
    /// # Errors
    /// The first field that is outside them.
    pub fn validate(&self) -> Result<(), InvalidField> {
        let too_long = |text: &str| text.is_empty() || text.len() > DOCUMENT_BYTES_MAX;
        if self.aliases.len() > WORDS_MAX {
            return Err(InvalidField::new("aliases", "allowed: 64 at most"));
        }
        if self.tags.len() > WORDS_MAX {
            return Err(InvalidField::new("tags", "allowed: 64 at most"));
        }
        for (index, tag) in self.tags.iter().enumerate() {
            if tag.is_empty() || tag.chars().count() > limits::ID_CHARS_MAX {
                let field = format!("tags[{index}]");
                return Err(InvalidField::new(field, "allowed: 1 to 128 characters"));
            }
        }
        if self.signatures.len() > WORDS_MAX {
            return Err(InvalidField::new("signatures", "allowed: 64 at most"));
        }
        for (index, signature) in self.signatures.iter().enumerate() {
            if too_long(&signature.scheme) || too_long(&signature.value) {
                let field = format!("signatures[{index}]");
                return Err(InvalidField::new(field, "allowed: texts of 1 byte to 256 KiB"));
            }
        }
        if self.sbom.as_ref().is_some_and(|sbom| too_long(&sbom.format) || too_long(&sbom.value)) {
            return Err(InvalidField::new("sbom", "allowed: texts of 1 byte to 256 KiB"));
        }
        Ok(())
    }
}

/// A signature of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignatureView {
    /// Its kind, such as `minisign`.
    pub scheme: String,
    /// The signature, or where it is.
    pub value: String,
}

/// What a model is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SbomView {
    /// Its format, such as `cyclonedx`.
    pub format: String,
    /// The list, or where it is.
    pub value: String,
}

/// `GET /v2/catalog/models/{id}`: an entry of the catalog (ORCH-182). Which pools hold it now says
/// `/v2/catalog/availability`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CatalogModelView<S = ModelState> {
    /// `sha256:…` or `remote:<pool>/<name>`.
    pub id: String,
    pub aliases: Vec<String>,
    pub source_ref: String,
    /// The source with everything fixed that may move; null where nothing may.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub resolved_ref: Option<String>,
    /// None for a model that only an attached engine holds.
    pub files: Vec<CatalogFileView>,
    pub size_bytes: u64,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub format: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub architecture: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub quant: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub ctx_max: Option<u64>,
    /// What a token of context costs in memory, in bytes, with keys and values of 16 bits.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub kv_bytes_per_token: Option<u64>,
    #[cfg_attr(feature = "openapi", schema(value_type = ModelState))]
    pub state: S,
    /// When tasks of a retired model that still live are ended; null where they may finish.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub retire_at: Option<String>,
    pub tags: Vec<String>,
    pub signatures: Vec<SignatureView>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub sbom: Option<SbomView>,
    /// When all bytes were last read and checked.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub verified_at: Option<String>,
    /// `pass`, `warn`, `fail` or `unverified`.
    pub verify_result: String,
    /// Why no new task may use it until it is verified again; null where they may.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub out_of_service: Option<String>,
    /// What the trust policy has against it; null where it has nothing.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub distrust: Option<String>,
    pub created_at: String,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CatalogFileView {
    /// Its name, without the folder.
    pub name: String,
    pub size_bytes: u64,
    /// `sha256:` and 64 digits.
    pub sha256: String,
}

/// Whether new tasks may use a model (ORCH-187).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ModelState {
    Active,
    Retired,
}

impl ModelState {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Retired => "Retired",
        }
    }
}

/// The body of `POST /v2/catalog/models/{id}/state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ModelStateRequest {
    pub state: ModelState,
    /// With `Retired`: how long tasks that live may go on, in milliseconds; without it, to their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// The body of `PUT /v2/catalog/aliases/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AliasRequest {
    /// The model that the name is to point to, by catalog id or another name.
    pub model_ref: String,
}

/// A name and what it points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AliasView {
    pub name: String,
    pub model_id: String,
}

/// `GET /v2/catalog/availability`: who holds a model (ORCH-191).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AvailabilityView {
    pub model_id: String,
    pub aliases: Vec<String>,
    /// Nodes that hold its files or serve it.
    pub nodes: Vec<NodeHolding>,
    /// Over all nodes.
    pub ready_replicas: u32,
    /// Over all nodes.
    pub slots_total: u32,
    /// Whether all of two or more online nodes hold it.
    pub replicated: bool,
    /// Whether just one online node holds it.
    pub single_node: bool,
}

/// What one node has of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeHolding {
    /// `local` in the home profile.
    pub node_id: String,
    pub pools: Vec<PoolHolding>,
}

/// What one pool has of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolHolding {
    pub pool_id: String,
    pub state: String,
    pub ready_replicas: u32,
    pub slots_total: u32,
}
