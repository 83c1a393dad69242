use std::error::Error;

use camino::Utf8PathBuf;
use url::Url;

use crate::resolver::NoPublicAddress;

/// Why something could not be fetched. URLs are shown without their query, which may hold a token.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The policy does not allow it.
    #[error("may not fetch {url}: {refusal}")]
    Refused {
        /// What was to be fetched, or where a redirect led.
        url: String,
        /// Why not.
        refusal: Refusal,
    },
    /// One redirect after the other.
    #[error("{url} redirects more than {limit} times; check the address")]
    TooManyRedirects {
        /// What was to be fetched.
        url: String,
        /// How many redirects are followed.
        limit: usize,
    },
    /// The server answered with another status than was needed.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was to be fetched.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// No answer, or one that broke off.
    #[error("cannot fetch {url}; check the network and the proxy")]
    Transport {
        /// What was to be fetched.
        url: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The server answered against HTTP.
    #[error("{url} answered against its protocol: {reason}")]
    Protocol {
        /// What was to be fetched.
        url: String,
        /// What was wrong.
        reason: &'static str,
    },
    /// More bytes than may be fetched.
    #[error("{url} is larger than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// What was to be fetched.
        url: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// Other bytes than were expected. They were deleted.
    #[error("{url} has sha256 {actual} in place of {expected}; what was fetched is deleted")]
    DigestMismatch {
        /// What was fetched.
        url: String,
        /// The digest that was expected, 64 hexadecimal digits.
        expected: String,
        /// The digest that it has.
        actual: String,
    },
    /// Somebody else writes the same file now.
    #[error("another process is fetching to {path}; try again when it is done")]
    Busy {
        /// The unfinished file.
        path: Utf8PathBuf,
    },
    /// The file could not be written.
    #[error("cannot write {path}; check its disk and permissions")]
    Disk {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No client can be made from the policy.
    #[error("cannot prepare downloads; check the extra certificates and the proxy")]
    Client {
        /// What is wrong.
        #[source]
        source: reqwest::Error,
    },
}

/// What the policy has against an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Downloads are off.
    #[error("downloads are switched off")]
    Disabled,
    /// The host is not among those that may be reached.
    #[error("its host is not among the allowed ones")]
    NotAllowed,
    /// A private, loopback, link-local or otherwise special address that is not listed.
    #[error("its address is not a public one and is not listed")]
    NotPublic,
    /// A listed host on a port that is not.
    #[error("its host is listed with another port")]
    OtherPort,
    /// Plain HTTP to a place that is not listed for it.
    #[error("it is plain http")]
    PlainHttp,
    /// A redirect from HTTPS to HTTP.
    #[error("it leads from https to plain http")]
    Downgrade,
    /// Neither HTTP nor HTTPS.
    #[error("it is no https address")]
    NotHttp,
    /// Credentials where they would be sent to whoever wrote them there.
    #[error("it holds credentials")]
    CredentialsInUrl,
    /// A name that only the proxy resolves, and nobody allowed.
    #[error("its address cannot be checked behind the proxy; allow the host by name")]
    UncheckedBehindProxy,
}

impl FetchError {
    /// Whether the same may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Busy { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502..=504),
            Self::Refused { .. }
            | Self::TooManyRedirects { .. }
            | Self::Protocol { .. }
            | Self::TooLarge { .. }
            | Self::DigestMismatch { .. }
            | Self::Disk { .. }
            | Self::Client { .. } => false,
        }
    }

    /// Whether nothing was reached, because it may not be or cannot be.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => *refusal == Refusal::Disabled,
            Self::Transport { source, .. } => source.is_connect() || source.is_timeout(),
            _ => false,
        }
    }

    pub(crate) fn of_transport(url: &Url, error: reqwest::Error) -> Self {
        let url = shown(url);
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        while let Some(error) = cause {
            if error.is::<NoPublicAddress>() {
                return Self::Refused { url, refusal: Refusal::NotPublic };
            }
            cause = error.source();
        }
        Self::Transport { url, source: error.without_url() }
    }
}

/// A URL for people: without credentials, query and fragment.
pub(crate) fn shown(url: &Url) -> String {
    match url.host_str() {
        Some(host) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{host}{port}{}", url.scheme(), url.path())
        }
        None => format!("{}:", url.scheme()),
    }
}
