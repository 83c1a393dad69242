use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{InvalidDigest, ModelDigest};

/// Longest name of a pool in an id, in bytes.
const POOL_BYTES_MAX: usize = 64;

/// Longest name of a remote model, in bytes.
const REMOTE_NAME_BYTES_MAX: usize = 256;

/// What an entry is known by for ever: its content, or, where only an attached engine holds the model,
/// the pool and the engine's own name for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CatalogId {
    /// A model whose bytes are known, shown as `sha256:<64 digits>`.
    Digest(ModelDigest),
    /// A model behind an attached engine, shown as `remote:<pool>/<name>`. Made with
    /// [`CatalogId::remote`], which checks both parts.
    Remote {
        /// The pool's configured name.
        pool: String,
        /// The engine's name for the model; may hold slashes.
        name: String,
    },
}

/// A text is not a catalog id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Neither of the two forms.
    #[error("a catalog id is `sha256:<digest>` or `remote:<pool>/<name>`")]
    Form,
    /// The digest is none.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// The pool's name is empty, too long or has other characters.
    #[error("the pool of a remote id is 1 to 64 of A-Z a-z 0-9 . _ -")]
    Pool,
    /// The model's name is empty, too long or has control characters.
    #[error("the model of a remote id is 1 to 256 bytes without control characters")]
    Name,
}

impl CatalogId {
    /// The id of a model behind an attached engine.
    ///
    /// # Errors
    /// [`InvalidId`] where a part is empty, too long or has characters that it must not have.
    pub fn remote(pool: &str, name: &str) -> Result<Self, InvalidId> {
        let pool_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if pool.is_empty() || pool.len() > POOL_BYTES_MAX || !pool.bytes().all(pool_byte) {
            return Err(InvalidId::Pool);
        }
        if name.is_empty()
            || name.len() > REMOTE_NAME_BYTES_MAX
            || name.chars().any(char::is_control)
        {
            return Err(InvalidId::Name);
        }
        Ok(Self::Remote { pool: pool.to_owned(), name: name.to_owned() })
    }

    /// The digest, where the model's bytes are known.
    #[must_use]
    pub fn digest(&self) -> Option<ModelDigest> {
        match self {
            Self::Digest(digest) => Some(*digest),
            Self::Remote { .. } => None,
        }
    }
}

impl fmt::Display for CatalogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Remote { pool, name } => write!(f, "remote:{pool}/{name}"),
        }
    }
}

impl FromStr for CatalogId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(rest) = text.strip_prefix("remote:") {
            let (pool, name) = rest.split_once('/').ok_or(InvalidId::Form)?;
            return Self::remote(pool, name);
        }
        if text.starts_with("sha256:") {
            Ok(Self::Digest(text.parse()?))
        } else {
            Err(InvalidId::Form)
        }
    }
}

impl TryFrom<String> for CatalogId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CatalogId> for String {
    fn from(id: CatalogId) -> Self {
        id.to_string()
    }
}
