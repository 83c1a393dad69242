use std::fmt;

use percent_encoding::percent_decode_str;
use url::{Origin, Url};

/// What proves who asks, for one origin. It is sent there and nowhere else, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    origin: Origin,
    proof: Proof,
}

#[derive(Clone, PartialEq, Eq)]
enum Proof {
    Password { user: String, password: Option<String> },
    Bearer(String),
}

impl Credentials {
    /// Takes the credentials out of a URL that was written with them, as package indexes are configured.
    /// None where there are none.
    pub fn take_from(url: &mut Url) -> Option<Self> {
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let proof =
            Proof::Password { user: decode(url.username()), password: url.password().map(decode) };
        let taken = Self { origin: url.origin(), proof };
        // Only URLs without a host refuse this, and they hold no credentials.
        let emptied = url.set_username("").is_ok() && url.set_password(None).is_ok();
        debug_assert!(emptied, "a URL with credentials has a host");
        Some(taken)
    }

    /// A bearer token for the origin of `url`.
    #[must_use]
    pub fn bearer(url: &Url, token: impl Into<String>) -> Self {
        Self { origin: url.origin(), proof: Proof::Bearer(token.into()) }
    }

    /// Puts them on a request, if it goes to their origin.
    pub(crate) fn put_on(
        &self,
        request: reqwest::RequestBuilder,
        url: &Url,
    ) -> reqwest::RequestBuilder {
        match &self.proof {
            _ if url.origin() != self.origin => request,
            Proof::Password { user, password } => request.basic_auth(user, password.as_ref()),
            Proof::Bearer(token) => request.bearer_auth(token),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}
