use std::fmt;

use percent_encoding::percent_decode_str;
use url::{Origin, Url};

/// A name and a password for one origin. They are sent there and nowhere else, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    origin: Origin,
    user: String,
    password: Option<String>,
}

impl Credentials {
    /// Takes the credentials out of a URL that was written with them, as package indexes are configured.
    /// None where there are none.
    pub fn take_from(url: &mut Url) -> Option<Self> {
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let taken = Self {
            origin: url.origin(),
            user: decode(url.username()),
            password: url.password().map(decode),
        };
        // Only URLs without a host refuse this, and they hold no credentials.
        let emptied = url.set_username("").is_ok() && url.set_password(None).is_ok();
        debug_assert!(emptied, "a URL with credentials has a host");
        Some(taken)
    }

    /// Puts them on a request, if it goes to their origin.
    pub(crate) fn put_on(
        &self,
        request: reqwest::RequestBuilder,
        url: &Url,
    ) -> reqwest::RequestBuilder {
        if url.origin() == self.origin {
            request.basic_auth(&self.user, self.password.as_ref())
        } else {
            request
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}
