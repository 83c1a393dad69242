use std::fmt;

use url::Url;

use crate::{Authority, error::shown};

/// What downloads may do. All of it is handed in; where it comes from is the daemon's business.
#[derive(Clone)]
pub struct EgressPolicy {
    /// Whether anything may be fetched at all.
    pub enabled: bool,
    /// The only hosts that may be reached besides the listed ones; `None` allows any public one.
    pub allowed_hosts: Option<Vec<String>>,
    /// Places that may also be reached at addresses that are not public: package indexes, mirrors.
    pub listed: Vec<Authority>,
    /// Whether listed places may be reached over plain HTTP.
    pub allow_plain_http_for_listed: bool,
    /// Largest file, in bytes.
    pub max_bytes: u64,
    /// PEM bundles of certificates to trust besides the system's.
    pub extra_ca_pem: Vec<Vec<u8>>,
    /// A proxy for everything. It resolves the names, so addresses cannot be checked here: behind a
    /// proxy only listed and allowed hosts are reached.
    pub proxy: Option<Url>,
}

impl Default for EgressPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            allowed_hosts: None,
            listed: Vec::new(),
            allow_plain_http_for_listed: false,
            max_bytes: 256 << 30,
            extra_ca_pem: Vec::new(),
            proxy: None,
        }
    }
}

/// Without the credentials that a proxy may have.
impl fmt::Debug for EgressPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { enabled, allowed_hosts, listed, max_bytes, extra_ca_pem, .. } = self;
        f.debug_struct("EgressPolicy")
            .field("enabled", enabled)
            .field("allowed_hosts", allowed_hosts)
            .field("listed", listed)
            .field("allow_plain_http_for_listed", &self.allow_plain_http_for_listed)
            .field("max_bytes", max_bytes)
            .field("extra_ca_pem", &extra_ca_pem.len())
            .field("proxy", &self.proxy.as_ref().map(shown))
            .finish()
    }
}
