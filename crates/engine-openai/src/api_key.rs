use std::fmt;

/// A secret for the engine's `Authorization` header; it prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(Box<str>);

impl ApiKey {
    /// Takes a key as it was read from its file, without the line end.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(key.trim_end().into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}
