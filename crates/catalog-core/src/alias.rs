use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest alias, in bytes.
const ALIAS_BYTES_MAX: usize = 128;

/// What no alias may begin with: it would read as an id or as a reference.
const RESERVED_SCHEMES: [&str; 9] =
    ["sha256", "remote", "file", "http", "https", "hf", "pypi", "s3", "oci"];

/// A name that people give to a model. It points to one entry and may be moved to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Alias(String);

/// A text cannot be an alias.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAlias {
    /// Empty, too long or with other characters.
    #[error("a model's name is 1 to 128 of A-Z a-z 0-9 . _ : / -")]
    Form,
    /// It would read as an id or a reference.
    #[error("a model's name must not begin with `{scheme}:`, which marks an id or a reference")]
    Reserved {
        /// The scheme it begins with.
        scheme: &'static str,
    },
}

impl Alias {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Alias {
    type Err = InvalidAlias;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
        if text.is_empty() || text.len() > ALIAS_BYTES_MAX || !text.bytes().all(allowed) {
            return Err(InvalidAlias::Form);
        }
        let scheme = text.split_once(':').map(|(scheme, _)| scheme);
        let reserved = RESERVED_SCHEMES
            .iter()
            .find(|name| scheme.is_some_and(|s| s.eq_ignore_ascii_case(name)));
        match reserved {
            Some(scheme) => Err(InvalidAlias::Reserved { scheme }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Alias {
    type Error = InvalidAlias;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Alias> for String {
    fn from(alias: Alias) -> Self {
        alias.0
    }
}

impl std::borrow::Borrow<str> for Alias {
    fn borrow(&self) -> &str {
        &self.0
    }
}
