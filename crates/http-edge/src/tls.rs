use std::{
    io,
    sync::{Arc, RwLock},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Protocols that are offered, the better one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What a server proves who it is with, as the texts of PEM files.
#[derive(Clone, Copy)]
pub struct TlsFiles<'a> {
    /// The certificate and those between it and its authority.
    pub cert: &'a [u8],
    /// Its private key.
    pub key: &'a [u8],
    /// Authorities of which a client must have a certificate; where there are none, clients need none.
    pub client_ca: Option<&'a [u8]>,
}

/// Files that TLS cannot be spoken with.
#[derive(Debug, thiserror::Error)]
pub enum UnfitTls {
    /// A file is not PEM, or holds nothing of its kind.
    #[error("tls.{key} holds no {what} in PEM form")]
    Pem {
        /// The setting.
        key: &'static str,
        /// What should be in it.
        what: &'static str,
        /// What the reader said.
        #[source]
        source: pem::Error,
    },
    /// The key is of an unknown kind, or that of another certificate.
    #[error("tls.cert and tls.key cannot be used together")]
    Pair(#[source] rustls::Error),
    /// A certificate of an authority cannot be used.
    #[error("tls.client_ca cannot be used")]
    ClientCa(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// TLS with what it proves itself by now. Clones are handles to the same; what is replaced by one of them
/// holds for the next connection.
#[derive(Clone)]
pub struct ServerTls(Arc<RwLock<Arc<ServerConfig>>>);

impl ServerTls {
    /// TLS 1.2 and 1.3, for HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// [`UnfitTls`].
    pub fn new(files: &TlsFiles<'_>) -> Result<Self, UnfitTls> {
        Ok(Self(Arc::new(RwLock::new(Arc::new(config(files)?)))))
    }

    /// Lets other files hold.
    ///
    /// # Errors
    /// [`UnfitTls`]; nothing changes then.
    pub fn replace(&self, files: &TlsFiles<'_>) -> Result<(), UnfitTls> {
        let config = Arc::new(config(files)?);
        *self.0.write().expect("no holder panics") = config;
        Ok(())
    }

    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = Arc::clone(&self.0.read().expect("no holder panics"));
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

fn config(files: &TlsFiles<'_>) -> Result<ServerConfig, UnfitTls> {
    let chain = certificates("cert", files.cert)?;
    let key = PrivateKeyDer::from_pem_slice(files.key).map_err(|source| UnfitTls::Pem {
        key: "key",
        what: "private key",
        source,
    })?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(UnfitTls::Pair)?;
    let builder = match files.client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => builder.with_client_cert_verifier(client_verifier(pem, provider)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(UnfitTls::Pair)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(config)
}

fn client_verifier(
    pem: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, UnfitTls> {
    let mut roots = RootCertStore::empty();
    for authority in certificates("client_ca", pem)? {
        roots.add(authority).map_err(|error| UnfitTls::ClientCa(error.into()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| UnfitTls::ClientCa(error.into()))
}

fn certificates(key: &'static str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, UnfitTls> {
    let wrong = |source| UnfitTls::Pem { key, what: "certificate", source };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(wrong)?;
    if found.is_empty() { Err(wrong(pem::Error::NoItemsFound)) } else { Ok(found) }
}
