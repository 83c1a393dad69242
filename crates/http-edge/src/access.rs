use std::sync::{Arc, RwLock};

use api_types::ErrorCode;
use http::{HeaderMap, HeaderValue, Uri, header};

use crate::{ClientIdentity, Problem, TokenSet, host_rule::is_local, token::Presented};

/// Paths that tell no more than whether the daemon lives, and need no token.
const WITHOUT_TOKEN: [&str; 2] = ["/healthz", "/readyz"];

/// Who may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everyone on this machine; the bind must be a loopback one.
    Local,
    /// Whoever has one of the tokens, from wherever.
    Tokens(TokenSet),
}

/// What one request shows of where it comes from.
pub(crate) struct Asked<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) presented: &'a Presented,
    pub(crate) allowed_origins: &'a [String],
    pub(crate) is_tls: bool,
}

impl Access {
    /// Names and callers that have a token here, and not in `other`.
    fn beyond<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a ClientIdentity> {
        let known = |who: &ClientIdentity| other.callers().any(|its| its == who);
        self.callers().filter(move |who| !known(who))
    }

    fn callers(&self) -> impl Iterator<Item = &ClientIdentity> {
        let tokens = match self {
            Self::Local => None,
            Self::Tokens(tokens) => Some(tokens),
        };
        tokens.into_iter().flat_map(TokenSet::callers)
    }

    pub(crate) fn judge(&self, asked: &Asked<'_>) -> Result<ClientIdentity, Problem> {
        match (self, asked.presented) {
            (Self::Local, _) => {
                if is_local(asked) {
                    return Ok(ClientIdentity::localhost());
                }
                let message = "without a token only requests to a loopback host from this daemon's own \
                               pages are taken; use localhost, list the origin in cors.allowed_origins, or \
                               set auth.token_file";
                Err(Problem::new(ErrorCode::HostNotAllowed, message))
            }
            (Self::Tokens(_), _) if WITHOUT_TOKEN.contains(&asked.uri.path()) => {
                Ok(ClientIdentity::nobody())
            }
            (Self::Tokens(_), Presented::Nothing) => Err(challenge(
                ErrorCode::MissingToken,
                "send the token as `Authorization: Bearer <token>`",
            )),
            (Self::Tokens(tokens), Presented::Token(given)) => tokens
                .find(given)
                .cloned()
                .ok_or_else(|| challenge(ErrorCode::BadToken, "the token is not valid")),
        }
    }
}

fn challenge(code: ErrorCode, message: &str) -> Problem {
    let bearer = HeaderValue::from_static("Bearer");
    Problem::new(code, message).with_header(header::WWW_AUTHENTICATE, bearer)
}

/// Who may come in now. Clones are handles to the same; what is replaced by one of them holds for the next
/// request, on connections that are open as well.
#[derive(Debug, Clone)]
pub struct Gate(Arc<RwLock<Arc<Access>>>);

impl Gate {
    /// A gate that begins with `access`.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(access))))
    }

    /// What holds now.
    #[must_use]
    pub fn access(&self) -> Arc<Access> {
        Arc::clone(&self.0.read().expect("no holder panics"))
    }

    /// Lets this hold in place of what held, from the next request on. Whose requests are under way keeps
    /// them. Each token that came or went is an audit event, and so is that tokens are needed now, or are not
    /// any more. The caller minds that [`Access::Local`] is for loopback binds only.
    pub fn replace(&self, access: Access) {
        let mut held = self.0.write().expect("no holder panics");
        let needs_tokens = |access: &Access| matches!(access, Access::Tokens(_));
        if needs_tokens(&held) != needs_tokens(&access) {
            let outcome = if needs_tokens(&access) { "tokens_needed" } else { "no_tokens_needed" };
            tracing::info!(target: "audit", audit = true, event = "access_changed", outcome);
        }
        let change = |who: &ClientIdentity, outcome| {
            tracing::info!(
                target: "audit",
                audit = true,
                event = "token_rotated",
                outcome,
                caller = who.caller(),
                identity = who.as_str(),
                scope = ?who.scope(),
            );
        };
        access.beyond(&held).for_each(|who| change(who, "added"));
        held.beyond(&access).for_each(|who| change(who, "removed"));
        *held = Arc::new(access);
    }
}

impl From<Access> for Gate {
    fn from(access: Access) -> Self {
        Self::new(access)
    }
}
