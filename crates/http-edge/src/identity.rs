use std::sync::{Arc, LazyLock};

use crate::Scope;

/// Anyone on this machine, where no token is needed.
static LOCALHOST: LazyLock<ClientIdentity> =
    LazyLock::new(|| ClientIdentity::new("localhost", "localhost", Some(Scope::Admin)));

/// Somebody without a token where none was asked for.
static NOBODY: LazyLock<ClientIdentity> =
    LazyLock::new(|| ClientIdentity::new("nobody", "nobody", None));

/// Names that no token may have, because they stand for callers without one.
pub(crate) const RESERVED_NAMES: [&str; 2] = ["localhost", "nobody"];

/// Who asks: the name of the token used, or `localhost`. Rotation of a token changes nothing about its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientIdentity {
    name: Arc<str>,
    caller: Arc<str>,
    scope: Option<Scope>,
}

impl ClientIdentity {
    pub(crate) fn new(name: &str, caller: &str, scope: Option<Scope>) -> Self {
        Self { name: name.into(), caller: caller.into(), scope }
    }

    pub(crate) fn localhost() -> Self {
        LOCALHOST.clone()
    }

    pub(crate) fn nobody() -> Self {
        NOBODY.clone()
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// How logs call this caller (ORCH-235): `localhost`, or `token:` and the first 6 hex digits of the
    /// digest of the token that was used.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// What it may use; nothing, for whoever was not asked for a token.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        self.scope
    }

    /// Whether it sees and changes what is `owner`'s (ORCH-234).
    #[must_use]
    pub fn may_see(&self, owner: &str) -> bool {
        self.scope == Some(Scope::Admin) || self.as_str() == owner
    }
}
