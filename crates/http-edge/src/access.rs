use std::{fmt, net::SocketAddr};

use api_types::ErrorCode;
use http::{HeaderMap, HeaderValue, Uri, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{ClientIdentity, Problem, host_rule::is_local};

/// Paths that tell no more than whether the daemon lives, and need no token.
const WITHOUT_TOKEN: [&str; 2] = ["/healthz", "/readyz"];

/// Least characters of a token (ORCH-233).
const TOKEN_CHARS_MIN: usize = 32;

/// Who may come in.
#[derive(Debug, Clone)]
pub enum Access {
    /// Everyone on this machine; the bind must be a loopback one.
    Local {
        /// Origins of pages beside the daemon's own that may call.
        allowed_origins: Vec<String>,
    },
    /// Whoever has the token.
    Token(BearerToken),
}

impl Access {
    pub(crate) fn judge(&self, uri: &Uri, headers: &HeaderMap) -> Result<ClientIdentity, Problem> {
        match self {
            Self::Local { allowed_origins } => {
                if is_local(uri, headers, allowed_origins) {
                    return Ok(ClientIdentity::LOCALHOST);
                }
                let message = "without a token only requests to a loopback host from this daemon's own \
                               pages are taken; use localhost, list the origin in cors.allowed_origins, or \
                               set auth.token_file";
                Err(Problem::new(ErrorCode::HostNotAllowed, message))
            }
            Self::Token(_) if WITHOUT_TOKEN.contains(&uri.path()) => Ok(ClientIdentity::NOBODY),
            Self::Token(token) => token.judge(headers),
        }
    }
}

/// A token, of which only the digest is kept.
#[derive(Clone)]
pub struct BearerToken([u8; 32]);

/// A text is not fit to be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has at least 32 characters, all of them visible ASCII")]
pub struct WeakToken;

impl BearerToken {
    /// A token from the text of its file; white space around it is not part of it.
    ///
    /// # Errors
    /// [`WeakToken`].
    pub fn new(text: &str) -> Result<Self, WeakToken> {
        let text = text.trim();
        let is_fit =
            text.len() >= TOKEN_CHARS_MIN && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_fit { Ok(Self(Sha256::digest(text).into())) } else { Err(WeakToken) }
    }

    fn judge(&self, headers: &HeaderMap) -> Result<ClientIdentity, Problem> {
        let challenge = |code, message| {
            let bearer = HeaderValue::from_static("Bearer");
            Problem::new(code, message).with_header(header::WWW_AUTHENTICATE, bearer)
        };
        let missing = || {
            challenge(ErrorCode::MissingToken, "send the token as `Authorization: Bearer <token>`")
        };
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return Err(missing()) };
        let Some((scheme, token)) = value.to_str().ok().and_then(|value| value.split_once(' '))
        else {
            return Err(missing());
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let digest: [u8; 32] = Sha256::digest(token.trim()).into();
        if bool::from(digest.ct_eq(&self.0)) {
            Ok(ClientIdentity::DEFAULT_TOKEN)
        } else {
            Err(challenge(ErrorCode::BadToken, "the token is not valid"))
        }
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(masked)")
    }
}

/// An address beyond this machine is not served without a token (ORCH-231).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "server.addr is {addr}, which others can reach, and there is no token; set auth.token_file \
     (ORCHD_TOKEN_FILE), or let server.addr be 127.0.0.1 or [::1]"
)]
pub struct BindRefused {
    /// The address.
    pub addr: SocketAddr,
}

/// Whether a server may listen on `addr`: on 127.0.0.0/8 and ::1 always, elsewhere with a token only.
///
/// # Errors
/// [`BindRefused`].
pub fn check_bind(addr: SocketAddr, has_token: bool) -> Result<(), BindRefused> {
    if has_token || addr.ip().is_loopback() { Ok(()) } else { Err(BindRefused { addr }) }
}
