use std::{fmt, str::FromStr};

use url::{Host, Url};

/// A host and a port, as one place to fetch from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    host: Host<String>,
    port: u16,
}

/// A text is not a host with or without a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a host to list is written `host` or `host:port`")]
pub struct InvalidAuthority;

impl Authority {
    /// Where `url` leads, if it is one of a host.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        let host = url.host()?.to_owned();
        Some(Self { host, port: url.port_or_known_default()? })
    }

    pub(crate) fn host(&self) -> &Host<String> {
        &self.host
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Without a port, that of HTTPS is meant.
impl FromStr for Authority {
    type Err = InvalidAuthority;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(&format!("https://{text}/")).map_err(|_url| InvalidAuthority)?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        plain.then(|| Self::of(&url)).flatten().ok_or(InvalidAuthority)
    }
}
