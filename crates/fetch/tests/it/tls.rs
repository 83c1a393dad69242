use std::sync::Arc;

use camino_tempfile::tempdir;
use fetch::{Authority, EgressPolicy, FetchError, Refusal};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::server::{TestServer, fetcher, request, text};

/// A server with a certificate of its own for `localhost`, that gives one answer to everything.
struct TlsServer {
    url: Url,
    certificate_pem: String,
    _serving: JoinSet<()>, // dropping it ends the server
}

impl TlsServer {
    async fn start(answer: String) -> Self {
        fetcher(EgressPolicy::default()); // installs the crypto provider
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                // A client that does not trust the certificate goes away here.
                let Ok(mut stream) = acceptor.accept(connection).await else { continue };
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        let url = format!("https://localhost:{port}/file").parse().unwrap();
        Self { url, certificate_pem: cert.pem(), _serving: serving }
    }

    fn policy(&self) -> EgressPolicy {
        EgressPolicy {
            listed: vec![Authority::of(&self.url).unwrap()],
            extra_ca_pem: vec![self.certificate_pem.clone().into_bytes()],
            ..EgressPolicy::default()
        }
    }
}

/// Verifies: ORCH-193
#[tokio::test]
async fn a_certificate_is_trusted_only_where_the_policy_adds_it() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood".to_owned();
    let server = TlsServer::start(answer).await;
    let dir = tempdir().unwrap();
    let ask = || request(server.url.clone(), dir.path().join("file"));
    let stranger = fetcher(EgressPolicy { extra_ca_pem: Vec::new(), ..server.policy() });
    let error = stranger.file(ask(), &|_| {}).await.unwrap_err();
    assert!(matches!(*error, FetchError::Transport { .. }), "{error}");
    assert_eq!(fetcher(server.policy()).file(ask(), &|_| {}).await.unwrap().size_bytes, 4);
}

/// Verifies: ORCH-193
#[tokio::test]
async fn a_redirect_never_leads_from_https_to_http() {
    let plain = TestServer::start(|_| text(200, "evil")).await;
    let location = plain.at("file");
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let server = TlsServer::start(answer).await;
    let mut policy = server.policy();
    policy.listed.push(plain.authority());
    policy.allow_plain_http_for_listed = true;
    let dir = tempdir().unwrap();
    let asked = request(server.url.clone(), dir.path().join("file"));
    let error = fetcher(policy).file(asked, &|_| {}).await.unwrap_err();
    let refused = matches!(&*error, FetchError::Refused { refusal: Refusal::Downgrade, .. });
    assert!(refused, "{error}");
    assert!(plain.asked().is_empty());
}
