use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Serialize;

use crate::{choice::choices, reader::Reader, setting::Check};

/// Longest name of a token.
const NAME_CHARS_MAX: usize = 64;

/// Name of the token of `token_file`.
const DEFAULT_NAME: &str = "default";

/// Names of callers without a token.
const RESERVED_NAMES: [&str; 2] = ["localhost", "nobody"];

/// Who may use the daemon. Without any token only loopback is served, and none is asked for; with one, all
/// but `/healthz` and `/readyz` need it. With SIGHUP tokens come and go; the last one goes only where the daemon
/// listens on loopback.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(default, deny_unknown_fields))]
pub struct Auth {
    /// File that holds a token of at least 32 characters; it is the token `default` with scope `admin`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub token_file: Option<Utf8PathBuf>,
    /// Tokens by their names. The name is who the caller is, and stays when the token is rotated.
    pub tokens: BTreeMap<String, Token>,
}

/// A token that has a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Token {
    /// What it opens.
    pub scope: TokenScope,
    /// File that holds the token, at least 32 characters. It is read again on SIGHUP.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub file: Utf8PathBuf,
    /// File of the token before it, which is valid as well.
    #[cfg_attr(feature = "schema", schemars(default, with = "Option<String>"))]
    pub previous_file: Option<Utf8PathBuf>,
}

choices! {
    /// What tokens open.
    pub enum TokenScope {
        /// Work: tasks and what belongs to them, and reading what there is to use. A client sees its own
        /// tasks only.
        #[default]
        Client = "client",
        /// Everything, and everybody's tasks.
        Admin = "admin",
        /// What pool managers ask for.
        Node = "node",
    }
}

impl Auth {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let token_file = reader.get("token_file", Check::Any);
        let tokens = reader.sections("tokens", NAME_CHARS_MAX, Token::read).unwrap_or_default();
        let taken = RESERVED_NAMES.into_iter().chain(token_file.is_some().then_some(DEFAULT_NAME));
        for name in taken.filter(|name| tokens.contains_key(*name)) {
            let message = if name == DEFAULT_NAME {
                "this is the name of the token in auth.token_file; leave one of them out"
            } else {
                "this name stands for callers without a token; use another"
            };
            reader.wrong_at(&["tokens", name], message.to_owned());
        }
        Self { token_file, tokens }
    }

    /// Whether callers need a token.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.token_file.is_some() || !self.tokens.is_empty()
    }

    /// All tokens: that of `token_file` under its name, and the named ones.
    #[must_use]
    pub fn all_tokens(&self) -> BTreeMap<String, Token> {
        let default = self.token_file.iter().map(|file| {
            let token = Token { scope: TokenScope::Admin, file: file.clone(), previous_file: None };
            (DEFAULT_NAME.to_owned(), token)
        });
        default.chain(self.tokens.clone()).collect()
    }
}

impl Token {
    fn read(_name: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let scope = reader.require("scope", Check::Any, "what it opens: client, admin or node");
        let file = reader.require("file", Check::Any, "the file that holds the token");
        let previous_file = reader.get("previous_file", Check::Any);
        Some(Self { scope: scope?, file: file?, previous_file })
    }
}
