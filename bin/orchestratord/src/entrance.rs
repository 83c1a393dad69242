use anyhow::Context as _;
use camino::Utf8Path;
use config_schema::{Config, Tls};
use http_edge::{Gate, ServerTls, TlsFiles};

use crate::tokens;

/// How callers come in: with which tokens, and over what. Both can be replaced while the daemon serves.
pub(crate) struct Entrance {
    pub(crate) gate: Gate,
    pub(crate) tls: Option<ServerTls>,
}

impl Entrance {
    /// Reads tokens and certificates, and checks that the address may be listened on with them.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let opened = Self::read(config);
        match &opened {
            Err(error) => tracing::error!(
                target: "audit",
                audit = true,
                event = "start_refused",
                outcome = "failure",
                caller = "localhost",
                error = format!("{error:#}"),
            ),
            Ok(entrance) if entrance.tls.is_none() && !config.server.addr.ip().is_loopback() => {
                tracing::warn!(
                    event = "plain_text_bind",
                    addr = %config.server.addr,
                    "tokens and prompts cross the network unencrypted; set tls.cert and tls.key, or put a \
                     server that speaks TLS in front"
                );
            }
            Ok(_) => {}
        }
        opened
    }

    fn read(config: &Config) -> anyhow::Result<Self> {
        let gate = Gate::new(tokens::access(&config.auth)?);
        http_edge::check_bind(config.server.addr, config.auth.is_required())?;
        Ok(Self { gate, tls: tls(&config.tls)? })
    }

    /// Reads tokens and certificates again, and lets them hold without a connection being dropped. Where one
    /// of them cannot be used, nothing changes. `held` is what of the configuration `wanted` holds now: what
    /// waits for a restart is not touched, so that its files are not missed.
    ///
    /// # Errors
    /// What is wrong, with the key.
    pub(crate) fn reload(&self, held: &Config, wanted: &Config) -> anyhow::Result<()> {
        // Checked before anything is replaced.
        let access = tokens::access(&wanted.auth).context("auth")?;
        if let Some(server) = self.tls.as_ref().filter(|_| held.tls == wanted.tls) {
            with_tls_files(&wanted.tls, |files| Ok(server.replace(files)?))?;
        }
        if held.auth == wanted.auth {
            self.gate.replace(access);
        }
        Ok(())
    }

    /// Of the daemon's own addresses.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// What TLS is spoken with; nothing where none is.
///
/// # Errors
/// A file that cannot be used, with its key.
pub(crate) fn tls(tls: &Tls) -> anyhow::Result<Option<ServerTls>> {
    with_tls_files(tls, |files| Ok(ServerTls::new(files)?))
}

fn with_tls_files<T>(
    tls: &Tls,
    with: impl FnOnce(&TlsFiles<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let (Some(cert), Some(key)) = (&tls.cert, &tls.key) else { return Ok(None) };
    let cert = read("cert", cert)?;
    let key = read("key", key)?;
    let client_ca = tls.client_ca.as_deref().map(|path| read("client_ca", path)).transpose()?;
    let files = TlsFiles { cert: &cert, key: &key, client_ca: client_ca.as_deref() };
    with(&files).map(Some)
}

fn read(key: &str, path: &Utf8Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("tls.{key}: cannot read {path}"))
}
