use std::{collections::HashSet, fmt};

use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use crate::{ClientIdentity, Scope, identity::RESERVED_NAMES};

/// Least characters of a token (ORCH-233).
const TOKEN_CHARS_MIN: usize = 32;

/// Bytes of a token's digest that logs show.
const SHOWN_DIGEST_BYTES: usize = 3;

/// A token, of which only the digest is kept.
#[derive(Clone, PartialEq, Eq, Hash)]
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
        if is_fit { Ok(Self::of(text)) } else { Err(WeakToken) }
    }

    fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// How logs call whoever has this token (ORCH-235).
    #[must_use]
    pub fn caller(&self) -> String {
        let hex: String =
            self.0[..SHOWN_DIGEST_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("token:{hex}")
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(masked)")
    }
}

/// What a request says of who sends it.
pub(crate) enum Presented {
    /// No `Authorization: Bearer`, or several.
    Nothing,
    /// Some token, which need not be a valid one.
    Token(BearerToken),
}

impl Presented {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return Self::Nothing };
        match value.to_str().ok().and_then(|value| value.split_once(' ')) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                Self::Token(BearerToken::of(token.trim()))
            }
            _ => Self::Nothing,
        }
    }
}

impl Presented {
    /// How the audit calls whoever is turned away with this: nobody, by the token where there was one.
    pub(crate) fn identity(&self) -> ClientIdentity {
        match self {
            Self::Nothing => ClientIdentity::nobody(),
            Self::Token(token) => ClientIdentity::new("nobody", &token.caller(), None),
        }
    }
}

/// A token with its name and what it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedToken {
    /// The client identity of whoever uses it.
    pub name: String,
    /// What it opens.
    pub scope: Scope,
    /// The token.
    pub current: BearerToken,
    /// The one before it, valid as well until it is taken out (ORCH-234).
    pub previous: Option<BearerToken>,
}

/// All tokens that are valid now; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSet(Vec<(BearerToken, ClientIdentity)>);

/// Tokens that cannot be told apart, or none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitTokens {
    /// Nobody could come in.
    #[error("there is no token")]
    None,
    /// The name belongs to callers without a token, or to another token.
    #[error("`{name}` cannot be the name of a token: it is taken")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// One text is the token of two names.
    #[error("the token of `{name}` is that of another name, too; make one of them anew")]
    SameToken {
        /// The second of them.
        name: String,
    },
}

impl TokenSet {
    /// The set of these tokens.
    ///
    /// # Errors
    /// [`UnfitTokens`].
    pub fn new(tokens: Vec<NamedToken>) -> Result<Self, UnfitTokens> {
        let mut names: HashSet<&str> = RESERVED_NAMES.into();
        let mut entries: Vec<(BearerToken, ClientIdentity)> = Vec::new();
        for NamedToken { name, scope, current, previous } in &tokens {
            if !names.insert(name) {
                return Err(UnfitTokens::NameTaken { name: name.clone() });
            }
            let previous = previous.as_ref().filter(|previous| *previous != current);
            for token in [Some(current), previous].into_iter().flatten() {
                if entries.iter().any(|(known, _)| known == token) {
                    return Err(UnfitTokens::SameToken { name: name.clone() });
                }
                let identity = ClientIdentity::new(name, &token.caller(), Some(*scope));
                entries.push((token.clone(), identity));
            }
        }
        if entries.is_empty() { Err(UnfitTokens::None) } else { Ok(Self(entries)) }
    }

    /// Whose token this is. Takes the same time whichever it is, and if it is none.
    pub(crate) fn find(&self, given: &BearerToken) -> Option<&ClientIdentity> {
        let mut found = u32::MAX;
        for (index, (token, _)) in (0_u32..).zip(&self.0) {
            found.conditional_assign(&index, token.0.ct_eq(&given.0));
        }
        usize::try_from(found).ok().and_then(|index| self.0.get(index)).map(|(_, who)| who)
    }

    /// Name and caller of each token.
    pub(crate) fn callers(&self) -> impl Iterator<Item = &ClientIdentity> {
        self.0.iter().map(|(_, who)| who)
    }
}
