use anyhow::Context as _;
use camino::Utf8Path;
use config_schema::{Auth, TokenScope};
use http_edge::{Access, BearerToken, Gate, NamedToken, Scope, TokenSet};

/// Who may come in at the start: everyone on this machine, or whoever has one of the configured tokens.
pub(crate) fn access(auth: &Auth) -> anyhow::Result<Access> {
    if !auth.is_required() {
        return Ok(Access::Local);
    }
    read(auth).map(Access::Tokens)
}

/// Reads all tokens again, for [`Gate::replace_tokens`]; nothing where none are needed.
///
/// # Errors
/// One of them cannot be used, or whether tokens are needed has changed.
pub(crate) fn reread(auth: &Auth, gate: &Gate) -> anyhow::Result<Option<TokenSet>> {
    keeps_kind(auth, gate).context("auth")?;
    if auth.is_required() { read(auth).map(Some) } else { Ok(None) }
}

/// Whether tokens are needed or not, as it was at the start.
///
/// # Errors
/// It is not so.
pub(crate) fn keeps_kind(auth: &Auth, gate: &Gate) -> anyhow::Result<()> {
    anyhow::ensure!(
        matches!(*gate.access(), Access::Tokens(_)) == auth.is_required(),
        "whether tokens are needed changes with a restart only"
    );
    Ok(())
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
