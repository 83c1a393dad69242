use anyhow::Context as _;
use camino::Utf8Path;
use config_schema::{Auth, TokenScope};
use http_edge::{Access, BearerToken, NamedToken, Scope, TokenSet};

/// Who may come in: everyone on this machine, or whoever has one of the configured tokens.
///
/// # Errors
/// A token cannot be used, with its key.
pub(crate) fn access(auth: &Auth) -> anyhow::Result<Access> {
    if !auth.is_required() {
        return Ok(Access::Local);
    }
    read(auth).map(Access::Tokens)
}

fn read(auth: &Auth) -> anyhow::Result<TokenSet> {
    let token_file = auth.token_file.as_ref();
    let mut tokens = Vec::new();
    for (name, token) in auth.all_tokens() {
        let key = |key: &str| match token_file {
            Some(file) if *file == token.file && !auth.tokens.contains_key(&name) => {
                "auth.token_file".to_owned()
            }
            _ => format!("auth.tokens.{name}.{key}"),
        };
        tokens.push(NamedToken {
            scope: match token.scope {
                TokenScope::Client => Scope::Client,
                TokenScope::Admin => Scope::Admin,
                TokenScope::Node => Scope::Node,
            },
            current: read_token(&key("file"), &token.file)?,
            previous: match &token.previous_file {
                None => None,
                Some(file) => Some(read_token(&key("previous_file"), file)?),
            },
            name,
        });
    }
    TokenSet::new(tokens).context("auth.tokens")
}

fn read_token(key: &str, path: &Utf8Path) -> anyhow::Result<BearerToken> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("{key}: cannot read {path}"))?;
    crate::logging::masker().register(text.trim());
    BearerToken::new(&text).with_context(|| format!("{key}: {path}"))
}
