use std::{fmt, sync::Arc};

use critic_executor::CriticError;

/// A credential. It does not print, and it is in no setting, record or error.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps a credential; white space around it, such as a file's last line end, is not part of it.
    pub fn new(value: impl AsRef<str>) -> Self {
        Self(value.as_ref().trim().into())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Where a credential comes from: a [`Secret`], or a closure that looks it up for every call, so that one that
/// was rotated is used at once.
pub trait SecretSource: Send + Sync {
    /// The credential to use now.
    ///
    /// # Errors
    /// Why there is none.
    fn secret(&self) -> Result<Secret, CriticError>;
}

impl SecretSource for Secret {
    fn secret(&self) -> Result<Secret, CriticError> {
        Ok(self.clone())
    }
}

impl<F> SecretSource for F
where
    F: Fn() -> Result<Secret, CriticError> + Send + Sync,
{
    fn secret(&self) -> Result<Secret, CriticError> {
        self()
    }
}
